"""An identified CT slice made in memory: names, numbers and dates wherever DICOM lets them stand."""

from __future__ import annotations

import io

import pydicom
from pydicom.dataset import Dataset, FileDataset
from pydicom.sequence import Sequence

from imaging.deidentification.dicom import deidentify_dicom
from imaging.deidentification.keys import ProjectKeys
from imaging.deidentification.profile import LABEL_QA_OPTIONS, Profile
from imaging.deidentification.report import Deidentified
from imaging.readers.limits import CT_READ_LIMITS
from tests.imaging.readers.made import a_dataset

KEYS = ProjectKeys(bytes(range(32)))
PROFILE = Profile(LABEL_QA_OPTIONS)

SECRETS = (
    "Mustermann",
    "Erika",
    "MRN4711-08",
    "19610812",
    "Heidestrasse",
    "Dr Quincke",
    "Quincke",
    "Charitable Infirmary",
    "ACC-99812",
    "20230517",
    "left her walking stick",
    "SCANNER-SN-5521",
    "1.2.826.0.1.3680043.10",
    "Schwester Ida",
)
"""Texts of which none may be found in what is kept."""


def item(**elements: object) -> Dataset:
    """A sequence item."""
    made = Dataset()
    for keyword, value in elements.items():
        setattr(made, keyword, value)
    return made


def code(value: str, meaning: str, scheme: str = "DCM") -> Dataset:
    """A code of a vocabulary."""
    return item(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=meaning)


def identified(*, number: int = 0, **changes: object) -> FileDataset:
    """A slice that names its patient in every way; ``changes`` set elements, None deletes them."""
    reference = item(
        ReferencedSOPClassUID="1.2.840.10008.5.1.4.1.1.2", ReferencedSOPInstanceUID="1.2.826.0.1.3680043.10.1.7"
    )
    nested = item(
        PatientName="Mustermann^Erika",
        StudyDate="20230517",
        ReferencedImageSequence=Sequence([reference]),
        OperatorsName="Schwester Ida",
    )
    nested.private_block(0x0029, "VENDOR", create=True).add_new(1, "LO", "Mustermann")
    elements: dict[str, object] = {
        "PatientName": "Mustermann^Erika",
        "PatientID": "MRN4711-08",
        "PatientBirthDate": "19610812",
        "PatientAge": "061Y",
        "PatientAddress": "Heidestrasse 17",
        "OtherPatientIDsSequence": Sequence([item(PatientID="MRN4711-08", TypeOfPatientID="TEXT")]),
        "ReferringPhysicianName": "Dr Quincke",
        "InstitutionName": "Charitable Infirmary",
        "AccessionNumber": "ACC-99812",
        "StudyDate": "20230517",
        "SeriesDate": "20230517",
        "AcquisitionDateTime": "20230517101502.250000+0200",
        "StudyTime": "101500",
        "DateOfLastCalibration": ["20230501", "20230502"],
        "StudyDescription": "Thorax, Mustermann",
        "SeriesDescription": "left her walking stick",
        "ImageComments": "left her walking stick",
        "RequestedContrastAgent": "Mustermann mix",
        "DeviceSerialNumber": "SCANNER-SN-5521",
        "IrradiationEventUID": ["1.2.826.0.1.3680043.10.5.1", "1.2.826.0.1.3680043.10.5.2"],
        "ReferencedImageSequence": Sequence([reference]),
        "SharedFunctionalGroupsSequence": Sequence([nested]),
        "OperatorIdentificationSequence": Sequence(
            [item(PersonIdentificationCodeSequence=Sequence([code("77", "Schwester Ida", "99HOSP")]))]
        ),
        "RequestAttributesSequence": Sequence([item(RequestedProcedureID="ACC-99812")]),
        "PatientOrientation": "",
        "BurnedInAnnotation": "NO",
    }
    made = a_dataset(number=number, **{**elements, **changes})
    made.private_block(0x0009, "VENDOR", create=True).add_new(1, "LO", "Mustermann^Erika")
    made.file_meta.SourceApplicationEntityTitle = "CHARITABLE"
    made.preamble = b"Mustermann".ljust(128, b"\0")
    return made


def written(dataset: FileDataset) -> bytes:
    """The dataset as a file."""
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()


def cleaned(dataset: FileDataset, *, keys: ProjectKeys = KEYS, profile: Profile = PROFILE) -> Deidentified:
    """What comes out for a dataset."""
    return deidentify_dicom(written(dataset), keys=keys, profile=profile, limits=CT_READ_LIMITS)


def read(data: bytes) -> FileDataset:
    """A file as pydicom reads it."""
    return pydicom.dcmread(io.BytesIO(data))
