"""Simulated readers differ as readers do, and a whole set can be put some slices away from where it belongs."""

import numpy as np
import pytest

from imaging.checks.base import CHEST_CT_NODULES
from imaging.masks.overlap import dice
from imaging.masks.place import centre_of
from imaging.phantom.chest import PhantomCase, TrueNodule
from imaging.phantom.displacement import displace_set
from imaging.phantom.label_errors import ErrorKind
from imaging.phantom.simulated_readers import simulated_readers
from imaging.pipeline import AnalysisParameters, analyse
from imaging.scoring.merge import checks_of
from imaging.types import AnnotationSet, Case, Finding

Labels = tuple[AnnotationSet, ...]


@pytest.fixture(scope="module")
def honest(phantom: PhantomCase) -> Labels:
    return simulated_readers(case=phantom, seed=5, count=4)


def near(nodule: TrueNodule, annotation_set: AnnotationSet) -> list[Finding]:
    reach = max(0.5 * nodule.diameter_mm, 3.0)
    return [
        finding
        for finding in annotation_set.findings
        if np.linalg.norm(np.subtract(centre_of(finding), nodule.centre_mm)) < reach
    ]


def test_readers_agree_on_large_nodules_without_being_equal(phantom: PhantomCase, honest: Labels) -> None:
    overlaps = [
        dice(finding.mask, nodule.mask)
        for nodule in phantom.nodules
        if nodule.diameter_mm > 9.0
        for annotation_set in honest
        for finding in near(nodule, annotation_set)
        if finding.mask is not None
    ]
    assert len(overlaps) >= 4
    assert min(overlaps) > 0.5
    assert len(set(overlaps)) > 1
    assert np.mean(overlaps) < 0.999


def test_reading_twice_gives_the_same_labels(phantom: PhantomCase, honest: Labels) -> None:
    again = simulated_readers(case=phantom, seed=5, count=4)
    assert [len(one.findings) for one in again] == [len(one.findings) for one in honest]
    for one, other in zip(again, honest, strict=True):
        for finding, twin in zip(one.findings, other.findings, strict=True):
            assert finding.finding_id == twin.finding_id
            if finding.mask is not None and twin.mask is not None:
                assert np.array_equal(finding.mask.voxels, twin.mask.voxels)


def test_finding_ids_are_unique_within_a_case(honest: Labels) -> None:
    ids = [finding.finding_id for annotation_set in honest for finding in annotation_set.findings]
    assert len(ids) == len(set(ids))


def test_a_displaced_set_lies_whole_slices_away_and_is_named_by_the_geometry_check(
    phantom: PhantomCase, honest: Labels
) -> None:
    sets, error = displace_set(annotation_sets=honest, grid=phantom.volume.grid, position=1, slices=3)
    assert error.kind is ErrorKind.DISPLACED and error.set_id == honest[1].set_id
    assert error.magnitude_mm == pytest.approx(3 * phantom.volume.grid.spacing_mm[0])
    assert sets[0] is honest[0] and [one.finding_id for one in sets[1].findings] == [
        one.finding_id for one in honest[1].findings
    ]
    steps = {
        round(float(np.linalg.norm(np.subtract(centre_of(new), centre_of(old)))), 3)
        for new, old in zip(sets[1].findings, honest[1].findings, strict=True)
    }
    assert error.magnitude_mm in steps and steps <= {0.0, error.magnitude_mm}
    case = Case(volume=phantom.volume, annotation_sets=sets, prediction=None)
    outcome = analyse(case=case, parameters=AnalysisParameters(checks=CHEST_CT_NODULES))
    suspects = {issue.annotation_set_id for issue in outcome.issues if "geometry_mismatch" in checks_of(issue)}
    assert suspects == {error.set_id}


def test_a_displacement_that_moves_nothing_is_refused(phantom: PhantomCase, honest: Labels) -> None:
    with pytest.raises(ValueError, match="no label"):
        displace_set(annotation_sets=honest, grid=phantom.volume.grid, position=0, slices=10_000)
