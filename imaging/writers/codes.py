"""Coded concepts that written DICOM objects use.

Characteristics carry the codes of the published DICOM conversion of LIDC-IDRI (Fedorov et al., Med Phys 47:5953, 2020),
so that whoever reads that collection reads ours; anatomy and sizes are SNOMED CT.
"""

from __future__ import annotations

from collections.abc import Mapping

from pydicom.sr.coding import Code

from imaging.types import Category

LUNG = Code("39607008", "SCT", "Lung")
LONG_AXIS = Code("103339001", "SCT", "Long Axis")
SHORT_AXIS = Code("103340004", "SCT", "Short Axis")
VOLUME = Code("118565006", "SCT", "Volume")
DIAMETER = Code("81827009", "SCT", "Diameter")
MILLIMETRE = Code("mm", "UCUM", "millimeter")
CUBIC_MILLIMETRE = Code("mm3", "UCUM", "cubic millimeter")

_ABNORMAL = Code("49755003", "SCT", "Morphologically Abnormal Structure")
_ANATOMICAL = Code("91723000", "SCT", "Anatomical Structure")

PROPERTY_CATEGORY: Mapping[Category, Code] = {
    Category.NODULE_GE_3MM: _ABNORMAL,
    Category.NODULE_LT_3MM: _ABNORMAL,
    Category.NON_NODULE: _ABNORMAL,
    Category.STRUCTURE: _ANATOMICAL,
}
"""What kind of thing a segment is (CID 7150)."""

PROPERTY_TYPE: Mapping[Category, Code] = {
    Category.NODULE_GE_3MM: Code("27925004", "SCT", "Nodule"),
    Category.NODULE_LT_3MM: Code("27925004", "SCT", "Nodule"),
    # SNOMED CT has no word for "looks like a nodule and is none", which is what LIDC's readers meant.
    Category.NON_NODULE: Code("non-nodule", "99LABELQA", "Non-nodule"),
    Category.STRUCTURE: Code("85756007", "SCT", "Body Tissue"),
}
"""What a segment shows. The standard's codes do not tell nodules below 3 mm from larger ones."""

_LIDC, _NCIT, _RADLEX = "99LIDCQIICR", "NCIt", "RadLex"

CHARACTERISTIC: Mapping[str, Code] = {
    "subtlety": Code("C45992", _NCIT, "Subtlety score"),
    "internalStructure": Code("200", _LIDC, "Internal structure"),
    "calcification": Code("C3672", _NCIT, "Calcification"),
    "sphericity": Code("400", _LIDC, "Sphericity"),
    "margin": Code("C25563", _NCIT, "Margin"),
    "lobulation": Code("C62175", _NCIT, "Lobular Pattern"),
    "spiculation": Code("C28749", _NCIT, "Spiculation"),
    "texture": Code("C41144", _NCIT, "Texture"),
    "malignancy": Code("RID36042", _RADLEX, "Malignancy"),
}
"""The rated characteristics of the LIDC reading process, by their names in its files."""


def _out_of_five(number: int) -> Code:
    return Code(f"{number:03d}", _LIDC, f"{number} out of 5")


_TWO, _THREE, _FOUR = _out_of_five(2), _out_of_five(3), _out_of_five(4)

RATING: Mapping[str, Mapping[int, Code]] = {
    "subtlety": {
        1: Code("101", _LIDC, "1 out of 5 (Extremely subtle)"),
        2: Code("102", _LIDC, "2 out of 5 (Moderately subtle)"),
        3: Code("103", _LIDC, "3 out of 5 (Fairly subtle)"),
        4: Code("104", _LIDC, "4 out of 5 (Moderately obvious)"),
        5: Code("105", _LIDC, "5 out of 5 (Obvious)"),
    },
    "internalStructure": {
        1: Code("C12471", _NCIT, "Soft tissue"),
        2: Code("C25278", _NCIT, "Fluid"),
        3: Code("C12472", _NCIT, "Adipose tissue"),
        4: Code("C73434", _NCIT, "Air"),
    },
    "calcification": {
        1: Code("RID35453", _RADLEX, "Popcorn calcification sign"),
        2: Code("302", _LIDC, "Laminated appearance"),
        3: Code("RID5741", _RADLEX, "Solid appearance"),
        4: Code("304", _LIDC, "Non-central appearance"),
        5: Code("RID5827", _RADLEX, "Central calcification"),
        6: Code("RID28473", _RADLEX, "Absent"),
    },
    "sphericity": {
        1: Code("RID5811", _RADLEX, "linear"),
        2: _TWO,
        3: Code("RID5800", _RADLEX, "ovoid"),
        4: _FOUR,
        5: Code("RID5799", _RADLEX, "round"),
    },
    "margin": {
        1: Code("RID5709", _RADLEX, "Indistinct margin"),
        2: _TWO,
        3: _THREE,
        4: _FOUR,
        5: Code("RID5707", _RADLEX, "Circumscribed margin"),
    },
    "lobulation": {
        1: Code("601", _LIDC, "1 out of 5 (No lobulation)"),
        2: _TWO,
        3: _THREE,
        4: _FOUR,
        5: Code("605", _LIDC, "5 out of 5 (Marked lobulation)"),
    },
    "spiculation": {
        1: Code("701", _LIDC, "1 out of 5 (No spiculation)"),
        2: _TWO,
        3: _THREE,
        4: _FOUR,
        5: Code("705", _LIDC, "5 out of 5 (Marked spiculation)"),
    },
    "texture": {
        1: Code("RID50153", _RADLEX, "non-solid pulmonary nodule"),
        2: _TWO,
        3: Code("RID50152", _RADLEX, "part-solid pulmonary nodule"),
        4: _FOUR,
        5: Code("RID50151", _RADLEX, "solid pulmonary nodule"),
    },
    "malignancy": {
        1: Code("901", _LIDC, "1 out of 5 (Highly Unlikely for Cancer)"),
        2: Code("902", _LIDC, "2 out of 5 (Moderately Unlikely for Cancer)"),
        3: Code("903", _LIDC, "3 out of 5 (Indeterminate Likelihood)"),
        4: Code("904", _LIDC, "4 out of 5 (Moderately Suspicious for Cancer)"),
        5: Code("905", _LIDC, "5 out of 5 (Highly Suspicious for Cancer)"),
    },
}
"""What each rating of each characteristic is coded as."""
