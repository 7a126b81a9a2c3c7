"""Published label files that are not DICOM: boxes, tables, label volumes and LIDC contours on their own scans."""

from __future__ import annotations

import functools
import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import SimpleITK

from imaging.geometry.affine import as_affine, to_index
from imaging.geometry.gate import LUNG_CT_TOLERANCES, assess
from imaging.geometry.series import SeriesGeometry
from imaging.geometry.stack import stack_findings, stack_grid
from imaging.masks.build import full_voxels
from imaging.masks.measure import centroid
from imaging.readers import lidc, luna16, nrrd, segmentation, voc
from imaging.readers.formats import ReadContext
from imaging.readers.label_grid import Fit, fit_of
from imaging.readers.limits import CT_READ_LIMITS
from imaging.readers.series import read_header
from imaging.readers.sniff import HEAD_BYTES, kind_of
from imaging.readers.vocabulary import LUNG_CT_VOCABULARY, LabelVocabulary
from imaging.types import AnnotationImport, Category, Finding, Grid
from tests.imaging.readers import real

pytestmark = pytest.mark.real_data


def context(name: str, vocabulary: LabelVocabulary = LUNG_CT_VOCABULARY) -> ReadContext:
    return ReadContext(name, vocabulary, CT_READ_LIMITS, fraction_threshold=0.5)


@functools.lru_cache(maxsize=4)
def geometry(archive: str, folder: str, *, must_pass: bool = True) -> SeriesGeometry:
    """A series as the gate accepts it, or (for phantoms without Hounsfield units) as its positions alone have it."""
    headers = [read_header(data, CT_READ_LIMITS) for data in real.files_under(archive, folder).values()]
    verdict = assess(headers, LUNG_CT_TOLERANCES)
    if must_pass:
        assert verdict.grid is not None
        return SeriesGeometry(verdict.grid, headers[0].series_instance_uid, verdict.sop_instance_uids)
    ordered = stack_findings(headers, LUNG_CT_TOLERANCES).ordered
    uids = tuple(header.sop_instance_uid for header in ordered)
    return SeriesGeometry(stack_grid(ordered), headers[0].series_instance_uid, uids)


def findings(found: AnnotationImport) -> list[Finding]:
    return [finding for one in found.annotation_sets for finding in one.findings]


def test_ten_boxes_of_lungdx_are_placed_and_eight_are_reported_dangling_by_uid() -> None:
    image = geometry("lungdx-a0002.zip", "ct/")
    files = real.files_under("lungdx-a0002.zip", "voc/")
    read = {path: voc.FORMAT.read(data, image, context(path)) for path, data in files.items()}
    placed = [finding for found in read.values() for finding in findings(found)]
    assert len(placed) == 10
    assert all(finding.round_trip is not None and finding.round_trip.mm < 1e-9 for finding in placed)
    dangling = [rejection for found in read.values() for rejection in found.rejections]
    assert Counter(rejection.code for rejection in dangling) == {"dangling-reference": 8}
    assert {uid for rejection in dangling for uid in rejection.subjects}.isdisjoint(image.sop_instance_uids)
    assert all(path.rpartition("/")[2] == f"{uid}.xml" for path, uid in _named(read))


def _named(read: dict[str, AnnotationImport]) -> list[tuple[str, str]]:
    """Each file with the one image that it was taken for, or that it lacks."""
    pairs = []
    for path, found in read.items():
        uids = [uid for finding in findings(found) for uid in finding.sop_instance_uids]
        (uid,) = uids or [uid for rejection in found.rejections for uid in rejection.subjects]
        pairs.append((path, uid))
    return pairs


def test_the_boxes_of_lungdx_hold_one_growing_and_shrinking_tumour() -> None:
    image = geometry("lungdx-a0002.zip", "ct/")
    boxes = []
    for path, data in real.files_under("lungdx-a0002.zip", "voc/").items():
        # The site's own class: A is adenocarcinoma.
        vocabulary = LabelVocabulary("nodul", "non-nodul", exact={"A": Category.NODULE_GE_3MM})
        boxes += [one for one in findings(voc.FORMAT.read(data, image, context(path, vocabulary))) if one.box]
    assert {finding.category for finding in boxes} == {Category.NODULE_GE_3MM}
    spans = {}
    for finding in boxes:
        assert finding.box is not None
        low, high = to_index(image.grid, finding.box.corner_mm), to_index(image.grid, finding.box.opposite_corner_mm)
        assert high[0] - low[0] == pytest.approx(1.0)
        spans[round(low[0] + 0.5)] = (low, high)
    assert sorted(spans) == list(range(min(spans), min(spans) + 10))
    for index in list(spans)[:-1]:
        if index + 1 in spans:
            (low, high), (next_low, next_high) = spans[index], spans[index + 1]
            assert all(low[axis] < next_high[axis] and next_low[axis] < high[axis] for axis in (1, 2))


def test_luna16_s_one_row_for_lidc_0001_lies_within_every_reader_s_outline() -> None:
    data = (real.folder() / "luna16-annotations.csv").read_bytes()
    assert kind_of(data[:HEAD_BYTES]) == "luna16-csv"
    found = luna16.FORMAT.read(data, real.lidc_geometry(), context("annotations.csv"))
    (ball,) = findings(found)
    assert found.rejections == ()
    assert ball.sphere is not None
    outlines = real.member("lidc-0001.zip", "annotations-lidc.xml")
    masks = [one.mask for one in findings(lidc.FORMAT.read(outlines, real.lidc_geometry(), context("x"))) if one.mask]
    assert len(masks) == 4
    assert all(math.dist(centroid(mask), ball.sphere.centre_mm) < ball.sphere.diameter_mm / 2 for mask in masks)
    assert len(luna16.FORMAT.references(data, context("annotations.csv")).series_instance_uids) == 599


def test_lidc_0001_s_outlines_come_back_but_for_spikes_one_pixel_wide() -> None:
    found = lidc.FORMAT.read(real.member("lidc-0001.zip", "annotations-lidc.xml"), real.lidc_geometry(), context("x"))
    costs = [finding.round_trip for finding in findings(found)]
    assert all(cost is not None for cost in costs)
    millimetres = sorted((cost.mm for cost in costs if cost is not None), reverse=True)
    # Three readers went out and back along one line of pixels, which encloses nothing: 2.2, 1.6 and 1.4 mm of spike.
    assert [round(value, 1) for value in millimetres[:4]] == [2.2, 1.6, 1.4, 0.0]


@functools.lru_cache(maxsize=1)
def tiny() -> SeriesGeometry:
    return geometry("cip-tiny-chest.zip", "ct-64Dicom/")


def test_the_tiny_chest_s_label_maps_lie_where_simpleitk_puts_them(tmp_path: Path) -> None:
    for name, count in (("wholeLung-64.nrrd", 1), ("lm-64.nrrd", 19)):
        data = real.member("cip-tiny-chest.zip", name)
        found = nrrd.FORMAT.read(data, tiny(), context(name))
        assert found.rejections == ()
        (tmp_path / name).write_bytes(data)
        itk = SimpleITK.ReadImage(str(tmp_path / name))
        values = SimpleITK.GetArrayFromImage(itk)
        assert len(findings(found)) == count
        for finding in findings(found):
            assert finding.mask is not None
            label = int(finding.source_label.removeprefix("label "))
            assert np.array_equal(full_voxels(finding.mask), values == label)
            inside = np.argwhere(values == label)
            places = [
                itk.TransformIndexToPhysicalPoint([int(v) for v in index[::-1]]) for index in inside[:: len(inside)]
            ]
            at = to_index(tiny().grid, places[0])
            assert np.allclose(at, inside[0], atol=0.01)
            assert finding.round_trip is not None
            assert finding.round_trip.mm < 0.001


def test_the_tiny_chest_s_label_map_finds_its_scan_by_its_grid_and_no_other() -> None:
    label = nrrd.FORMAT.references(real.member("cip-tiny-chest.zip", "lm-64.nrrd"), context("x")).grid
    assert label is not None
    assert fit_of(shape=label.shape, affine=label.matrix, image=tiny().grid).fit is Fit.EXACT
    assert fit_of(shape=label.shape, affine=label.matrix, image=real.lidc_geometry().grid).fit is Fit.REFUSED


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("ct-64.nrrd", "not-a-label-map"),
        ("simple_lm.nrrd", "no-label-position"),
        ("crop_ct_partialLungLabelMap.nrrd", "label-outside-image"),
    ],
)
def test_a_volume_that_is_no_label_of_the_tiny_chest_is_refused_by_name(name: str, code: str) -> None:
    found = nrrd.FORMAT.read(real.member("cip-tiny-chest.zip", name), tiny(), context(name))
    assert (found.annotation_sets, [rejection.code for rejection in found.rejections]) == ((), [code])


def test_the_tiny_chest_mirrored_or_moved_is_refused_with_what_would_fit() -> None:
    data = real.member("cip-tiny-chest.zip", "wholeLung-64.nrrd")
    mirrored = data.replace(b"left-posterior-superior", b"right-anterior-superior")
    (flipped,) = nrrd.FORMAT.read(mirrored, tiny(), context("x")).rejections
    assert (flipped.code, flipped.subjects) == ("label-flipped", ("x", "y"))
    steps = tiny().grid.spacing_mm
    grid = tiny().grid.matrix
    grid[2, 3] += 3 * steps[0]
    image = SeriesGeometry(Grid(tiny().grid.shape, as_affine(grid), "1.9"), "1.2", tiny().sop_instance_uids)
    (shifted,) = nrrd.FORMAT.read(data, image, context("x")).rejections
    assert shifted.code == "label-shifted"
    assert "+3 slices (+11.96 mm)" in shifted.message


@pytest.mark.parametrize(("name", "parts"), [("dcmqi-23x38x3", 5), ("dcmqi-24x38x3", 1)])
def test_dcmqi_s_nrrd_and_segmentation_of_the_same_label_are_the_same_voxels(name: str, parts: int) -> None:
    image = geometry("seg-sr-pairs.zip", f"{name}/image/", must_pass=False)
    (volume,) = real.files_under("seg-sr-pairs.zip", f"{name}/nrrd/").values()
    (seg,) = real.files_under("seg-sr-pairs.zip", f"{name}/seg/").values()
    masks = [
        [one.mask for one in findings(found) if one.mask is not None]
        for found in (
            nrrd.FORMAT.read(volume, image, context("label.nrrd")),
            segmentation.FORMAT.read(seg, image, context("label.seg")),
        )
    ]
    # The segmentation is one segment; of a binary volume each part is a finding, and marks in the corners are parts.
    assert [len(of) for of in masks] == [parts, 1]
    volume_voxels, seg_voxels = (np.any([full_voxels(mask) for mask in of], axis=0) for of in masks)
    assert np.array_equal(volume_voxels, seg_voxels)
