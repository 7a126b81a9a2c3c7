"""A phantom is the same whenever it is made, and says the truth about itself."""

import numpy as np
import pytest
from pydicom.uid import UID

from imaging.phantom.chest import PhantomCase, chest_phantom, synthetic_uid
from imaging.phantom.nodules import Attenuation


def small(seed: int) -> PhantomCase:
    return chest_phantom(seed=seed, shape=(24, 96, 96), spacing_mm=(5.0, 3.4, 3.4), nodule_count=3)


def test_the_same_seed_gives_the_same_voxels_nodules_and_uids() -> None:
    first, second = small(3), small(3)
    assert np.array_equal(first.volume.hounsfield, second.volume.hounsfield)
    assert first.volume.series_instance_uid == second.volume.series_instance_uid
    assert first.volume.grid == second.volume.grid
    assert [nodule.centre_mm for nodule in first.nodules] == [nodule.centre_mm for nodule in second.nodules]


def test_another_seed_gives_another_patient() -> None:
    first, second = small(3), small(4)
    assert not np.array_equal(first.volume.hounsfield, second.volume.hounsfield)
    assert first.volume.study_instance_uid != second.volume.study_instance_uid
    assert set(first.volume.sop_instance_uids).isdisjoint(second.volume.sop_instance_uids)


def test_the_same_patient_on_another_sampling_is_another_series() -> None:
    finer = chest_phantom(seed=3, shape=(24, 96, 96), spacing_mm=(5.0, 3.3, 3.3), nodule_count=1)
    assert finer.volume.series_instance_uid != small(3).volume.series_instance_uid


def test_every_uid_is_valid_under_2_25_and_used_once(phantom: PhantomCase) -> None:
    volume = phantom.volume
    uids = [
        volume.series_instance_uid,
        volume.study_instance_uid,
        volume.grid.frame_of_reference_uid,
        *volume.sop_instance_uids,
    ]
    assert all(UID(uid).is_valid and uid.startswith("2.25.") for uid in uids)
    assert len(set(uids)) == len(uids)


def test_a_synthetic_uid_depends_on_every_part() -> None:
    assert synthetic_uid(parts=("series", 1, 2)) != synthetic_uid(parts=("series", 1, 3))


def test_nodules_lie_in_the_lungs_and_are_as_large_as_they_say(phantom: PhantomCase) -> None:
    assert len(phantom.nodules) >= 4
    voxel = float(np.prod(phantom.volume.grid.spacing_mm))
    for nodule in phantom.nodules:
        box = tuple(
            slice(start, start + size) for start, size in zip(nodule.mask.origin, nodule.mask.voxels.shape, strict=True)
        )
        assert not (nodule.mask.voxels & ~phantom.lungs[box]).any()
        assert nodule.mask.count * voxel == pytest.approx(np.pi / 6.0 * nodule.diameter_mm**3, rel=1e-6)
        assert all(nodule.mask.voxels.any(axis=(1, 2))[[0, -1]]), "the box is tight"


def test_a_nodule_is_denser_than_the_lung_around_it(phantom: PhantomCase) -> None:
    hounsfield = phantom.volume.hounsfield
    lung = float(np.median(hounsfield[phantom.lungs]))
    for nodule in phantom.nodules:
        box = tuple(
            slice(start, start + size) for start, size in zip(nodule.mask.origin, nodule.mask.voxels.shape, strict=True)
        )
        inside = float(np.median(hounsfield[box][nodule.mask.voxels]))
        # Thick slices mix a small solid nodule half and half with lung.
        assert inside > lung + (300.0 if nodule.attenuation is Attenuation.SOLID and nodule.diameter_mm > 8 else 80.0)


def test_anatomy_has_air_lung_tissue_and_bone(phantom: PhantomCase) -> None:
    hounsfield = phantom.volume.hounsfield
    assert -920 < np.median(hounsfield[phantom.lungs]) < -700
    assert (hounsfield > 200).mean() > 0.002
    assert ((hounsfield > 0) & (hounsfield < 100)).mean() > 0.1
    assert 0.05 < phantom.lungs.mean() < 0.5


def test_a_field_of_view_without_lung_is_refused() -> None:
    with pytest.raises(ValueError, match="holds no lung"):
        chest_phantom(seed=1, shape=(4, 8, 8), spacing_mm=(1.0, 1.0, 1.0), nodule_count=1)
