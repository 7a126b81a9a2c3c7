"""De-identifying any file that is read here: the way in for callers, with picklable arguments and results."""

from __future__ import annotations

import hashlib

from imaging.deidentification.dicom import deidentify_dicom
from imaging.deidentification.errors import NotDeidentifiable
from imaging.deidentification.fields import FieldRules
from imaging.deidentification.keys import ProjectKeys
from imaging.deidentification.label_texts import CLEANERS
from imaging.deidentification.profile import Profile
from imaging.deidentification.report import Deidentified, Tally
from imaging.deidentification.volume_headers import clean_nifti, clean_nrrd
from imaging.errors import ImagingError
from imaging.readers.limits import ReadLimits
from imaging.readers.sniff import Kind


def deidentify(data: bytes, kind: Kind, keys: ProjectKeys, profile: Profile, limits: ReadLimits) -> Deidentified:
    """Return a file of a known kind without what identifies people: DICOM by PS3.15 Annex E, label files by field.

    The same bytes come out for the same file, keys and profile. Arguments are by position, as a sandbox's call has
    them. Raises UnreadableFile for damaged bytes, NotDeidentifiable for what cannot be cleaned.
    """
    try:
        return _deidentified(data, kind, keys, profile, limits)
    except ImagingError:
        raise
    # Values of another type than their element's, texts that no encoding holds: pydicom and the codecs raise nearly
    # anything, and what they say may quote the value.
    except Exception as error:
        raise NotDeidentifiable(
            "not-parsable", f"The file cannot be cleaned ({type(error).__name__}); nothing of it was kept."
        ) from error


def _deidentified(data: bytes, kind: Kind, keys: ProjectKeys, profile: Profile, limits: ReadLimits) -> Deidentified:
    if kind.startswith("dicom-"):
        return deidentify_dicom(data, keys=keys, profile=profile, limits=limits)
    tally = Tally()
    rules = FieldRules(keys, profile, tally)
    cleaner = CLEANERS.get(kind)
    if cleaner is not None:
        cleaned = cleaner(data, rules)
    elif kind == "nifti":
        cleaned = clean_nifti(data, rules, limit_bytes=limits.inflated_bytes)
    elif kind == "nrrd":
        cleaned = clean_nrrd(data, rules, limit_bytes=limits.inflated_bytes)
    else:
        raise NotDeidentifiable("unknown-label-format", f"Nothing here knows what a file of the kind {kind} may say.")
    return Deidentified(
        data=cleaned,
        original_sha256=hashlib.sha256(data).hexdigest(),
        sha256=hashlib.sha256(cleaned).hexdigest(),
        report=tally.report(),
        crosswalk=tally.crosswalk(),
    )
