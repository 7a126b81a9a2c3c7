"""Every part of seg-sr-pairs.zip: read as what it is, or refused by name."""

from __future__ import annotations

import gzip
import io

import numpy as np
import pytest
from pydicom import dcmread

from imaging.masks.build import full_voxels
from imaging.readers.registry import LABEL_FORMATS
from imaging.readers.sniff import kind_of
from imaging.types import AnnotationImport
from tests.imaging.readers import pairs, real

pytestmark = pytest.mark.real_data

Outcome = tuple[str, tuple[int, ...], tuple[str, ...]]
"""The series that it was read on, voxels of each finding (0 for points), codes of rejections."""

LIVER_SR = ("liver", (107098,), ())
TILES = ("spine", (), ("tiled-segmentation",))

LABELS: dict[str, Outcome] = {
    "dcmqi-liver/liver.dcm": ("liver", (107098,), ()),
    "dcmqi-liver/partial_overlaps.dcm": ("liver", (9602, 11888, 10743, 6693, 4713), ()),
    "dcmqi-liver/sparse-labelmap-noppv.dcm": ("24x38x3", (630,), ()),
    "dcmqi-liver/sparse-labelmap-ppv5.dcm": ("24x38x3", (630,), ()),
    "dcmqi-liver/SR_TID1500_dcmqi.dcm": LIVER_SR,
    "dcmqi-liver/SR_TID1500_rsna2018.dcm": LIVER_SR,
    "SR_TID1500_planar_TCGA-BP-4343_no_images.dcm": (
        "spine",
        (),
        ("dangling-reference", "group-without-place", "dangling-reference"),
    ),
    "dcmqi-pet-sr/seg.dcm": ("spine", (), ("another-modality",)),
    "dcmqi-pet-sr/sr.dcm": (
        "spine",
        (),
        (
            "another-modality",
            "segment-not-held",
            "dangling-reference",  # its source series
            "dangling-reference",  # its real-world value map
            "group-without-place",
        ),
    ),
    "dcmqi-23x38x3/seg/label.seg": ("23x38x3", (322,), ()),
    "dcmqi-24x38x3/seg/label.seg": ("24x38x3", (315,), ()),
    "highdicom-ct/seg_image_cr_binary.dcm": ("spine", (), ("another-modality",)),
    "highdicom-ct/seg_image_ct_binary.dcm": ("spine", (638,), ()),
    "highdicom-ct/seg_image_ct_binary_fractional.dcm": ("spine", (638,), ()),
    "highdicom-ct/seg_image_ct_true_fractional.dcm": ("spine", (638,), ()),
    # It has frames on the slice that lies 202.5 mm from the others.
    "highdicom-ct/seg_image_ct_binary_overlap.dcm": ("spine", (), ("label-outside-image", "dangling-reference")),
    "highdicom-ct/seg_image_ct_binary_single_frame.dcm": ("slice", (1832,), ()),
    "highdicom-ct/seg_image_sm_control.dcm": TILES,
    "highdicom-ct/seg_image_sm_control_labelmap.dcm": TILES,
    "highdicom-ct/seg_image_sm_control_labelmap_palette_color.dcm": TILES,
    "highdicom-ct/seg_image_sm_dots.dcm": TILES,
    "highdicom-ct/seg_image_sm_dots_tiled_full.dcm": TILES,
    "highdicom-ct/seg_image_sm_numbers.dcm": TILES,
    "highdicom-ct/sr_document.dcm": ("slice", (384,), ()),
    "highdicom-ct/sr_document_with_multiple_groups.dcm": (
        "slice",
        (316, 400),
        # The aorta's open outline, the vertebra's place outside its image, and with it two groups without a place.
        ("outline-closed", "label-outside-image", "group-without-place", "group-without-place"),
    ),
}

OTHERS = {
    "dicom-image": 25,  # the CT slices, legacy multi-frame CT, slides, a radiograph
    "nrrd": 2,
    "other": 3,  # a README, a real-world value map, annotations of microscopy
}


def read(path: str, series: str) -> AnnotationImport:
    data = real.archive(pairs.ARCHIVE)[path]
    kind = kind_of(data)
    return LABEL_FORMATS[kind].read(data, pairs.series(series), pairs.context_with(companion=pairs.objects().get))


@pytest.mark.parametrize("path", sorted(LABELS))
def test_each_label_is_read_or_refused_by_name(path: str) -> None:
    series, voxels, codes = LABELS[path]
    found = read(path, series)
    findings = [finding for one in found.annotation_sets for finding in one.findings]
    assert tuple(finding.mask.count if finding.mask else 0 for finding in findings) == voxels
    assert tuple(rejection.code for rejection in found.rejections) == codes
    assert all(rejection.message for rejection in found.rejections)
    assert all(finding.round_trip is not None and finding.round_trip.voxels <= 0.5 for finding in findings)


def test_nothing_of_the_archive_is_left_out_of_the_table() -> None:
    files = real.archive(pairs.ARCHIVE)
    kinds = {path: kind_of(data) for path, data in files.items()}
    assert {path for path, kind in kinds.items() if kind in {"dicom-seg", "dicom-sr", "dicom-rtstruct"}} == set(LABELS)
    rest = [kind for path, kind in kinds.items() if path not in LABELS]
    assert {kind: rest.count(kind) for kind in rest} == OTHERS


@pytest.mark.parametrize("width", [23, 24])
def test_the_segmentation_holds_the_voxels_of_the_label_volume_that_it_was_made_from(width: int) -> None:
    folder = f"dcmqi-{width}x38x3"
    raw = real.archive(pairs.ARCHIVE)[f"{folder}/nrrd/label.nrrd"]
    stored = np.frombuffer(gzip.decompress(raw[raw.index(b"\n\n") + 2 :]), dtype="<i2").reshape(3, 38, width)
    (one,) = read(f"{folder}/seg/label.seg", folder[6:]).annotation_sets
    mask = one.findings[0].mask
    assert mask is not None
    # Frames of 23 x 38 bits do not begin on whole bytes.
    assert np.array_equal(full_voxels(mask), stored != 0)


def test_overlapping_segments_keep_the_voxels_that_they_share() -> None:
    (one,) = read("dcmqi-liver/partial_overlaps.dcm", "liver").annotation_sets
    whole = [full_voxels(finding.mask) for finding in one.findings if finding.mask is not None]
    dataset = dcmread(io.BytesIO(real.archive(pairs.ARCHIVE)["dcmqi-liver/partial_overlaps.dcm"]))
    assert sum(int(mask.sum()) for mask in whole) == int(dataset.pixel_array.sum())
    assert np.maximum.reduce(whole).sum() < sum(int(mask.sum()) for mask in whole)


def test_true_fractions_are_cut_at_the_threshold_and_their_mean_is_the_confidence() -> None:
    (one,) = read("highdicom-ct/seg_image_ct_true_fractional.dcm", "spine").annotation_sets
    assert one.findings[0].confidence == pytest.approx(128 / 255)
    path = "highdicom-ct/seg_image_ct_true_fractional.dcm"
    data = real.archive(pairs.ARCHIVE)[path]
    lower = LABEL_FORMATS["dicom-seg"].read(data, pairs.series("spine"), pairs.context_with(fraction_threshold=0.25))
    finding = lower.annotation_sets[0].findings[0]
    assert finding.mask is not None
    assert finding.mask.count == 638 + 23
    higher = LABEL_FORMATS["dicom-seg"].read(data, pairs.series("spine"), pairs.context_with(fraction_threshold=0.9))
    assert [rejection.code for rejection in higher.rejections] == ["empty-segment"]


def test_a_report_whose_segmentation_is_not_at_hand_names_it_by_uid() -> None:
    data = real.archive(pairs.ARCHIVE)["dcmqi-liver/SR_TID1500_dcmqi.dcm"]
    found = LABEL_FORMATS["dicom-sr"].read(data, pairs.series("liver"), pairs.context_with())
    assert found.annotation_sets == ()
    dangling = [rejection for rejection in found.rejections if rejection.code == "dangling-reference"]
    segmentation = dcmread(io.BytesIO(real.archive(pairs.ARCHIVE)["dcmqi-liver/liver.dcm"]), stop_before_pixels=True)
    assert dangling[0].subjects[0] == segmentation.SOPInstanceUID


def test_a_report_names_the_images_that_it_describes() -> None:
    data = real.archive(pairs.ARCHIVE)["dcmqi-liver/SR_TID1500_dcmqi.dcm"]
    named = LABEL_FORMATS["dicom-sr"].references(data, pairs.context_with())
    liver = pairs.series("liver")
    assert named.sop_instance_uids == set(liver.sop_instance_uids)
    assert named.series_instance_uids == {liver.series_instance_uid}
