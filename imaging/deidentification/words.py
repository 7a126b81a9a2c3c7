"""Which short texts are known to hold no identity: those that are made of words that name tissue, shape or place.

Nobody can list all names; so the known harmless words are listed instead, and whatever else occurs is replaced.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Set

_TISSUE_SHAPE_PLACE = """
abdomen abnormal abnormality acquisition adenocarcinoma adjacent adrenal airspace airway airways algorithm all
and annotated annotation anonymous anterior anything aorta aortic apex apical apices artery atelectasis atrium
attenuation automatic axial azygos background ball base benign binary blinded blue body bone bones border both
boundary brachial brain breast bronchi bronchiectasis bronchus calcification calcified candidate carcinoma
cardiac carina cava cavity central centroid chest chestwall chord clavicle cm coarse consolidation contour
contours contralateral contrast cord coronal couch ct ctv cyst dark data definite degree dense density detected
detection diameter diaphragm difference diffuse disease dose edge effusion emphysema empty end esophagus event
exhale expert external false fat fibrosis field fine first fissure fissures focus foreground fourth fractional
frame full gating ggn ggo gland glass global glycolysis granuloma gray great green gross ground groundglass
group groups gtv gtvn gtvp head heart high hilar hilum histologic homogeneous ill image images imeron implant
inclusion inferior infiltrate inhale inner insertion intensity intermediate internal interstitial invasive
iobitridol iodixanol iohexol iomeprol iomeron iopamidol iopromide ioversol ipsilateral isocenter isocentre
isovue itv iv joint juxtapleural juxtavascular key kidney label labels large largest larynx lateral left lesion
lesions level light lingula liver lll ln lns lobe lobes lobulated lobulation local localization low lower lul
lung lungs lymph lymphadenopathy malignancy malignant manual map margin mark mask masks mass max maximum
measurement measurements medial median mediastinal mediastinum medium metastases metastasis metastatic middle
min minimum mixed ml mm model moderate motion multiple muscle neck necrosis necrotic negative neoplasm no node
nodes nodular nodule nodules non none normal not number object oesophagus of old omnipaque opacities opacity
optic optiray oral orange organ outer outline outside ovoid pancreas parenchyma part partial patch percent
percentile pericardial pericardium peripheral phase physician planning plaque pleura pleural pneumonia
pneumothorax point points poor positive possible posterior potential predicted prediction primary probable ptv
pulmonary purple quarter range read reader rectum red reference region regions removed result rgb rib ribs right
rll rml roi round rounded rul scan scar sclerotic second section seg segment segmentation segments semi series
shape sharp skeleton skin slice slices small smooth soft solid spherical sphericity spiculated spiculation
spinal spine spleen squamous standard stent sternum stomach structure structures study sub subpleural subsolid
subtle subtlety superior surface target texture the thick thin third thoracic thorax thyroid tissue total
trachea tree true truth tuberculosis tumor tumors tumour tumours type ultravist unblinded unclassified unknow
unknown unspecified upper value values vein vena ventricle vertebra vertebrae vertebral vessel vessels view
visipaque volume wall watershed well whole with within without xenetix yellow yes zone
"""
_WORDS = frozenset(_TISSUE_SHAPE_PLACE.split())

_FILES_AND_FOLDERS = """
annotations anon anonymised anonymized archive bin boxes case cases coco csv dat datalist dataset dcm deliveries
delivery dicom dir export file files folder ground groundtruth gt gz hdr identified img import in info instance
instances json labelmap lidc list localiser localizer main nifti nii nrrd out output pat patient patients pixel
pred predictions proj project pushed raw rt rtss rtstruct scans scout se secondary sr st subject subjects subset
tar tcia test testing topogram train training txt upload uploads val validation version voc vol xml zip
"""
_FILE_WORDS = frozenset(_FILES_AND_FOLDERS.split())

_TOKEN = re.compile(r"[^\W\d_]+|\d+")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_LONGEST_NUMBER = 3
_LONGEST_FILE_NUMBER = 4


def is_harmless(text: str, *, identities: Set[str]) -> bool:
    """Tell whether a text is made of nothing but known words, single letters and numbers of up to 3 digits.

    ``identities`` are the words (case-folded) that identify someone in the file at hand; none of them is harmless.
    """
    return _all_known(text, identities, (_WORDS,), _LONGEST_NUMBER)


def is_harmless_file_part(text: str, *, identities: Set[str]) -> bool:
    """Tell the same of one part of a path, where words for files and numbers of up to 4 digits, or with leading zeros
    up to that size, are harmless too."""
    return _all_known(text, identities, (_WORDS, _FILE_WORDS), _LONGEST_FILE_NUMBER)


def holds_identity(text: str, *, identities: Set[str]) -> bool:
    """Tell whether one of the words that identify someone in the file at hand occurs in a text as a word."""
    if not identities:
        return False
    folded = text.casefold()
    return any(_occurs(word, folded) for word in identities)


def identity_words(texts: Iterable[str], *, least: int) -> frozenset[str]:
    """Return what to look for: every text, case-folded, and its parts at ``^ = , space``, of ``least`` letters or more.

    Parts that are known harmless words of files' formats stay in: within the file that names them they identify.
    """
    found: set[str] = set()
    for text in texts:
        folded = " ".join(text.casefold().split())
        found.update(part for part in (folded, *re.split(r"[\^=,;\s]+", folded)) if len(part) >= least)
    return frozenset(found)


def _all_known(text: str, identities: Set[str], known: tuple[Set[str], ...], longest_number: int) -> bool:
    if holds_identity(text, identities=identities):
        return False
    for token in _TOKEN.findall(_CAMEL.sub(" ", text).casefold()):
        if token.isdigit():
            if len(token.lstrip("0")) > longest_number or len(token) > 2 * longest_number:
                return False
        elif not (len(token) == 1 and token.isascii()) and not any(token in words for words in known):
            return False
    return True


def _occurs(word: str, folded: str) -> bool:
    at = folded.find(word)
    while at >= 0:
        before, after = folded[at - 1 : at], folded[at + len(word) : at + len(word) + 1]
        if not before.isalnum() and not after.isalnum():
            return True
        at = folded.find(word, at + 1)
    return False
