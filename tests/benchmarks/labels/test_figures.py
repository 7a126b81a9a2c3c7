"""The benchmark's figures on cases small enough to be worked out by hand."""

import numpy as np
import pytest

from imaging.phantom.chest import PhantomCase, TrueNodule, chest_phantom
from imaging.phantom.label_errors import ErrorKind, InjectedError, Severity
from imaging.scoring.calibrator import shipped_calibration
from imaging.training import calibration_set, held_out
from imaging.training.place_grounds import place_pool_seeds
from imaging.training.pool import pool_seeds
from imaging.training.spoilt import Excused, Rate, SpoiltCase
from imaging.training.spoilt_grounds import BENCHMARK_SEEDS, FIT_SEEDS, OTHER_SEEDS, check_seeds
from imaging.types import (
    AnnotationSet,
    Candidate,
    Case,
    Category,
    Finding,
    ModelIdentity,
    PointMm,
    Prediction,
    SetKind,
    Sphere,
)
from tests.benchmarks.labels.cleanlab_objects import default_objects, tuned_objects
from tests.benchmarks.labels.cleanlab_pixels import default_pixels, tuned_pixels
from tests.benchmarks.labels.compare import everything, of_kinds
from tests.benchmarks.labels.figures import (
    Ranking,
    at_budget,
    average_precision,
    average_precision_draws,
    interval,
    rank,
    threshold_for,
)
from tests.benchmarks.labels.flags import OF_ABSENCE, OF_OUTLINES, OF_PRESENCE, Flag, one_a_subject
from tests.benchmarks.labels.matching import judge
from tests.benchmarks.labels.measure import TUNING_SEEDS
from tests.benchmarks.labels.probability import calibration_error, share_wrong_unflagged, statements
from tests.benchmarks.labels.rules import brain_rule, disagreement
from tests.benchmarks.labels.seen import Seen, seen_sets

HERE: PointMm = (0.0, 0.0, 0.0)


@pytest.fixture(scope="module")
def phantom() -> PhantomCase:
    return chest_phantom(seed=11, shape=(40, 140, 140), spacing_mm=(3.0, 2.2, 2.2), nodule_count=5)


def ranking(found: list[bool], errors: list[int], scan: list[int] | None = None) -> Ranking:
    count = len(found)
    return Ranking(
        found=np.array(found, dtype=np.bool_),
        scan=np.array(scan if scan is not None else [0] * count, dtype=np.int64),
        scores=np.linspace(1.0, 0.1, count) if count else np.zeros(0),
        errors=np.array(errors, dtype=np.int64),
        neutral=0,
    )


def test_average_precision_is_the_mean_precision_where_errors_were_found() -> None:
    assert average_precision(ranking([True, False, True], [4])) == pytest.approx((1.0 + 2.0 / 3.0) / 4.0)
    assert average_precision(ranking([True, True], [2])) == 1.0
    assert average_precision(ranking([], [3])) == 0.0
    assert np.isnan(average_precision(ranking([False], [0])))


def test_the_budget_is_the_number_of_errors() -> None:
    at = at_budget(ranking([True, False, True, True], [3]))
    assert (at.budget, at.looked_at, at.found) == (3, 3, 2)
    assert at.precision == at.recall == pytest.approx(2.0 / 3.0)


def test_few_flags_are_precise_and_find_little() -> None:
    at = at_budget(ranking([True], [4]))
    assert (at.precision, at.recall) == (1.0, 0.25)


def test_draws_are_of_whole_scans() -> None:
    # One scan whose error is found and one whose is not: a draw has 0, 1 or 2 of the first.
    draws = average_precision_draws(ranking([True], [1, 1], [0]))
    assert set(np.unique(draws)) == {0.0, 0.5, 1.0}
    assert interval(draws) == (0.0, 1.0)
    assert draws.mean() == pytest.approx(0.5, abs=0.05)


def test_a_threshold_lets_as_many_false_flags_through_as_allowed() -> None:
    scores = [[0.9, 0.4], [0.5], [], []]
    assert threshold_for(scores=scores, a_case=0.25, least=0.2) == pytest.approx(0.5, abs=1e-9)
    assert sum(score >= threshold_for(scores=scores, a_case=0.25, least=0.2) for own in scores for score in own) == 1
    assert threshold_for(scores=scores, a_case=1.0, least=0.2) == 0.2


def flag(
    score: float,
    *,
    finding: str | None = None,
    place: PointMm = HERE,
    kinds: frozenset[ErrorKind] = OF_OUTLINES,
    set_id: str = "A",
) -> Flag:
    return Flag(set_id, finding, place, 3.0, score, kinds)


def error(kind: ErrorKind, *, finding: str | None, nodule: TrueNodule | None, set_id: str = "A") -> InjectedError:
    place = HERE if nodule is None else nodule.centre_mm
    return InjectedError(
        kind, Severity.MODERATE, set_id, finding, nodule.nodule_id if nodule is not None else None, place, 8.0
    )


def case_of(
    phantom: PhantomCase,
    *,
    errors: tuple[InjectedError, ...] = (),
    excused: tuple[Excused, ...] = (),
    findings: tuple[Finding, ...] = (),
    candidates: tuple[Candidate, ...] = (),
) -> SpoiltCase:
    prediction = Prediction(
        ModelIdentity("made up", "1", "0" * 64), "0" * 64, "none", 0.5, candidates, (), (4.0, 30.0), (), 0.0
    )
    sets = (AnnotationSet("A", "reader", SetKind.READER, True, findings),)
    case = Case(phantom.volume, sets, prediction)
    return SpoiltCase(BENCHMARK_SEEDS.start, "phantom", 1, Rate.HIGH, case, errors, excused, phantom.nodules)


def test_several_flags_about_one_label_are_one_thing_to_see() -> None:
    kept = one_a_subject([flag(0.4, finding="x"), flag(0.9, finding="x", kinds=OF_PRESENCE), flag(0.5, finding="y")])
    assert [(one.finding_id, one.score) for one in kept] == [("x", 0.9), ("y", 0.5)]
    assert kept[0].kinds == OF_OUTLINES | OF_PRESENCE


def test_an_error_is_found_once_and_further_flags_on_it_count_for_nothing(phantom: PhantomCase) -> None:
    nodule = phantom.nodules[0]
    case = case_of(phantom, errors=(error(ErrorKind.SHIFTED, finding="x", nodule=nodule),))
    flags = [flag(0.9, finding="x"), flag(0.8, place=nodule.centre_mm, kinds=OF_ABSENCE), flag(0.7, finding="other")]
    assert [entry.verdict.value for entry in judge(case=case, flags=flags)] == ["found", "again", "false"]
    result = rank(cases=[case], flags=[flags], kinds=None, wanted=everything().wanted)
    assert (result.found.tolist(), result.asked, result.neutral) == ([True, False], 1, 1)


def test_a_flag_on_another_readers_set_finds_nothing(phantom: PhantomCase) -> None:
    case = case_of(phantom, errors=(error(ErrorKind.ERODED, finding="x", nodule=phantom.nodules[0], set_id="B"),))
    assert [entry.verdict.value for entry in judge(case=case, flags=[flag(0.9, finding="x")])] == ["false"]


def test_anything_said_of_a_set_that_is_wrong_as_a_whole_finds_it(phantom: PhantomCase) -> None:
    case = case_of(phantom, errors=(error(ErrorKind.MIRRORED, finding=None, nodule=None),))
    flags = [flag(0.6, finding="x"), flag(0.5, finding="y")]
    assert [entry.verdict.value for entry in judge(case=case, flags=flags)] == ["found", "again"]


def test_what_the_readers_did_themselves_is_neither_right_nor_wrong(phantom: PhantomCase) -> None:
    case = case_of(phantom, excused=(Excused("A", (50.0, 0.0, 0.0), 3.0, "overlooked by the reader"),))
    flags = [flag(0.6, place=(51.0, 0.0, 0.0), kinds=OF_ABSENCE), flag(0.5, place=(60.0, 0.0, 0.0), kinds=OF_ABSENCE)]
    assert [entry.verdict.value for entry in judge(case=case, flags=flags)] == ["excused", "false"]


def test_a_figure_of_one_kind_counts_only_flags_that_speak_of_it(phantom: PhantomCase) -> None:
    case = case_of(
        phantom,
        errors=(
            error(ErrorKind.ERODED, finding="x", nodule=phantom.nodules[0]),
            error(ErrorKind.SPURIOUS, finding="y", nodule=None),
        ),
    )
    flags = [
        flag(0.9, finding="z", kinds=OF_PRESENCE),
        flag(0.8, finding="x"),
        flag(0.7, finding="y", kinds=OF_PRESENCE),
    ]
    eroded = of_kinds("eroded", frozenset({ErrorKind.ERODED}))
    result = rank(cases=[case], flags=[flags], kinds=eroded.kinds, wanted=eroded.wanted)
    assert (result.found.tolist(), result.asked) == ([True], 1)
    spurious = of_kinds("spurious", frozenset({ErrorKind.SPURIOUS}))
    result = rank(cases=[case], flags=[flags], kinds=spurious.kinds, wanted=spurious.wanted)
    assert (result.found.tolist(), result.asked) == ([False, True], 1)


def outlined(nodule: TrueNodule, name: str) -> Finding:
    return Finding(name, Category.NODULE_GE_3MM, mask=nodule.mask)


def seen_by(nodule: TrueNodule, probability: float) -> Candidate:
    return Candidate(nodule.centre_mm, nodule.diameter_mm, probability, nodule.mask)


def test_silence_is_a_statement_too(phantom: PhantomCase) -> None:
    one, two, three = phantom.nodules[:3]
    case = case_of(
        phantom,
        errors=(
            error(ErrorKind.ERODED, finding="x", nodule=one),
            error(ErrorKind.MISSING, finding=None, nodule=three),
        ),
        findings=(outlined(one, "x"), outlined(two, "y")),
        candidates=(seen_by(one, 0.9), seen_by(three, 0.8)),
    )
    said = statements(cases=[case], flags=[[flag(0.7, finding="x")]])
    # Two labels and one empty candidate place: one flagged and wrong, one silent and right, one silent and wrong.
    assert np.isnan(said.probability).tolist() == [False, True, True]
    assert said.wrong.tolist() == [True, False, True]
    assert share_wrong_unflagged(said) == 0.5
    error_, count, _ = calibration_error(said, unflagged=0.5, flagged_only=False)
    assert (error_, count) == (pytest.approx((0.3 + 0.0 * 2) / 3.0), 3)
    assert calibration_error(said, unflagged=0.5, flagged_only=True)[:2] == (pytest.approx(0.3), 1)


def only_seen(case: SpoiltCase) -> Seen:
    (seen,) = seen_sets(case)
    return seen


@pytest.fixture
def overlooked(phantom: PhantomCase) -> Seen:
    one, two = phantom.nodules[:2]
    return only_seen(
        case_of(phantom, findings=(outlined(one, "x"),), candidates=(seen_by(one, 0.98), seen_by(two, 0.985)))
    )


@pytest.fixture
def spurious(phantom: PhantomCase) -> Seen:
    one, two = phantom.nodules[:2]
    return only_seen(
        case_of(phantom, findings=(outlined(one, "x"), outlined(two, "y")), candidates=(seen_by(one, 0.98),))
    )


def test_peers_see_the_overlap_of_labels_and_predictions(overlooked: Seen) -> None:
    assert overlooked.iou.tolist() == [[1.0, 0.0]]
    assert overlooked.distance_mm[0, 0] < 2.0 < overlooked.distance_mm[0, 1]


def test_cleanlab_finds_what_is_overlooked(overlooked: Seen) -> None:
    for flags in (default_objects(overlooked, ()), tuned_objects(overlooked, (0.9, 0.5, 1.0))):
        assert [one.finding_id for one in flags if one.kinds == OF_ABSENCE] == [None]


def test_cleanlab_calls_a_label_of_nothing_clean(spurious: Seen) -> None:
    assert all(one.finding_id != "y" for one in default_objects(spurious, ()))
    assert all(one.finding_id != "y" for one in tuned_objects(spurious, (0.9, 0.5, 1.0)))


def test_pixels_in_question_go_to_the_label_they_touch(overlooked: Seen, spurious: Seen) -> None:
    for flags in (default_pixels(overlooked, ()), tuned_pixels(overlooked, (0.2, 15.0))):
        assert [one.finding_id for one in flags] == [None]
    for flags in (default_pixels(spurious, ()), tuned_pixels(spurious, (0.2, 15.0))):
        assert [one.finding_id for one in flags] == ["y"]


def test_the_brains_rule_is_as_published(overlooked: Seen, spurious: Seen) -> None:
    scores = {(one.finding_id, one.kinds): one.score for one in brain_rule(overlooked, (0.95, 0.5, 0.0))}
    assert scores[(None, OF_ABSENCE)] == 0.985
    # Matched at an IoU of 1 with a confidence of 0.98: location (0.98 * (2 * 0 - 1) + 1) / 2.
    assert scores[("x", OF_OUTLINES)] == pytest.approx(0.01)
    assert not [one for one in brain_rule(overlooked, (0.99, 0.5, 0.0)) if one.finding_id is None]
    assert [one.score for one in brain_rule(spurious, (0.95, 0.5, 0.0)) if one.finding_id == "y"] == [1.0]


def test_plain_disagreement_is_as_sure_as_the_prediction(overlooked: Seen, spurious: Seen) -> None:
    assert [one.score for one in disagreement(overlooked, ()) if one.finding_id is None] == [0.985]
    unsupported = [one.score for one in disagreement(spurious, ()) if one.finding_id == "y"]
    assert unsupported == [1.0]


def test_seeds_for_measuring_are_used_for_nothing_else() -> None:
    for other in (FIT_SEEDS, *OTHER_SEEDS):
        assert other.stop <= BENCHMARK_SEEDS.start or other.start >= BENCHMARK_SEEDS.stop
    in_use = (
        held_out.FIRST_SEED,
        calibration_set.FIT_FIRST_SEED,
        calibration_set.CHECK_FIRST_SEED,
        *place_pool_seeds(seed=99, step=100_000),
        *pool_seeds(seed=99, step=100_000),
    )
    assert all(any(seed in other for other in OTHER_SEEDS) for seed in in_use)
    fitted_on = str(shipped_calibration().provenance["seeds"]).split(" to ")
    assert FIT_SEEDS.start <= int(fitted_on[0]) <= int(fitted_on[1]) < TUNING_SEEDS.start < TUNING_SEEDS.stop
    assert TUNING_SEEDS.stop <= BENCHMARK_SEEDS.start
    check_seeds(range(BENCHMARK_SEEDS.start, BENCHMARK_SEEDS.start + 100))
    with pytest.raises(ValueError, match="neither"):
        check_seeds(range(FIT_SEEDS.stop - 1, BENCHMARK_SEEDS.start + 1))
    with pytest.raises(ValueError, match="neither"):
        check_seeds(range(70_000_000, 70_000_001))


def test_a_mark_without_a_size_is_a_small_ball_to_those_who_need_boxes(phantom: PhantomCase) -> None:
    point = Finding("p", Category.NON_NODULE, point_mm=phantom.nodules[0].centre_mm)
    ball = Finding("b", Category.NODULE_GE_3MM, sphere=Sphere(phantom.nodules[0].centre_mm, 9.0))
    seen = only_seen(case_of(phantom, findings=(point, ball)))
    assert [label.nodule for label in seen.labels] == [False, True]
    assert seen.labels[0].region.radius_mm == 2.0 and seen.labels[0].region.mask.count
