"""Every injected error is what its record says, in millimetres, and leaves no label as it was."""

from collections.abc import Callable

import numpy as np
import pytest

from imaging.masks.overlap import dice, shared_voxels
from imaging.masks.place import centre_of
from imaging.phantom.careful_reader import careful_reader
from imaging.phantom.chest import PhantomCase, TrueNodule
from imaging.phantom.label_errors import SEVERITIES_MM, ErrorKind, InjectedError, Severity, Wish, severity_of
from imaging.phantom.label_errors_injected import inject_errors, spoil_labels
from imaging.phantom.label_errors_outlines import (
    touch,
)
from imaging.phantom.neighbours import with_neighbours
from imaging.phantom.simulated_readers import simulated_readers
from imaging.types import AnnotationSet, Category, Finding

Labels = tuple[AnnotationSet, ...]


def test_severities_grow_and_none_is_nothing() -> None:
    for rows in SEVERITIES_MM.values():
        least = [rows[severity][0] for severity in Severity]
        assert least == sorted(least) and len(set(least)) == 3
        assert all(most >= low for low, most in rows.values())
        assert rows[Severity.MODERATE][0] > 0.0


def test_a_magnitude_is_as_severe_as_the_gravest_row_that_it_reaches() -> None:
    assert severity_of(kind=ErrorKind.DISPLACED, magnitude_mm=7.5) is Severity.MODERATE
    assert severity_of(kind=ErrorKind.MIRRORED, magnitude_mm=150.0) is Severity.SEVERE
    assert severity_of(kind=ErrorKind.REVERSED, magnitude_mm=3.0) is Severity.MILD


@pytest.fixture(scope="module")
def scene(phantom: PhantomCase) -> PhantomCase:
    return with_neighbours(case=phantom, diameters_mm=(7.0, 5.0), seed=3)


@pytest.fixture(scope="module")
def alone(scene: PhantomCase) -> Labels:
    return careful_reader(case=scene, seed=5)


@pytest.fixture(scope="module")
def four(scene: PhantomCase) -> Labels:
    return simulated_readers(case=scene, seed=5)


def test_neighbours_touch_their_hosts_and_share_no_voxel(phantom: PhantomCase, scene: PhantomCase) -> None:
    added = scene.nodules[len(phantom.nodules) :]
    assert added
    for nodule in added:
        others = [one for one in scene.nodules if one is not nodule]
        assert any(touch(first=nodule.mask, second=one.mask) for one in others)
        assert all(shared_voxels(nodule.mask, one.mask) == 0 for one in others)
        box = tuple(slice(a, a + size) for a, size in zip(nodule.mask.origin, nodule.mask.voxels.shape, strict=True))
        brighter = scene.volume.hounsfield[box].astype(int) - phantom.volume.hounsfield[box]
        assert brighter[nodule.mask.voxels].mean() > 100


def test_a_careful_reader_labels_everything_and_nothing_else(scene: PhantomCase, alone: Labels) -> None:
    nodules = [finding for finding in alone[0].findings if finding.category.is_nodule]
    assert len(nodules) == len(scene.nodules)
    overlaps = [dice(nearest(nodule, alone[0]).mask, nodule.mask) for nodule in scene.nodules]  # type: ignore[arg-type]
    assert 0.6 < min(overlaps) < 1.0


def errors_of(scene: PhantomCase, honest: Labels, kind: ErrorKind) -> list[tuple[Labels, InjectedError]]:
    found = []
    for severity in Severity:
        for seed in range(4):
            done = spoil_labels(annotation_sets=honest, case=scene, seed=seed, wishes=[Wish(kind, severity)])
            assert len(done.errors) + len(done.refused) == 1
            found.extend((done.annotation_sets, error) for error in done.errors)
    assert found, f"no seed gave an error of the kind {kind}"
    return found


@pytest.mark.parametrize("kind", list(ErrorKind))
def test_every_error_changes_exactly_what_its_record_says(
    scene: PhantomCase, alone: Labels, four: Labels, kind: ErrorKind
) -> None:
    for honest in (alone, four):
        for sets, error in errors_of(scene, honest, kind):
            for before, after in zip(honest, sets, strict=True):
                if after.set_id != error.set_id:
                    assert described(before) == described(after)
                else:
                    assert described(before) != described(after)
            if error.finding_id is not None:
                names = [one.finding_id for one in set_of(sets, error).findings]
                assert names.count(error.finding_id) == 1


@pytest.mark.parametrize("kind", [kind for kind in ErrorKind if not kind.of_a_whole_set])
def test_magnitudes_lie_within_the_table(scene: PhantomCase, alone: Labels, kind: ErrorKind) -> None:
    for _, error in errors_of(scene, alone, kind):
        least, most = SEVERITIES_MM[kind][error.severity]
        slack = scene.volume.grid.spacing_mm[0] if most == least else 0.0
        if kind is ErrorKind.RUN_ON:
            least, slack = 0.7 * least, 2.0 * slack
        if kind is not ErrorKind.WRONG_RATING or error.severity is not Severity.SEVERE:
            assert least <= error.magnitude_mm <= most + slack


def test_a_missing_label_is_gone(scene: PhantomCase, alone: Labels) -> None:
    for sets, error in errors_of(scene, alone, ErrorKind.MISSING):
        nodule = nodule_of(scene, error)
        masks = [one.mask for one in set_of(sets, error).findings if one.mask is not None]
        assert max(dice(mask, nodule.mask) for mask in masks) < 0.3


def test_an_invented_label_lies_away_from_every_nodule(scene: PhantomCase, four: Labels) -> None:
    for sets, error in errors_of(scene, four, ErrorKind.SPURIOUS):
        place = centre_of(the_finding(sets, error))
        assert all(np.linalg.norm(np.subtract(place, nodule.centre_mm)) > 8.0 for nodule in scene.nodules)


def test_merged_neighbours_are_one_label_over_both(scene: PhantomCase, alone: Labels) -> None:
    for sets, error in errors_of(scene, alone, ErrorKind.MERGED):
        lost = nodule_of(scene, error)
        mask = the_finding(sets, error).mask
        assert mask is not None
        assert shared_voxels(mask, lost.mask) > 0.5 * lost.mask.count
        assert len(set_of(sets, error).findings) == len(alone[0].findings) - 1


def test_a_doubled_label_stands_as_near_to_the_first_as_stated(scene: PhantomCase, alone: Labels) -> None:
    for sets, error in errors_of(scene, alone, ErrorKind.DUPLICATED):
        own = set_of(sets, error)
        assert len(own.findings) == len(alone[0].findings) + 1
        place = centre_of(the_finding(sets, error))
        others = [centre_of(one) for one in own.findings if one.finding_id != error.finding_id]
        away = min(float(np.linalg.norm(np.subtract(place, other))) for other in others)
        assert away <= error.magnitude_mm + scene.volume.grid.spacing_mm[0]


def test_a_wrong_category_keeps_the_place(scene: PhantomCase, alone: Labels) -> None:
    for sets, error in errors_of(scene, alone, ErrorKind.WRONG_CATEGORY):
        finding, nodule = the_finding(sets, error), nodule_of(scene, error)
        assert finding.category in (Category.NON_NODULE, Category.NODULE_LT_3MM) and finding.mask is None
        assert np.linalg.norm(np.subtract(centre_of(finding), nodule.centre_mm)) < 0.5 * nodule.diameter_mm + 3.0


def test_a_wrong_rating_is_off_by_as_many_points_as_it_says(scene: PhantomCase, alone: Labels) -> None:
    before = {tuple(sorted(one.characteristics.items())) for one in alone[0].findings}
    for sets, error in errors_of(scene, alone, ErrorKind.WRONG_RATING):
        ratings = the_finding(sets, error).characteristics
        assert tuple(sorted(ratings.items())) not in before
        if error.severity is Severity.SEVERE:
            assert max(ratings.values()) > 5
        else:
            assert all(1 <= value <= 5 for value in ratings.values())
            assert error.magnitude_mm == {Severity.MILD: 2.0, Severity.MODERATE: 3.0}[error.severity]


def mirrored(index: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    return np.asarray(np.array([0, 0, shape[2] - 1]) + index * np.array([1, 1, -1]))


def reversed_(index: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    return np.asarray(np.array([shape[0] - 1, 0, 0]) + index * np.array([-1, 1, 1]))


@pytest.mark.parametrize(("kind", "turned"), [(ErrorKind.MIRRORED, mirrored), (ErrorKind.REVERSED, reversed_)])
def test_a_turned_set_lies_where_the_turned_file_would_put_it(
    scene: PhantomCase, alone: Labels, kind: ErrorKind, turned: Callable[[np.ndarray, tuple[int, ...]], np.ndarray]
) -> None:
    sets, error = errors_of(scene, alone, kind)[0]
    inverse = np.linalg.inv(scene.volume.grid.matrix)
    ways = []
    for old, new in zip(alone[0].findings, set_of(sets, error).findings, strict=True):
        was = (inverse @ np.array([*centre_of(old), 1.0]))[:3]
        is_ = (inverse @ np.array([*centre_of(new), 1.0]))[:3]
        assert is_ == pytest.approx(turned(was, scene.volume.grid.shape), abs=1e-6)
        ways.append(np.linalg.norm(np.subtract(centre_of(old), centre_of(new))))
    assert error.magnitude_mm == pytest.approx(np.mean(ways), abs=0.01)


def test_a_displaced_set_goes_whole_slices_all_together(scene: PhantomCase, alone: Labels) -> None:
    step = scene.volume.grid.spacing_mm[0]
    compared = 0
    for sets, error in errors_of(scene, alone, ErrorKind.DISPLACED):
        before = {one.finding_id: one for one in alone[0].findings}
        moved_on = set_of(sets, error).findings
        if len(moved_on) < len(before):
            # Some would lie beyond the image: what is left is renamed, so that pairs are no longer known.
            continue
        ways = {
            tuple(np.round(np.subtract(centre_of(new), centre_of(old)), 3))
            for old, new in zip(alone[0].findings, moved_on, strict=True)
        }
        assert len(ways) == 1
        assert np.linalg.norm(ways.pop()) == pytest.approx(error.magnitude_mm)
        assert error.magnitude_mm % step == pytest.approx(0.0, abs=1e-6)
        compared += 1
    assert compared


def test_a_nodule_takes_one_error_and_three_readers_keep_it(scene: PhantomCase, four: Labels) -> None:
    wishes = [Wish(kind, Severity.MODERATE) for kind in ErrorKind if not kind.of_a_whole_set]
    done = spoil_labels(annotation_sets=four, case=scene, seed=1, wishes=wishes)
    concerned = [error.nodule_id for error in done.errors if error.nodule_id is not None]
    assert len(concerned) == len(set(concerned)) > 1


def test_a_set_that_is_wrong_as_a_whole_takes_no_other_error(scene: PhantomCase, four: Labels) -> None:
    wishes = [Wish(ErrorKind.MIRRORED, Severity.MODERATE)]
    wishes += [Wish(kind, Severity.MODERATE) for kind in ErrorKind if not kind.of_a_whole_set]
    done = spoil_labels(annotation_sets=four, case=scene, seed=2, wishes=wishes)
    (whole,) = [error for error in done.errors if error.kind.of_a_whole_set]
    assert [error for error in done.errors if error.set_id == whole.set_id] == [whole]


def test_what_cannot_be_done_is_refused_with_its_reason(scene: PhantomCase, alone: Labels) -> None:
    wishes = [Wish(ErrorKind.MIRRORED, Severity.MODERATE), Wish(ErrorKind.ERODED, Severity.MILD)]
    done = spoil_labels(annotation_sets=alone, case=scene, seed=2, wishes=wishes)
    assert [error.kind for error in done.errors] == [ErrorKind.MIRRORED]
    assert [(one.wish.kind, bool(one.reason)) for one in done.refused] == [(ErrorKind.ERODED, True)]


def test_the_same_seed_gives_the_same_errors(scene: PhantomCase, four: Labels) -> None:
    first = inject_errors(annotation_sets=four, case=scene, seed=7, count=4)
    again = inject_errors(annotation_sets=four, case=scene, seed=7, count=4)
    assert first[1] == again[1] and len(first[1]) == 4
    assert [described(one) for one in first[0]] == [described(one) for one in again[0]]
    assert inject_errors(annotation_sets=four, case=scene, seed=8, count=4)[1] != first[1]


def described(one: AnnotationSet) -> list[tuple[object, ...]]:
    return [
        (
            item.category,
            item.point_mm,
            tuple(sorted(item.characteristics.items())),
            None if item.mask is None else (item.mask.origin, item.mask.voxels.tobytes()),
        )
        for item in one.findings
    ]


def set_of(sets: Labels, error: InjectedError) -> AnnotationSet:
    return next(one for one in sets if one.set_id == error.set_id)


def the_finding(sets: Labels, error: InjectedError) -> Finding:
    return next(item for item in set_of(sets, error).findings if item.finding_id == error.finding_id)


def nodule_of(scene: PhantomCase, error: InjectedError) -> TrueNodule:
    return next(nodule for nodule in scene.nodules if nodule.nodule_id == error.nodule_id)


def nearest(nodule: TrueNodule, annotation_set: AnnotationSet) -> Finding:
    outlined = [item for item in annotation_set.findings if item.mask is not None]
    return max(outlined, key=lambda item: shared_voxels(item.mask, nodule.mask))  # type: ignore[arg-type]
