"""The coded concepts of measurement reports: PS3.16 TID 1500 and its parts, and the nine ratings of LIDC.

The ratings' codes are those of the published DICOM conversion of LIDC-IDRI (Fedorov et al., PeerJ Preprints
6:e27378v1, 2018; Med Phys 47:5953, 2020).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

SNOMED_RT = frozenset({"SRT", "SNM3", "99SDM"})
"""Names under which the withdrawn SNOMED RT codes are written."""

LIDC_SCHEME = "99LIDCQIICR"


@dataclass(frozen=True, slots=True)
class Code:
    """A coded concept: code value, coding scheme designator and code meaning (PS3.3 8.8)."""

    value: str
    scheme: str
    meaning: str

    @property
    def key(self) -> tuple[str, str]:
        """What two codes of one concept have in common, whatever their meaning is called."""
        return (self.value, "SRT" if self.scheme in SNOMED_RT else self.scheme)


Concept = frozenset[tuple[str, str]]


def _concept(*codes: str) -> Concept:
    return frozenset((value, scheme) for scheme, value in (code.split(":") for code in codes))


REPORT = _concept("DCM:126000")
IMAGE_LIBRARY = _concept("DCM:111028")
IMAGING_MEASUREMENTS = _concept("DCM:126010")
MEASUREMENT_GROUP = _concept("DCM:125007")
LANGUAGE = _concept("DCM:121049")
PROCEDURE = _concept("DCM:121058")
OBSERVER_TYPE = _concept("DCM:121005")
PERSON_NAME = _concept("DCM:121008")
DEVICE_NAME = _concept("DCM:121013")
DEVICE_MANUFACTURER = _concept("DCM:121014")
DEVICE_MODEL = _concept("DCM:121015")
OBSERVER_DETAIL = _concept(
    "DCM:121009",  # organisation of a person
    "DCM:121010",  # role in the organisation
    "DCM:121011",  # role in the procedure
    "DCM:121012",  # device UID
    "DCM:121016",  # device serial number
    "DCM:121017",  # device location
    "DCM:128774",  # login name of a person
    "DCM:128775",  # identifier of a person in the organisation
)
SUBJECT = frozenset((str(number), "DCM") for number in range(121024, 121037))
"""Who the images show: known from them, and not taken over from a report."""
TRACKING_IDENTIFIER = _concept("DCM:112039")
TRACKING_UID = _concept("DCM:112040")
FINDING = _concept("DCM:121071")
FINDING_SITE = _concept("SRT:G-C0E3", "SCT:363698007")
REFERENCED_SEGMENT = _concept("DCM:121191")
SEGMENTATION_FRAME = _concept("DCM:121214")
IMAGE_REGION = _concept("DCM:111030", "DCM:121231", "DCM:130488")
SOURCE_SERIES = _concept("DCM:121232")
ALGORITHM_NAME = _concept("DCM:111001")
ALGORITHM_VERSION = _concept("DCM:111003")
DERIVATION = _concept("DCM:121401")
CERTAINTY = _concept("DCM:111012")

PERSON = _concept("DCM:121006")
DEVICE = _concept("DCM:121007")

LIDC_CONCEPTS: Mapping[str, Code] = {
    "subtlety": Code("C45992", "NCIt", "Subtlety score"),
    "internalStructure": Code("200", LIDC_SCHEME, "Internal structure"),
    "calcification": Code("C3672", "NCIt", "Calcification"),
    "sphericity": Code("400", LIDC_SCHEME, "Sphericity"),
    "margin": Code("C25563", "NCIt", "Margin"),
    "lobulation": Code("600", LIDC_SCHEME, "Lobulation"),
    "spiculation": Code("700", LIDC_SCHEME, "Spiculation"),
    "texture": Code("C41144", "NCIt", "Texture"),
    "malignancy": Code("900", LIDC_SCHEME, "Malignancy"),
}
"""The concept of each LIDC characteristic, by the name that LIDC's own files give it."""


def _scale(*named: str) -> dict[int, Code]:
    """Ratings from 1 on; ``named`` are ``scheme:value:meaning``, empty where the generic rating is used."""
    generic = {rating: Code(f"00{rating}", LIDC_SCHEME, f"{rating} out of 5") for rating in range(1, 6)}
    return {
        rating: Code(parts[1], parts[0], parts[2]) if (parts := text.split(":")) != [""] else generic[rating]
        for rating, text in enumerate(named, start=1)
    }


_OWN = LIDC_SCHEME

LIDC_VALUES: Mapping[str, Mapping[int, Code]] = {
    "subtlety": _scale(
        f"{_OWN}:101:1 out of 5 (Extremely subtle)",
        f"{_OWN}:102:2 out of 5 (Moderately subtle)",
        f"{_OWN}:103:3 out of 5 (Fairly subtle)",
        f"{_OWN}:104:4 out of 5 (Moderately obvious)",
        f"{_OWN}:105:5 out of 5 (Obvious)",
    ),
    "internalStructure": _scale(
        "NCIt:C12471:Soft tissue", "NCIt:C25278:Fluid", "NCIt:C12472:Adipose tissue", "NCIt:C73434:Air"
    ),
    "calcification": _scale(
        "RadLex:RID35453:Popcorn calcification sign",
        f"{_OWN}:302:Laminated appearance",
        f"{_OWN}:303:Solid appearance",
        f"{_OWN}:304:Non-central appearance",
        f"{_OWN}:305:Central calcification",
        "RadLex:RID28473:Absent",
    ),
    "sphericity": _scale("RadLex:RID5811:linear", "", "RadLex:RID5800:ovoid", "", "RadLex:RID5799:round"),
    "margin": _scale("RadLex:RID5709:Indistinct margin", "", "", "", "RadLex:RID5707:Circumscribed margin"),
    "lobulation": _scale(
        f"{_OWN}:601:1 out of 5 (No lobulation)", "", "", "", f"{_OWN}:605:5 out of 5 (Marked lobulation)"
    ),
    "spiculation": _scale(
        f"{_OWN}:701:1 out of 5 (No spiculation)", "", "", "", f"{_OWN}:705:5 out of 5 (Marked spiculation)"
    ),
    "texture": _scale(
        "RadLex:RID50153:non-solid pulmonary nodule",
        "",
        "RadLex:RID50152:part-solid pulmonary nodule",
        "",
        "RadLex:RID50151:solid pulmonary nodule",
    ),
    "malignancy": _scale(
        f"{_OWN}:901:1 out of 5 (Highly Unlikely for Cancer)",
        f"{_OWN}:902:2 out of 5 (Moderately Unlikely for Cancer)",
        f"{_OWN}:903:3 out of 5 (Indeterminate Likelihood)",
        f"{_OWN}:904:4 out of 5 (Moderately Suspicious for Cancer)",
        f"{_OWN}:905:5 out of 5 (Highly Suspicious for Cancer)",
    ),
}
"""The code of each rating of each LIDC characteristic."""

# The conversion was published again with other names and codes for some concepts.
_MEANINGS = {code.meaning.lower(): name for name, code in LIDC_CONCEPTS.items()} | {
    "subtlety": "subtlety",
    "lobular pattern": "lobulation",
}
_KEYS = {code.key: name for name, code in LIDC_CONCEPTS.items()} | {
    ("C62175", "NCIt"): "lobulation",
    ("C28749", "NCIt"): "spiculation",
    ("RID36042", "RadLex"): "malignancy",
}
_LATER_RATINGS = {
    ("calcification", "RID5741", "RadLex"): 3,
    ("calcification", "RID5827", "RadLex"): 5,
}
_RATING = re.compile(r"\s*([1-6]) out of [56]\b")


def is_concept(code: Code | None, concept: Concept) -> bool:
    """Tell whether a code is one of a concept's."""
    return code is not None and code.key in concept


def characteristic_of(concept: Code) -> str | None:
    """Return the LIDC characteristic that a concept stands for, by code or by meaning; None if it is none of them."""
    return _KEYS.get(concept.key) or _MEANINGS.get(concept.meaning.strip().lower())


def rating_of(characteristic: str, value: Code) -> int | None:
    """Return the rating that a coded value stands for, None where it is no rating of this characteristic."""
    for rating, code in LIDC_VALUES[characteristic].items():
        if code.key == value.key:
            return rating
    later = _LATER_RATINGS.get((characteristic, *value.key))
    if later is not None:
        return later
    stated = _RATING.match(value.meaning)
    if stated is not None:
        return checked_rating(characteristic, float(stated.group(1)))
    named = [
        rating
        for rating, code in LIDC_VALUES[characteristic].items()
        if code.meaning.lower() == value.meaning.strip().lower()
    ]
    return named[0] if named else None


def checked_rating(characteristic: str, value: float) -> int | None:
    """Return a number as a rating of this characteristic, None where it is not on its scale."""
    return int(value) if value in LIDC_VALUES[characteristic] else None
