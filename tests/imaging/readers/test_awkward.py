"""Files and series that broke other readers: each gets an answer with a name, and none takes the reader down."""

from __future__ import annotations

import time
from collections import defaultdict

import pytest

from imaging.errors import UnreadableFile
from imaging.geometry.gate import LUNG_CT_TOLERANCES, GateStatus, assess
from imaging.geometry.header import SliceHeader
from imaging.readers.series import CT_READ_LIMITS, load_volume, read_header
from imaging.readers.sniff import HEAD_BYTES, kind_of
from tests.imaging.readers import real

pytestmark = pytest.mark.real_data


def answer(data: bytes) -> str:
    try:
        read_header(data, CT_READ_LIMITS)
    except UnreadableFile as error:
        assert error.message
        return error.code
    return "read"


def test_every_awkward_file_gives_a_header_or_a_named_refusal_within_seconds() -> None:
    files = {path: data for path, data in real.archive("awkward-dicom.zip").items() if not path.endswith(".tsv")}
    assert len(files) == 238
    begun = time.process_time()
    answers = {path.rpartition("/")[2]: answer(data) for path, data in files.items()}
    assert time.process_time() - begun < 10
    tally: dict[str, int] = defaultdict(int)
    for code in answers.values():
        tally[code] += 1
    assert tally["read"] == 206
    named = {
        "0009_no_image": "not-dicom",
        "0080_OT-PAL-8-face.dcm": "not-dicom",
        "0096_bad_sequence.dcm": "invalid-uid",
        "0133_MR_truncated.dcm": "truncated",
        "0155_UN_sequence.dcm": "missing-required-tags",
        "0156_badVR.dcm": "bad-value",
        "0162_DICOMDIR-bigEnd": "dicomdir",
        "0174_meta_missing_tsyntax.dcm": "missing-transfer-syntax",
        "0186_rtplan_truncated.dcm": "truncated",
    }
    assert {name: answers[name] for name in named} == named


def test_a_name_that_ends_in_dcm_says_nothing_about_the_kind() -> None:
    kinds = {
        path.rpartition("/")[2]: kind_of(data[:HEAD_BYTES]) for path, data in real.archive("awkward-dicom.zip").items()
    }
    expected = {
        "0000_dicom.zip": "other",
        "0008_invalid_resolutions_tiff.tif": "other",
        "0014_seg_image_ct_binary.dcm": "dicom-seg",
        "0019_seg_image_sm_control_labelmap.dcm": "dicom-seg",
        "0029_sr_document.dcm": "dicom-sr",
        "0165_IM00000D": "dicom-image",
        "0191_non_existent_reference_rt.dcm": "dicom-rtstruct",
        "0195_CT1_J2KI": "dicom-image",
    }
    assert {name: kinds[name] for name in expected} == expected


def headers(part: str) -> list[SliceHeader]:
    found = real.files_under("awkward-series.zip", part)
    return [read_header(data, CT_READ_LIMITS) for path, data in found.items() if path.endswith(".dcm")]


@pytest.mark.parametrize(
    ("part", "codes", "words"),
    [
        ("gantrytilting/001/", {"gantry-tilt"}, "14.0 degrees"),
        ("notavolume/001/", {"duplicate-positions"}, "61.50"),
        ("slicecount/001/", {"too-few-slices", "wrong-modality", "non-axial"}, "90.0 degrees"),
        ("sliceincrement/001/", {"missing-slices"}, "10.00 mm"),
        ("sliceincrement/002/", {"missing-slices", "gantry-tilt"}, "15.5 degrees"),
        ("sliceorientation/001/", {"mixed-orientation", "mixed-pixel-spacing", "wrong-modality"}, "97.5 degrees"),
        ("panimg/dicom_4d/", {"several-volumes", "mixed-series"}, "the series holds"),
        ("panimg/dicom_4d_enhanced/", {"multi-frame", "missing-position"}, "several frames"),
        ("panimg/dicom_enhanced/", {"multi-frame", "duplicate-instances"}, "several frames"),
        ("panimg/dicom_2d/", {"too-few-slices", "wrong-modality"}, "1 slices"),
    ],
)
def test_a_series_that_is_no_volume_is_refused_by_name(part: str, codes: set[str], words: str) -> None:
    verdict = assess(headers(part), LUNG_CT_TOLERANCES)
    assert verdict.status is GateStatus.REFUSED
    assert codes <= set(verdict.codes)
    assert words in " ".join(finding.message for finding in verdict.findings)
    assert all(finding.sop_instance_uids for finding in verdict.findings)


@pytest.mark.parametrize(
    ("name", "slices", "step", "warning"),
    [
        ("4dlung.zip", 99, 3.0, None),
        ("lungdx-a0002.zip", 30, 8.0, None),
        ("lungfcp.zip", 98, 1.0, "slices-overlap"),
        ("acrin-chest.zip", 49, 4.0, "slices-overlap"),
    ],
)
def test_a_sound_chest_ct_becomes_a_volume(name: str, slices: int, step: float, warning: str | None) -> None:
    files: dict[str, bytes] = {}
    found: list[SliceHeader] = []
    for data in real.files_under(name, "ct/").values():
        header = read_header(data, CT_READ_LIMITS)
        files[header.sop_instance_uid] = data
        found.append(header)
    verdict = assess(found, LUNG_CT_TOLERANCES)
    assert verdict.accepted, verdict.findings
    assert (warning in verdict.codes) is (warning is not None)
    volume = load_volume(
        slices=found, open_bytes=files.__getitem__, tolerances=LUNG_CT_TOLERANCES, limits=CT_READ_LIMITS
    )
    assert volume.hounsfield.shape[0] == slices
    assert volume.grid.spacing_mm[0] == pytest.approx(step, abs=0.01)
    middle = volume.hounsfield[slices // 2]
    # A chest holds air and soft tissue, and neither units nor sign were lost on the way.
    assert (middle < -700).mean() > 0.1
    assert ((middle > -100) & (middle < 150)).mean() > 0.05
