"""Outlines that do not fit what the image shows: told without any other reader."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from imaging.checks.base import CHEST_CT_NODULES
from imaging.checks.geometry_mismatch import GeometryMismatch
from imaging.masks.build import full_voxels, mask_from_voxels
from imaging.masks.overlap import dice
from imaging.types import AnnotationSet, Case, Category, LabelIssue, Mask
from tests.factories.cases import LEFT_LUNG, ball, case, outlined, reader, shifted

NODULE = ball(centre_mm=LEFT_LUNG, diameter_mm=12.0)


def painted(*sets: AnnotationSet) -> Case:
    """The chest with a solid nodule where NODULE is."""
    plain = case(*sets)
    hounsfield = plain.volume.hounsfield.copy()
    hounsfield[full_voxels(NODULE)] = 30
    hounsfield.setflags(write=False)
    return replace(plain, volume=replace(plain.volume, hounsfield=hounsfield))


def misfits(looked_at: Case) -> list[LabelIssue]:
    found = GeometryMismatch().run(case=looked_at, parameters=CHEST_CT_NODULES)
    return [issue for issue in found if issue.evidence["kind"] == "misfit"]


def mirrored(mask: Mask) -> Mask:
    return mask_from_voxels(grid=mask.grid, voxels=full_voxels(mask)[:, :, ::-1])


def test_an_outline_on_its_nodule_fits() -> None:
    assert misfits(painted(reader("a", outlined(finding_id="a-1", mask=NODULE)))) == []


@pytest.mark.parametrize("slices", [-5, -3, 3, 5])
def test_an_outline_some_slices_away_is_told_with_the_shift_that_would_fit(slices: int) -> None:
    moved = shifted(mask=NODULE, slices=slices)
    [issue] = misfits(painted(reader("a", outlined(finding_id="a-1", mask=moved))))
    assert issue.evidence["suggested_shift_slices"] == -slices
    # Slice 0 lies at the patient's feet here, 2 mm to the slice.
    side = "feet" if slices > 0 else "head"
    assert f"A shift of {abs(slices)} slices ({2.0 * abs(slices):.1f} mm) towards the {side} would fit" in issue.reason
    assert issue.score > 0.5
    [proposal] = issue.proposals
    assert proposal.mask is not None and dice(proposal.mask, NODULE) == 1.0


def test_an_outline_in_the_other_lung_is_told_as_mirrored() -> None:
    [issue] = misfits(painted(reader("a", outlined(finding_id="a-1", mask=mirrored(NODULE)))))
    assert issue.evidence["suggested_mirroring"] == ["left to right"]
    [proposal] = issue.proposals
    assert proposal.mask is not None and dice(proposal.mask, NODULE) == 1.0


def test_nothing_is_said_against_the_image_where_others_outlined_the_same_place() -> None:
    moved = shifted(mask=NODULE, slices=4)
    sets = [reader(name, outlined(finding_id=name, mask=moved)) for name in "ab"]
    assert misfits(painted(*sets)) == []


def test_a_displacement_told_by_others_and_by_the_image_is_one_question() -> None:
    moved = shifted(mask=NODULE, slices=4)
    sets = [reader(name, outlined(finding_id=name, mask=NODULE)) for name in "ab"]
    found = GeometryMismatch().run(
        case=painted(*sets, reader("c", outlined(finding_id="c", mask=moved))), parameters=CHEST_CT_NODULES
    )
    assert [issue.finding_id for issue in found] == ["c"]
    [further] = found[0].evidence["further"]
    assert {found[0].evidence["kind"], further["kind"]} == {"displaced", "misfit"}


def test_that_the_fit_could_not_be_told_is_said_aloud() -> None:
    tiny = ball(centre_mm=LEFT_LUNG, diameter_mm=3.0)
    looked_at = painted(reader("a", outlined(finding_id="a-1", mask=tiny)))
    abstained = GeometryMismatch().abstentions(case=looked_at, parameters=CHEST_CT_NODULES)
    assert [one.subjects for one in abstained if one.code == "fit-not-told"] == [("a",)]


def test_organs_are_not_compared_with_what_a_nodule_looks_like() -> None:
    moved = shifted(mask=NODULE, slices=4)
    organ = outlined(finding_id="a-1", mask=moved, category=Category.STRUCTURE)
    looked_at = painted(reader("a", organ))
    assert GeometryMismatch().run(case=looked_at, parameters=CHEST_CT_NODULES) == ()
    assert np.count_nonzero(looked_at.volume.hounsfield[full_voxels(NODULE)] == 30)
