"""The structures of a 4D lung scan: placed, measured, and compared with another rasterisation."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from skimage.measure import grid_points_in_poly

from imaging.geometry.gate import LUNG_CT_TOLERANCES, assess
from imaging.geometry.series import SeriesGeometry
from imaging.masks.build import full_voxels
from imaging.masks.measure import measure
from imaging.readers.dataset import open_dataset
from imaging.readers.planar_contours import EDGE_TOLERANCE_VOXELS
from imaging.readers.series import CT_READ_LIMITS, read_header
from imaging.readers.structure_set import FORMAT
from imaging.types import AnnotationImport, Category, Finding
from tests.imaging.readers import real
from tests.imaging.readers.made_structure_sets import (
    planimetric,
)
from tests.imaging.readers.pairs import context_with
from tests.imaging.readers.test_planar_contours import distance_to_edges


@functools.lru_cache(maxsize=1)
def four_d_lung() -> tuple[SeriesGeometry, bytes, AnnotationImport]:
    headers = [read_header(data, CT_READ_LIMITS) for data in real.files_under("4dlung.zip", "ct/").values()]
    verdict = assess(headers, LUNG_CT_TOLERANCES)
    assert verdict.grid is not None
    geometry = SeriesGeometry(verdict.grid, headers[0].series_instance_uid, verdict.sop_instance_uids)
    data = real.member("4dlung.zip", "rtstruct/1-1.dcm")
    return geometry, data, FORMAT.read(data, geometry, context_with())


def real_structures() -> dict[str, Finding]:
    (one,) = four_d_lung()[2].annotation_sets
    return {finding.source_label: finding for finding in one.findings}


@pytest.mark.real_data
def test_the_structures_of_the_4d_lung_scan_are_all_placed_and_nothing_is_rejected() -> None:
    geometry, data, found = four_d_lung()
    assert found.rejections == ()
    assert {name: finding.category for name, finding in real_structures().items()} == {
        "Tumor_c40": Category.NODULE_GE_3MM,
        "LN_c40": Category.STRUCTURE,
        "Carina_c40": Category.STRUCTURE,
        "Vertebra_c40": Category.STRUCTURE,
    }
    named = FORMAT.references(data, context_with())
    assert named.series_instance_uids == {geometry.series_instance_uid}
    assert named.sop_instance_uids <= set(geometry.sop_instance_uids)


@pytest.mark.real_data
def test_the_tumour_s_planimetric_volume_is_the_known_one_and_its_voxels_agree() -> None:
    tumour = real_structures()["Tumor_c40"]
    assert planimetric(tumour) / 1000.0 == pytest.approx(67.6, rel=0.03)
    assert planimetric(tumour) / 1000.0 == pytest.approx(67.63, abs=0.01)
    assert tumour.mask is not None
    # Counted in voxel centres the volume is within 0.2 % of the contours' own.
    assert measure(tumour.mask).volume_mm3 == pytest.approx(planimetric(tumour), rel=0.002)
    assert len(tumour.sop_instance_uids) == 28


@pytest.mark.real_data
def test_a_real_structure_s_voxels_are_those_of_an_independent_rasterisation() -> None:
    geometry, data, _ = four_d_lung()
    dataset = open_dataset(data, CT_READ_LIMITS, with_pixels=False).dataset
    matrix = geometry.grid.matrix
    for name, drawn in zip(
        [item.ROIName for item in dataset.StructureSetROISequence], dataset.ROIContourSequence, strict=True
    ):
        expected = np.zeros(geometry.grid.shape, dtype=np.bool_)
        outlines = []
        for item in drawn.ContourSequence:
            points = np.array([float(value) for value in item.ContourData]).reshape(-1, 3)
            index = np.linalg.solve(matrix[:3, :3], (points - matrix[:3, 3]).T).T
            number = round(float(index[0, 0]))
            expected[number] ^= grid_points_in_poly(geometry.grid.shape[1:], index[:, 1:])
            outlines.append((number, index[:, 1:]))
        held = real_structures()[name].mask
        assert held is not None
        for number, row, column in np.argwhere(full_voxels(held) != expected).tolist():
            # Only centres that lie on an outline may differ: those belong here, and by the library to one side only.
            place = np.array([[row, column]], dtype=np.float64)
            nearest = min(float(distance_to_edges(place, outline)[0]) for at, outline in outlines if at == number)
            assert nearest <= 2 * EDGE_TOLERANCE_VOXELS, (name, number, row, column)
