"""Labels put elsewhere on purpose are called back by name, and labels where they belong are left alone."""

from __future__ import annotations

import functools
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from imaging.geometry.gate import LUNG_CT_TOLERANCES
from imaging.geometry.label_fit import NODULE_FIT, Contrast, FitStatus, LabelFit, label_fit
from imaging.geometry.placements import Displacement, displacements
from imaging.masks.build import mask_from_voxels
from imaging.phantom.chest import chest_phantom
from imaging.phantom.simulated_readers import simulated_readers
from imaging.readers.formats import ReadContext
from imaging.readers.lidc import read_lidc_xml
from imaging.readers.registry import LABEL_FORMATS
from imaging.readers.series import CT_READ_LIMITS, load_volume, read_header
from imaging.readers.vocabulary import LUNG_CT_VOCABULARY
from imaging.types import Grid, Mask, Volume
from tests.imaging.readers import real

SHAPE = (48, 128, 160)
SPACING_MM = (2.5, 1.2, 1.2)
GRID = Grid(
    SHAPE,
    ((0.0, 0.0, 1.2, -95.0), (0.0, 1.2, 0.0, -70.0), (2.5, 0.0, 0.0, 100.0), (0.0, 0.0, 0.0, 1.0)),
    "1.2.3",
)
BALLS = (((14, 40, 40), 9.0), ((30, 80, 100), 6.0), ((22, 96, 44), 12.0))
"""Centre (slice, row, column) and radius in millimetres of the dense balls in the made-up lung."""


def put(mask: Mask, way: Displacement) -> Mask | None:
    """The mask after a move, None where it would leave the image."""
    places = np.argwhere(mask.voxels) + np.array(mask.origin)
    moved = np.stack([way.moved(places[:, axis], axis=axis) for axis in range(3)], axis=1)
    low = moved.min(axis=0)
    if (low < 0).any() or (moved >= mask.grid.shape).any():
        return None
    voxels = np.zeros(moved.max(axis=0) - low + 1, dtype=np.bool_)
    voxels[tuple((moved - low).T)] = True
    return mask_from_voxels(grid=mask.grid, voxels=voxels, origin=(int(low[0]), int(low[1]), int(low[2])))


def all_put(masks: tuple[Mask, ...], way: Displacement) -> tuple[Mask, ...] | None:
    moved = [put(mask, way) for mask in masks]
    return None if None in moved else tuple(mask for mask in moved if mask is not None)


def undone(fit: LabelFit, way: Displacement) -> bool:
    """Whether the suggestion is the move that takes ``way`` back."""
    if fit.status is not FitStatus.DISPLACED or fit.suggestion is None:
        return False
    return fit.suggestion.mirrors == way.mirrors and fit.suggestion.slices == -way.slices


def balls() -> tuple[Mask, ...]:
    centres = np.indices(SHAPE).reshape(3, -1).T * np.array(SPACING_MM)
    found = []
    for centre, radius in BALLS:
        inside = np.linalg.norm(centres - np.array(centre) * SPACING_MM, axis=1) <= radius
        found.append(mask_from_voxels(grid=GRID, voxels=inside.reshape(SHAPE)))
    return tuple(found)


@functools.lru_cache(maxsize=1)
def made() -> tuple[Volume, tuple[Mask, ...]]:
    """Dense balls in noisy lung, with the masks that fit them exactly."""
    hounsfield = np.random.default_rng(4).normal(-850, 40, SHAPE)
    masks = balls()
    for mask in masks:
        at = tuple(slice(first, first + size) for first, size in zip(mask.origin, mask.voxels.shape, strict=True))
        hounsfield[at][mask.voxels] += 850
    volume = Volume(GRID, hounsfield.astype(np.int16), "1.2", "1.1", (), (), None)
    return volume, masks


def test_a_label_where_it_belongs_fits_and_nothing_is_suggested() -> None:
    volume, masks = made()
    fit = label_fit(volume=volume, masks=masks, search=NODULE_FIT)
    assert (fit.status, fit.suggestion) == (FitStatus.FITS, None)
    assert fit.present is not None and fit.present.correlation > 0.95
    assert fit.present.air_share < 0.01


@pytest.mark.parametrize("slices", [1, -1, 3, -4, 9])
def test_a_label_some_slices_away_is_called_back_in_slices_millimetres_and_direction(slices: int) -> None:
    volume, masks = made()
    moved = all_put(masks, Displacement(slices=slices))
    assert moved is not None
    fit = label_fit(volume=volume, masks=moved, search=NODULE_FIT)
    assert fit.suggestion is not None and fit.suggestion.slices == -slices
    side = "feet" if slices > 0 else "head"
    count = f"{abs(slices)} slice{'s' if abs(slices) > 1 else ''}"
    assert f"A shift of {count} ({abs(slices) * 2.5:.1f} mm) towards the {side} would fit" in fit.message
    assert fit.suggestion.shift_mm == pytest.approx((0.0, 0.0, -2.5 * slices))


@pytest.mark.parametrize(
    ("axes", "words"),
    [((2,), "left to right"), ((1,), "front to back"), ((0,), "head to foot"), ((2, 1), "left to right and front")],
)
def test_a_mirrored_label_is_called_back_with_the_axis_by_name(axes: tuple[int, ...], words: str) -> None:
    volume, masks = made()
    ways = [way for way in displacements(grid=GRID, slices=0) if tuple(m.axis for m in way.mirrors) == axes]
    moved = all_put(masks, ways[0])
    assert moved is not None
    fit = label_fit(volume=volume, masks=moved, search=NODULE_FIT)
    assert undone(fit, ways[0])
    assert f"Mirroring {words}" in fit.message and "middle of the image" in fit.message


def test_coordinates_negated_between_ras_and_lps_are_called_back_about_the_origin() -> None:
    volume, masks = made()
    (way,) = [
        way
        for way in displacements(grid=GRID, slices=0)
        if "origin" in way.about and [mirror.axis for mirror in way.mirrors] == [2]
    ]
    moved = all_put(masks[:2], way)
    assert moved is not None
    fit = label_fit(volume=volume, masks=moved, search=NODULE_FIT)
    assert undone(fit, way)
    assert "the origin of the patient's coordinates" in fit.message


def test_a_label_beyond_the_search_is_not_called_to_a_wrong_place() -> None:
    volume, masks = made()
    moved = all_put(masks[:1], Displacement(slices=27))
    assert moved is not None
    fit = label_fit(volume=volume, masks=moved, search=NODULE_FIT)
    assert (fit.status, fit.suggestion) == (FitStatus.ABSTAINED, None)
    assert "Nowhere" in fit.message


def test_small_labels_and_labels_of_one_slice_are_not_judged() -> None:
    volume, masks = made()
    small = mask_from_voxels(grid=GRID, voxels=np.ones((3, 3, 3), dtype=np.bool_), origin=(14, 39, 39))
    flat = mask_from_voxels(grid=GRID, voxels=np.ones((1, 8, 8), dtype=np.bool_), origin=(14, 36, 36))
    for mask in (small, flat):
        fit = label_fit(volume=volume, masks=[mask], search=NODULE_FIT)
        assert (fit.status, fit.present) == (FitStatus.ABSTAINED, None)
        assert "30 voxels on 2 slices" in fit.message
    # They are left out beside others, and do not stop these from being judged.
    assert label_fit(volume=volume, masks=[*masks, small, flat], search=NODULE_FIT).status is FitStatus.FITS


def test_a_label_in_an_image_without_contrast_is_not_judged() -> None:
    volume, masks = made()
    flat = replace(volume, hounsfield=np.full(SHAPE, -850, dtype=np.int16))
    noise = np.random.default_rng(1).normal(-850, 40, SHAPE).astype(np.int16)
    for image in (flat, replace(volume, hounsfield=noise)):
        assert label_fit(volume=image, masks=masks, search=NODULE_FIT).status is FitStatus.ABSTAINED


def test_a_label_that_leaves_the_image_is_not_judged() -> None:
    volume, _ = made()
    over = Mask(GRID, (SHAPE[0] - 2, 10, 10), np.ones((6, 6, 6), dtype=np.bool_))
    fit = label_fit(volume=volume, masks=[over], search=NODULE_FIT)
    assert fit.status is FitStatus.ABSTAINED and "outside" in fit.message


def test_a_hollow_structure_is_sought_by_its_lower_density() -> None:
    volume, masks = made()
    hollow = replace(volume, hounsfield=(-volume.hounsfield - 900).astype(np.int16))
    moved = all_put(masks, Displacement(slices=2))
    assert moved is not None
    search = replace(NODULE_FIT, contrast=Contrast.THINNER)
    fit = label_fit(volume=hollow, masks=moved, search=search)
    assert fit.suggestion is not None and fit.suggestion.slices == -2
    assert label_fit(volume=hollow, masks=masks, search=NODULE_FIT).status is not FitStatus.FITS


def test_a_label_on_another_grid_is_a_fault_of_the_caller() -> None:
    volume, masks = made()
    with pytest.raises(ValueError, match="another grid"):
        label_fit(volume=volume, masks=[replace(masks[0], grid=replace(GRID, shape=(9, 9, 9)))], search=NODULE_FIT)


@pytest.mark.slow
def test_simulated_readers_are_left_alone_and_their_displaced_sets_are_mostly_called_back() -> None:
    tally: Counter[str] = Counter()
    for seed in (40, 41, 42):
        case = chest_phantom(seed=seed, shape=(72, 288, 288), spacing_mm=(2.5, 1.2, 1.2), nodule_count=5)
        ways = [way for way in displacements(grid=case.volume.grid, slices=4) if way.mirrors or abs(way.slices) > 1]
        for item in simulated_readers(case=case, seed=seed):
            masks = tuple(finding.mask for finding in item.findings if finding.mask is not None)
            here = label_fit(volume=case.volume, masks=masks, search=NODULE_FIT)
            tally[f"in place: {here.status}"] += 1
            if here.status is FitStatus.ABSTAINED:
                continue
            for way in ways:
                moved = all_put(masks, way)
                if moved is not None:
                    there = label_fit(volume=case.volume, masks=moved, search=NODULE_FIT)
                    tally["right" if undone(there, way) else f"wrong: {there.status}"] += 1
    assert tally["in place: displaced"] == 0
    assert tally["in place: fits"] >= 8
    assert tally["wrong: displaced"] == 0
    assert tally["right"] >= 0.95 * (tally["right"] + tally["wrong: fits"] + tally["wrong: abstained"])
    assert tally["right"] > 60


@functools.lru_cache(maxsize=1)
def lidc() -> tuple[Volume, tuple[tuple[Mask, ...], ...]]:
    """LIDC-IDRI-0001 and the outlines of its four readers."""
    found = real.lidc_slices()
    volume = load_volume(
        slices=[header for header, _ in found.values()],
        open_bytes=lambda uid: found[uid][1],
        tolerances=LUNG_CT_TOLERANCES,
        limits=CT_READ_LIMITS,
    )
    imported = read_lidc_xml(real.member("lidc-0001.zip", "annotations-lidc.xml"), volume)
    sets = [
        tuple(finding.mask for finding in item.findings if finding.mask is not None)
        for item in imported.annotation_sets
    ]
    return volume, tuple(masks for masks in sets if masks)


@pytest.mark.real_data
def test_no_real_reader_of_lidc_0001_is_told_to_move() -> None:
    volume, readers = lidc()
    assert len(readers) == 4
    for masks in readers:
        fit = label_fit(volume=volume, masks=masks, search=NODULE_FIT)
        assert fit.status is FitStatus.FITS, fit.message
        assert fit.present is not None and fit.present.correlation > 0.7


@pytest.mark.real_data
def test_each_real_reader_of_lidc_0001_is_called_back_from_every_shift_and_mirroring() -> None:
    volume, readers = lidc()
    tried = 0
    for masks in readers:
        for way in displacements(grid=volume.grid, slices=NODULE_FIT.slices):
            moved = all_put(masks, way)
            if moved is None:
                continue
            tried += 1
            fit = label_fit(volume=volume, masks=moved, search=NODULE_FIT)
            assert undone(fit, way), f"{way.words()}: {fit.message}"
    assert tried > 100


@pytest.mark.real_data
def test_a_radiotherapy_outline_is_left_alone_and_called_back_from_two_slices_on() -> None:
    found = [(read_header(data, CT_READ_LIMITS), data) for data in real.files_under("4dlung.zip", "ct/").values()]
    by_uid = {header.sop_instance_uid: data for header, data in found}
    volume = load_volume(
        slices=[header for header, _ in found],
        open_bytes=by_uid.__getitem__,
        tolerances=LUNG_CT_TOLERANCES,
        limits=CT_READ_LIMITS,
    )
    context = ReadContext(
        file_name="rtstruct", vocabulary=LUNG_CT_VOCABULARY, limits=CT_READ_LIMITS, fraction_threshold=0.5
    )
    (data,) = real.files_under("4dlung.zip", "rtstruct/").values()
    imported = LABEL_FORMATS["dicom-rtstruct"].read(data, volume, context)
    (tumour,) = [
        finding.mask
        for item in imported.annotation_sets
        for finding in item.findings
        if finding.source_label == "Tumor_c40" and finding.mask is not None
    ]
    assert label_fit(volume=volume, masks=[tumour], search=NODULE_FIT).status is FitStatus.FITS
    for slices in (2, -2, 3, -3, 5, -5, 9, -9):
        moved = all_put((tumour,), Displacement(slices=slices))
        assert moved is not None
        fit = label_fit(volume=volume, masks=moved, search=NODULE_FIT)
        assert undone(fit, Displacement(slices=slices)), f"{slices}: {fit.message}"
