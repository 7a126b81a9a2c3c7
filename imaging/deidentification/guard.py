"""What de-identification cannot reach: writing burned into pixels, and documents carried inside an object.

Cleaning pixel data (CID 7050 113101) is not implemented; an object that may need it is refused by name instead.
"""

from __future__ import annotations

from pydicom.dataset import Dataset

from imaging.deidentification.errors import NotDeidentifiable
from imaging.readers.dataset import text_of

_STORAGE = "1.2.840.10008.5.1.4.1.1."
_SECONDARY_CAPTURE = _STORAGE + "7"
_ENCAPSULATED = _STORAGE + "104."
_DIRECTORY = "1.2.840.10008.1.3.10"
# Conversion Type (0008,0064), PS3.3 C.8.6.1: made from film, video, a screen or a drawing.
_CONVERSIONS = frozenset({"DV", "DI", "DF", "WSD", "SD", "DRW"})
_SCREENS = frozenset(
    {"SCREEN SAVE", "SCREENSAVE", "SCREENSHOT", "SCREEN_CAPTURE", "DIGITIZED", "DOSE_INFO", "DOSE REPORT", "REPORT"}
)

UNSTATED = "does not say whether writing is burned into its pixels (Burned In Annotation is absent or empty)"


def refuse_what_cannot_be_cleaned(dataset: Dataset, *, has_pixels: bool) -> None:
    """Raise NotDeidentifiable where pixels, overlays or an enclosed document may show who someone is."""
    sop_class = text_of(dataset, "SOPClassUID")
    media_class = text_of(dataset.file_meta, "MediaStorageSOPClassUID") if hasattr(dataset, "file_meta") else ""
    for uid in (sop_class, media_class):
        if uid == _DIRECTORY:
            raise NotDeidentifiable("directory-file", "A DICOM directory lists patients by name; it is not taken.")
        if uid.startswith(_ENCAPSULATED):
            raise _encapsulated()
        if uid == _SECONDARY_CAPTURE or uid.startswith(_SECONDARY_CAPTURE + "."):
            raise _burned_in("it is a secondary capture, which may show a name as a picture")
    if "EncapsulatedDocument" in dataset:
        raise _encapsulated()
    if has_pixels:
        _refuse_pictures_of_writing(dataset)
    _refuse_overlays(dataset)


def leaves_burned_in_open(dataset: Dataset) -> bool:
    """Tell whether an object does not say if writing is burned into its pixels."""
    return text_of(dataset, "BurnedInAnnotation").upper() != "NO"


def _refuse_pictures_of_writing(dataset: Dataset) -> None:
    if text_of(dataset, "BurnedInAnnotation").upper() == "YES":
        raise _burned_in("it says so itself (Burned In Annotation is YES)")
    if text_of(dataset, "ConversionType").upper() in _CONVERSIONS:
        raise _burned_in("its pixels were made from film, video, a screen or a drawing (Conversion Type)")
    if _SCREENS.intersection(part.strip().upper() for part in text_of(dataset, "ImageType").split("\\")):
        raise _burned_in("it is a picture of a screen, of film or of a report (Image Type)")


def _refuse_overlays(dataset: Dataset) -> None:
    for tag in list(dataset.keys()):
        if tag.group & 0xFF00 != 0x6000 or tag.group & 1:
            continue
        if tag.element == 0x3000 and any(bytes(dataset[tag].value or b"")):
            raise _burned_in("an overlay plane is drawn over it")
        if tag.element == 0x0010 and (tag.group << 16 | 0x3000) not in dataset:
            # PS3.3 C.9.2: without Overlay Data its bits lie in unused bits of the pixel data.
            raise _burned_in("an overlay plane lies in unused bits of its pixels")


def _burned_in(why: str) -> NotDeidentifiable:
    return NotDeidentifiable(
        "burned-in-annotation",
        f"The object may show a name in its pixels: {why}. Pixels are not cleaned here, so nothing of it was kept.",
    )


def _encapsulated() -> NotDeidentifiable:
    return NotDeidentifiable(
        "encapsulated-document", "The object carries a document of another format inside; it was not taken."
    )
