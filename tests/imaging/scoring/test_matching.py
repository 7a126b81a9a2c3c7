"""Which issues found which injected error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from imaging.phantom.label_errors import ErrorKind, InjectedError, Severity
from imaging.scoring.matching import Excuse, Match, Verdict, matched, meets
from imaging.scoring.subjects import subject_of
from imaging.types import LabelIssue, PointMm
from tests.imaging.scoring.examples import issue

PLACE: PointMm = (10.0, 20.0, 30.0)
SIZES = {"n1": 12.0, "n2": 3.0}


@dataclass(frozen=True)
class Thing:
    set_id: str
    place_mm: PointMm
    radius_mm: float


def error(
    kind: ErrorKind = ErrorKind.DILATED,
    *,
    set_id: str = "a",
    finding_id: str | None = "a-1",
    nodule_id: str | None = "n1",
    place_mm: PointMm = PLACE,
) -> InjectedError:
    return InjectedError(kind, Severity.MODERATE, set_id, finding_id, nodule_id, place_mm, 2.0)


def is_met(seen: LabelIssue, made: InjectedError) -> bool:
    return meets(subject=subject_of(seen), error=made, diameters_mm=SIZES)


def verdicts(
    issues: Sequence[LabelIssue], errors: Sequence[InjectedError], excuses: Sequence[Excuse] = ()
) -> list[Match]:
    return list(matched(issues=issues, errors=errors, excuses=excuses, diameters_mm=SIZES))


def test_the_same_finding_is_met_wherever_the_evidence_points() -> None:
    assert is_met(issue(place_mm=(90.0, 0.0, 0.0)), error())


def test_another_set_is_never_met() -> None:
    assert not is_met(issue(set_id="b"), error())


def test_an_issue_on_another_finding_is_no_hit_however_near_but_for_a_lesion_marked_twice() -> None:
    assert not is_met(issue(finding_id="a-2", place_mm=PLACE), error())
    assert is_met(issue(finding_id="a-2", place_mm=PLACE), error(ErrorKind.DUPLICATED))


def test_an_empty_place_is_met_within_half_the_true_diameter_and_at_least_two_and_a_half_millimetres() -> None:
    for nodule, reach in (("n1", 6.0), ("n2", 2.5)):
        missing = error(ErrorKind.MISSING, finding_id=None, nodule_id=nodule)
        assert is_met(issue(finding_id=None, place_mm=(10.0 + reach, 20.0, 30.0)), missing)
        assert not is_met(issue(finding_id=None, place_mm=(10.01 + reach, 20.0, 30.0)), missing)


def test_an_issue_and_an_error_meet_one_to_one_and_the_surest_chooses_first() -> None:
    missing = error(ErrorKind.MISSING, finding_id=None)
    weak = issue(check="missing_nodule", finding_id=None, score=0.4)
    strong = issue(check="missing_nodule", finding_id=None, score=0.9, place_mm=(13.0, 20.0, 30.0))
    assert verdicts([weak, strong], [missing]) == [Match(Verdict.AGAIN, 0), Match(Verdict.FOUND, 0)]


def test_an_issue_takes_the_error_on_its_own_finding_before_a_nearer_one() -> None:
    own = error(place_mm=(13.0, 20.0, 30.0))
    nearer = error(ErrorKind.DUPLICATED, finding_id="a-2")
    assert verdicts([issue()], [nearer, own]) == [Match(Verdict.FOUND, 1)]


def test_where_nothing_is_wrong_an_issue_is_false() -> None:
    assert verdicts([issue(finding_id="a-9")], [error()]) == [Match(Verdict.FALSE, None)]


def test_anything_said_of_a_spoilt_set_is_right_and_counts_once() -> None:
    spoilt = error(ErrorKind.MIRRORED, finding_id=None)
    whole = issue(check="geometry_mismatch", finding_id=None, score=0.9, evidence={"scope": "set"})
    missed = issue(check="missing_nodule", finding_id=None, score=0.7)
    assert verdicts([missed, whole, issue(set_id="b")], [spoilt]) == [
        Match(Verdict.AGAIN, 0),
        Match(Verdict.FOUND, 0),
        Match(Verdict.FALSE, None),
    ]


def test_an_issue_on_a_set_is_no_hit_for_an_error_of_one_label() -> None:
    whole = issue(check="geometry_mismatch", finding_id=None, evidence={"kind": "import"})
    assert not is_met(whole, error(ErrorKind.MISSING, finding_id=None))


def test_what_a_reader_did_of_their_own_accord_is_neither_right_nor_wrong() -> None:
    own = Thing("a", (12.0, 20.0, 30.0), 3.0)
    assert verdicts([issue()], [], [own]) == [Match(Verdict.EXCUSED, None)]
    assert verdicts([issue(set_id="b")], [], [own]) == [Match(Verdict.FALSE, None)]
    everyones = Thing("", (12.0, 20.0, 30.0), 3.0)
    assert verdicts([issue(set_id="b")], [], [everyones]) == [Match(Verdict.EXCUSED, None)]
    assert verdicts([issue()], [error()], [own]) == [Match(Verdict.FOUND, 0)]
