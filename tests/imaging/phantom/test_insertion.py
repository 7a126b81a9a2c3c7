"""Nodules put into a scan change only where they are."""

import numpy as np

from imaging.phantom.chest import PhantomCase
from imaging.phantom.insertion import insert_nodules
from imaging.types import Sphere


def test_inserted_nodules_are_dense_in_the_lungs_and_leave_the_rest_alone(phantom: PhantomCase) -> None:
    clear = [Sphere(nodule.centre_mm, nodule.diameter_mm) for nodule in phantom.nodules]
    done = insert_nodules(
        volume=phantom.volume,
        lungs=phantom.lungs,
        diameters_mm=(6.0, 10.0, 15.0),
        keep_clear=clear,
        slice_thickness_mm=3.0,
        seed=1,
    )
    assert len(done.nodules) + len(done.left_out_mm) == 3
    assert done.nodules
    changed = done.volume.hounsfield != phantom.volume.hounsfield
    far = np.ones_like(changed)
    for nodule in done.nodules:
        index = np.linalg.solve(phantom.volume.grid.matrix, np.array([*nodule.centre_mm, 1.0]))[:3]
        reach = np.ceil(2.5 * nodule.diameter_mm / np.array(phantom.volume.grid.spacing_mm)).astype(int) + 4
        low = np.maximum(np.rint(index).astype(int) - reach, 0)
        high = np.rint(index).astype(int) + reach + 1
        far[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = False
        box = tuple(slice(a, a + size) for a, size in zip(nodule.mask.origin, nodule.mask.voxels.shape, strict=True))
        assert done.volume.hounsfield[box][nodule.mask.voxels].mean() > -720
        assert not (nodule.mask.voxels & ~phantom.lungs[box]).any()
    assert changed.any()
    assert not (changed & far).any()
    for nodule in done.nodules:
        for sphere in clear:
            gap = float(np.linalg.norm(np.subtract(nodule.centre_mm, sphere.centre_mm)))
            assert gap > 0.5 * sphere.diameter_mm


def test_insertion_is_the_same_for_the_same_seed(phantom: PhantomCase) -> None:
    runs = [
        insert_nodules(
            volume=phantom.volume,
            lungs=phantom.lungs,
            diameters_mm=(8.0,),
            keep_clear=(),
            slice_thickness_mm=3.0,
            seed=seed,
        )
        for seed in (4, 4, 5)
    ]
    assert np.array_equal(runs[0].volume.hounsfield, runs[1].volume.hounsfield)
    assert not np.array_equal(runs[0].volume.hounsfield, runs[2].volume.hounsfield)
