"""Through every writer and its reader, whatever way the image lies: to within half a voxel, outlines to the voxel.

Images are oblique, their voxels longer one way than another, their slices in either order.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from imaging.geometry.affine import as_affine, to_index, to_patient
from imaging.masks.boxes import box_spans
from imaging.masks.build import mask_from_voxels
from imaging.readers.formats import ReadContext
from imaging.readers.label_files import HeldObjects, read_labels
from imaging.readers.limits import CT_READ_LIMITS
from imaging.readers.vocabulary import LUNG_CT_VOCABULARY
from imaging.types import AnnotationSet, Box, Category, Finding, Grid, Index, Mask, PointMm, SetKind, Sphere
from imaging.writers.comparing import differing_voxels
from imaging.writers.contract import LabelledSeries, LabelWriter, LossKind
from imaging.writers.registry import LABEL_WRITERS
from imaging.writers.release import RELEASE_TOLERANCE, release
from tests.imaging.readers.made import FRAME, a_dataset
from tests.imaging.writers.made import CONTEXT, a_series

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

EVERY = pytest.mark.parametrize("writer", LABEL_WRITERS.values(), ids=LABEL_WRITERS.keys())
HALF_A_VOXEL = 0.5
# Each example writes and reads several files; what matters is the variety of geometries, not their number.
FEW = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def oblique_grids(draw: st.DrawFn) -> Grid:
    """Any rotation, spacings from 0.4 to 5 mm each its own, slices along or against the normal."""
    angles = [draw(st.floats(-math.pi, math.pi)) for _ in range(3)]
    axes = Rotation.from_euler("zyx", angles).as_matrix()
    spacing = [draw(st.floats(0.4, 5.0)) for _ in range(3)]
    direction = draw(st.sampled_from([1.0, -1.0]))
    origin = [draw(st.floats(-400.0, 400.0)) for _ in range(3)]
    shape = (draw(st.integers(3, 9)), draw(st.integers(8, 24)), draw(st.integers(8, 24)))
    matrix = np.eye(4)
    # Along a row lies the first axis, along a column the second, and the normal is their cross product.
    matrix[:3] = np.column_stack(
        [direction * axes[:, 2] * spacing[0], axes[:, 1] * spacing[1], axes[:, 0] * spacing[2], origin]
    )
    return Grid(shape, as_affine(matrix), FRAME)


@st.composite
def masks_on(draw: st.DrawFn, grid: Grid) -> Mask:
    """A region of noise in some box of the grid: holes, corners that touch, parts apart."""
    size = [draw(st.integers(1, min(6, length))) for length in grid.shape]
    origin = [draw(st.integers(0, length - extent)) for length, extent in zip(grid.shape, size, strict=True)]
    noise = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    voxels: NDArray[np.bool_] = noise.random(size) < draw(st.floats(0.3, 1.0))
    voxels[tuple(noise.integers(0, size))] = True
    return mask_from_voxels(grid=grid, voxels=voxels, origin=(origin[0], origin[1], origin[2]))


@st.composite
def places_on(draw: st.DrawFn, grid: Grid) -> PointMm:
    """Any place within the outer voxel centres."""
    return to_patient(grid, [draw(st.floats(0.0, size - 1.0)) for size in grid.shape])


@st.composite
def series_with_labels(draw: st.DrawFn) -> LabelledSeries:
    """Two outlines that may overlap, a sphere, a box and a point on one oblique image."""
    grid = draw(oblique_grids())
    reach = min(size * step for size, step in zip(grid.shape, grid.spacing_mm, strict=True)) / 2.0
    low = [draw(st.integers(0, size - 2)) for size in grid.shape]
    high = [draw(st.integers(first + 1, size - 1)) for first, size in zip(low, grid.shape, strict=True)]
    box = Box(to_patient(grid, [edge - 0.5 for edge in low]), to_patient(grid, [edge + 0.5 for edge in high]))
    findings = (
        Finding("one", Category.NODULE_GE_3MM, mask=draw(masks_on(grid)), source_label="Nodule A"),
        Finding("two", Category.NODULE_GE_3MM, mask=draw(masks_on(grid)), source_label="Nodule B"),
        Finding(
            "ball", Category.NODULE_GE_3MM, sphere=Sphere(draw(places_on(grid)), draw(st.floats(0.5, max(0.6, reach))))
        ),
        Finding("box", Category.NODULE_GE_3MM, box=box),
        Finding("point", Category.NODULE_GE_3MM, point_mm=draw(places_on(grid)), source_label="Nodule C"),
    )
    one = AnnotationSet("set", "reader 0badcafe", SetKind.READER, True, findings)
    return LabelledSeries(image=a_series(grid), annotation_sets=(one,), header=a_dataset(PixelData=None))


@EVERY
@FEW
@given(series=series_with_labels())
def test_labels_on_any_image_are_released(writer: LabelWriter, series: LabelledSeries):
    made = release(writer=writer, labelled=series, context=CONTEXT, limits=CT_READ_LIMITS, tolerance=RELEASE_TOLERANCE)
    [one] = series.annotation_sets
    kept = {finding.finding_id.split("@")[0] for file in made.files for finding in file.content}
    lost = {loss.finding_id for loss in made.losses if loss.kind is LossKind.FINDING}
    assert kept | lost == {finding.finding_id for finding in one.findings} and not kept & lost


@EVERY
@FEW
@given(series=series_with_labels())
def test_what_is_read_back_lies_within_half_a_voxel_of_what_was_labelled(writer: LabelWriter, series: LabelledSeries):
    """Compared here with the labels themselves, without what the writer says of its files."""
    grid = series.image.grid
    made = writer.write(series, CONTEXT)
    [one] = series.annotation_sets
    outlined = [finding for finding in one.findings if finding.mask is not None]
    companions = HeldObjects({file.sop_instance_uid: file.data for file in made.files if file.sop_instance_uid})
    found: list[Finding] = []
    for file in made.files:
        if file.read_as is not None and not (writer.name == "dicom-sr" and file.read_as == "dicom-seg"):
            context = ReadContext(
                file_name=file.name,
                vocabulary=LUNG_CT_VOCABULARY,
                limits=CT_READ_LIMITS,
                fraction_threshold=0.5,
                companion=companions,
            )
            read = read_labels(file.read_as, file.data, series.image, context)
            found += [finding for each in read.annotation_sets for finding in each.findings]
    if writer.name in {"dicom-seg", "dicom-rtstruct", "dicom-sr"}:
        for finding in outlined:
            [same] = [other for other in found if other.source_label == finding.source_label]
            assert finding.mask is not None and same.mask is not None
            assert differing_voxels(finding.mask, same.mask) == 0
    if writer.name in {"nifti", "coco-json"}:
        # Parts and slices are findings of their own there; together they are the outlines, and nothing else.
        masks = [other.mask for other in found if other.mask is not None]
        assert _voxels(masks) == _voxels([finding.mask for finding in outlined if finding.mask is not None])
    if writer.name in {"dicom-rtstruct", "dicom-sr"}:
        [point] = [other for other in found if other.source_label == "Nodule C"]
        assert point.point_mm is not None
        _assert_near(grid, _point(one, "point"), point.point_mm)
    if writer.name == "coco-json":
        spans = [box_spans(box=other.box, grid=grid) for other in found if other.box is not None]
        [given_box] = [finding.box for finding in one.findings if finding.box is not None]
        joined = [(min(span[axis][0] for span in spans), max(span[axis][1] for span in spans)) for axis in range(3)]
        assert np.abs(np.array(joined) - np.array(box_spans(box=given_box, grid=grid))).max() < HALF_A_VOXEL
    if writer.name == "luna16-csv":
        [ball] = [finding.sphere for finding in one.findings if finding.sphere is not None]
        nearest = min(
            (other.sphere for other in found if other.sphere is not None),
            key=lambda sphere: math.dist(sphere.centre_mm, ball.centre_mm),
        )
        _assert_near(grid, ball.centre_mm, nearest.centre_mm)
        assert abs(nearest.diameter_mm - ball.diameter_mm) < HALF_A_VOXEL * min(grid.spacing_mm)
    if writer.name == "monai-datalist":
        assert len(found) == 4
        middles = [_middle(other.box) for other in found if other.box is not None]
        for finding in one.findings:
            if finding.box is not None:
                given_middle = _middle(finding.box)
                _assert_near(grid, given_middle, min(middles, key=lambda place: math.dist(place, given_middle)))


def _point(one: AnnotationSet, finding_id: str) -> PointMm:
    [place] = [finding.point_mm for finding in one.findings if finding.finding_id == finding_id]
    assert place is not None
    return place


def _assert_near(grid: Grid, first: PointMm, second: PointMm) -> None:
    apart = np.subtract(to_index(grid, first), to_index(grid, second))
    assert float(np.abs(apart).max()) < HALF_A_VOXEL


def _middle(box: Box) -> PointMm:
    x, y, z = ((a + b) / 2.0 for a, b in zip(box.corner_mm, box.opposite_corner_mm, strict=True))
    return (x, y, z)


def _voxels(masks: list[Mask]) -> dict[Index, int]:
    """Every voxel of the masks, with how many of them hold it."""
    tally: dict[Index, int] = {}
    for mask in masks:
        for place in np.argwhere(mask.voxels) + np.array(mask.origin):
            key = (int(place[0]), int(place[1]), int(place[2]))
            tally[key] = tally.get(key, 0) + 1
    return tally
