"""Public images, segmentations, structure sets and reports, de-identified: labels land where they landed before."""

from __future__ import annotations

import io
import shutil
import subprocess
from pathlib import Path

import pydicom
import pytest

from imaging.deidentification.files import deidentify
from imaging.readers.formats import ReadContext
from imaging.readers.limits import CT_READ_LIMITS
from imaging.readers.registry import LABEL_FORMATS
from imaging.readers.sniff import Kind, kind_of_whole
from imaging.readers.vocabulary import LUNG_CT_VOCABULARY
from tests.imaging.deidentification.identified import KEYS, PROFILE
from tests.imaging.readers import real

pytestmark = [pytest.mark.real_data, pytest.mark.requirement("REQ-17")]

ARCHIVES = ("4dlung.zip", "seg-sr-pairs.zip", "lidc-0001.zip", "acrin-chest.zip", "lungfcp.zip")
PICTURES = 2
"""Images of one archive that are looked at: the others were made by the same machine."""


def objects(archive: str) -> dict[str, tuple[bytes, Kind]]:
    """The DICOM objects of an archive: all labels, a few images."""
    found: dict[str, tuple[bytes, Kind]] = {}
    images = 0
    for name, data in sorted(real.archive(archive).items()):
        kind = kind_of_whole(data)
        images += kind == "dicom-image"
        if kind.startswith("dicom-") and (kind != "dicom-image" or images <= PICTURES):
            found[name] = data, kind
    return found


def cleaned(data: bytes, kind: Kind) -> bytes:
    return deidentify(data, kind, KEYS, PROFILE, CT_READ_LIMITS).data


def faults(data: bytes, place: Path) -> set[str]:
    """What dciodvfy calls an error in a file."""
    place.write_bytes(data)
    done = subprocess.run(["dciodvfy", place], capture_output=True, text=True, check=False)
    return {line for line in (done.stdout + done.stderr).splitlines() if line.startswith("Error")}


@pytest.mark.parametrize("archive", ARCHIVES)
def test_an_object_is_as_valid_as_before(archive: str, tmp_path: Path) -> None:
    if shutil.which("dciodvfy") is None:
        pytest.skip("dciodvfy is not on this machine (Debian: dicom3tools)")
    for name, (data, kind) in objects(archive).items():
        new = faults(cleaned(data, kind), tmp_path / "f.dcm") - faults(data, tmp_path / "f.dcm")
        assert new == set(), name


@pytest.mark.parametrize("archive", ARCHIVES)
def test_every_reference_between_objects_still_leads_where_it_led(archive: str) -> None:
    for name, (data, kind) in objects(archive).items():
        before, after = (
            [
                str(element.value)
                for element in pydicom.dcmread(io.BytesIO(one)).iterall()
                if element.keyword == "ReferencedSOPInstanceUID"
            ]
            for one in (data, cleaned(data, kind))
        )
        assert after == [KEYS.uid(uid) for uid in before], name


def test_a_structure_set_has_the_same_contours_under_the_same_names() -> None:
    [(data, kind)] = [one for one in objects("4dlung.zip").values() if one[1] == "dicom-rtstruct"]
    before, after = pydicom.dcmread(io.BytesIO(data)), pydicom.dcmread(io.BytesIO(cleaned(data, kind)))
    assert [roi.ROIName for roi in after.StructureSetROISequence] == [
        roi.ROIName for roi in before.StructureSetROISequence
    ]
    contours = [
        [contour.ContourData for roi in one.ROIContourSequence for contour in roi.ContourSequence]
        for one in (before, after)
    ]
    assert contours[0] == contours[1]


def test_label_files_that_are_text_name_the_deidentified_images() -> None:
    context = ReadContext("voc/x.xml", LUNG_CT_VOCABULARY, CT_READ_LIMITS, 0.5)
    data = real.member("lidc-0001.zip", "annotations-lidc.xml")
    before = LABEL_FORMATS["lidc-xml"].references(data, context)
    after = LABEL_FORMATS["lidc-xml"].references(cleaned(data, "lidc-xml"), context)
    assert after.sop_instance_uids == {KEYS.uid(uid) for uid in before.sop_instance_uids}
    assert after.series_instance_uids == {KEYS.uid(uid) for uid in before.series_instance_uids}
