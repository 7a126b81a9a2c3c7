"""De-identifying one DICOM object: PS3.15 Annex E, basic profile with the options of a ``Profile``."""

from __future__ import annotations

import hashlib
import io

from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.sequence import Sequence as ItemSequence
from pydicom.uid import UID, ExplicitVRBigEndian, ImplicitVRLittleEndian

from imaging.deidentification.elements import ElementRules, Subject, texts_of
from imaging.deidentification.errors import NotDeidentifiable
from imaging.deidentification.guard import UNSTATED, leaves_burned_in_open, refuse_what_cannot_be_cleaned
from imaging.deidentification.keys import ProjectKeys
from imaging.deidentification.profile import METHOD, Option, Profile
from imaging.deidentification.report import Deidentified, Tally
from imaging.deidentification.words import identity_words
from imaging.errors import ImagingError
from imaging.readers.dataset import OpenedDataset, open_dataset, text_of
from imaging.readers.limits import ReadLimits

IMPLEMENTATION_CLASS_UID = "2.25.264283470871352905118013240437206312811"
IMPLEMENTATION_VERSION = "LABELQA_DEID_1"

_NAME_OF_IDENTITY = frozenset(
    {0x00100020, 0x00101000, 0x00101002, 0x00100030, 0x00080050, 0x00101040, 0x00102154, 0x00080080, 0x00400275}
)
_CROSSED = {
    "StudyInstanceUID": "study",
    "SeriesInstanceUID": "series",
    "SOPInstanceUID": "instance",
    "FrameOfReferenceUID": "frame-of-reference",
}


def deidentify_dicom(data: bytes, *, keys: ProjectKeys, profile: Profile, limits: ReadLimits) -> Deidentified:
    """Return a DICOM file without what identifies people: the same bytes for the same file, keys and profile.

    Pixels, geometry and technique stay as they are, and so does the transfer syntax. The preamble is zeroed and the
    file meta group written anew.

    Raises UnreadableFile as ``open_dataset`` does, and NotDeidentifiable.
    """
    opened = open_dataset(data, limits, with_pixels=True)
    dataset = opened.dataset
    tally = Tally()
    refuse_what_cannot_be_cleaned(dataset, has_pixels=opened.pixel_bytes is not None)
    if opened.pixel_bytes is not None and leaves_burned_in_open(dataset):
        tally.remark(UNSTATED)
    subject = _subject(dataset, keys, tally)
    for keyword, kind in _CROSSED.items():
        uid = text_of(dataset, keyword)
        tally.crossed(kind, uid, keys.uid(uid))
    ElementRules(keys=keys, profile=profile, subject=subject, tally=tally).treat(dataset)
    _say_what_was_done(dataset, profile, subject)
    written = _written(opened, dataset)
    return Deidentified(
        data=written,
        original_sha256=hashlib.sha256(data).hexdigest(),
        sha256=hashlib.sha256(written).hexdigest(),
        report=tally.report(),
        crosswalk=tally.crosswalk(),
    )


def _subject(dataset: FileDataset, keys: ProjectKeys, tally: Tally) -> Subject:
    """A patient is who has this Patient ID; without one, each study counts as a patient of its own."""
    patient_id = text_of(dataset, "PatientID")
    who = patient_id or text_of(dataset, "StudyInstanceUID") or text_of(dataset, "SOPInstanceUID")
    pseudonym = keys.patient(who)
    tally.crossed("patient", patient_id, pseudonym)
    names = texts_of(dataset, lambda tag, vr: vr == "PN")
    numbers = texts_of(dataset, lambda tag, vr: tag in _NAME_OF_IDENTITY)
    return Subject(
        pseudonym=pseudonym,
        days_back=keys.days_back(who),
        identities=identity_words(names, least=3) | identity_words(numbers, least=4),
    )


def _say_what_was_done(dataset: FileDataset, profile: Profile, subject: Subject) -> None:
    """Write the elements of PS3.15 E.1.1 step 8 and PS3.3 C.7.1.1 and C.12.1: that, how, and with which options."""
    dataset.PatientID = subject.pseudonym
    dataset.PatientName = subject.pseudonym
    dataset.PatientIdentityRemoved = "YES"
    dataset.DeidentificationMethod = METHOD
    dataset.DeidentificationMethodCodeSequence = ItemSequence([_code(*code) for code in profile.codes])
    moved = Option.MODIFIED_DATES in profile.options
    dataset.LongitudinalTemporalInformationModified = "MODIFIED" if moved else "REMOVED"


def _code(value: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue = value
    item.CodingSchemeDesignator = "DCM"
    item.CodeMeaning = meaning
    return item


def _written(opened: OpenedDataset, dataset: FileDataset) -> bytes:
    syntax = opened.transfer_syntax_uid
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\x00\x01"
    stated_class = text_of(dataset.file_meta, "MediaStorageSOPClassUID")
    meta.MediaStorageSOPClassUID = UID(stated_class or text_of(dataset, "SOPClassUID"))
    meta.MediaStorageSOPInstanceUID = UID(text_of(dataset, "SOPInstanceUID"))
    meta.TransferSyntaxUID = UID(syntax)
    meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    meta.ImplementationVersionName = IMPLEMENTATION_VERSION
    dataset.file_meta = meta
    dataset.preamble = b"\x00" * 128
    known = not meta.TransferSyntaxUID.is_private
    buffer = io.BytesIO()
    try:
        if known:
            dcmwrite(buffer, dataset, enforce_file_format=True)
        else:
            dcmwrite(
                buffer,
                dataset,
                enforce_file_format=False,
                implicit_vr=syntax == ImplicitVRLittleEndian,
                little_endian=syntax != ExplicitVRBigEndian,
            )
    except ImagingError:
        raise
    # pydicom raises nearly anything on values that cannot be written.
    except Exception as error:
        raise NotDeidentifiable(
            "not-parsable", f"The object cannot be written again ({type(error).__name__}); nothing of it was kept."
        ) from error
    return buffer.getvalue()
