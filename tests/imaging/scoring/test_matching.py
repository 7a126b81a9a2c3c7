"""Which issues found which injected error."""

from __future__ import annotations

from imaging.phantom.label_errors import ErrorKind, InjectedError, Severity
from imaging.scoring.matching import Match, Verdict, hits_error, matched
from imaging.types import PointMm
from tests.imaging.scoring.examples import issue

PLACE: PointMm = (10.0, 20.0, 30.0)


def error(
    kind: ErrorKind = ErrorKind.DILATED,
    *,
    set_id: str = "a",
    finding_id: str | None = "a-1",
    place_mm: PointMm = PLACE,
) -> InjectedError:
    return InjectedError(kind, Severity.MODERATE, set_id, finding_id, "n1", place_mm, 2.0)


def test_the_same_finding_is_a_hit_wherever_the_evidence_points() -> None:
    assert hits_error(issue=issue(place_mm=(90.0, 0.0, 0.0)), error=error())


def test_another_set_is_never_a_hit() -> None:
    assert not hits_error(issue=issue(set_id="b"), error=error())


def test_a_place_is_a_hit_within_half_the_diameter_and_at_least_two_and_a_half_millimetres() -> None:
    missing = error(ErrorKind.MISSING, finding_id=None)
    for radius, reach in ((6.0, 6.0), (1.0, 2.5)):
        inside = issue(finding_id=None, radius_mm=radius, place_mm=(10.0 + reach, 20.0, 30.0))
        outside = issue(finding_id=None, radius_mm=radius, place_mm=(10.0 + reach + 0.01, 20.0, 30.0))
        assert hits_error(issue=inside, error=missing)
        assert not hits_error(issue=outside, error=missing)


def test_an_issue_and_an_error_meet_one_to_one_and_the_surest_chooses_first() -> None:
    first, second = error(), error(finding_id="a-2", place_mm=(12.0, 20.0, 30.0))
    weak = issue(finding_id="a-1", score=0.4)
    strong = issue(finding_id="a-1", score=0.9)
    found = matched(issues=[weak, strong], errors=[first, second])
    assert found == (Match(Verdict.FOUND, 1), Match(Verdict.FOUND, 0))
    third = issue(finding_id="a-1", score=0.1)
    assert matched(issues=[weak, strong, third], errors=[first, second])[2] == Match(Verdict.AGAIN, 0)


def test_an_issue_takes_the_error_on_its_own_finding_before_a_nearer_one() -> None:
    own = error(place_mm=(13.0, 20.0, 30.0))
    nearer = error(finding_id="a-2")
    assert matched(issues=[issue()], errors=[nearer, own]) == (Match(Verdict.FOUND, 1),)


def test_where_nothing_is_wrong_an_issue_is_false() -> None:
    assert matched(issues=[issue(place_mm=(80.0, 0.0, 0.0), finding_id="a-9")], errors=[error()]) == (
        Match(Verdict.FALSE, None),
    )


def test_a_spoilt_set_is_found_by_geometry_and_what_others_say_of_its_labels_is_a_consequence() -> None:
    spoilt = error(ErrorKind.MIRRORED, finding_id=None)
    whole = issue(check="geometry_mismatch", finding_id=None, score=0.7, evidence={"scope": "set"})
    label = issue(check="geometry_mismatch", score=0.6)
    missed = issue(check="missing_nodule", finding_id=None, score=0.95)
    elsewhere = issue(set_id="b")
    assert matched(issues=[whole, label, missed, elsewhere], errors=[spoilt]) == (
        Match(Verdict.FOUND, 0),
        Match(Verdict.AGAIN, 0),
        Match(Verdict.AGAIN, 0),
        Match(Verdict.FALSE, None),
    )


def test_an_issue_on_a_set_is_no_hit_for_an_error_of_one_label() -> None:
    whole = issue(check="geometry_mismatch", finding_id=None, evidence={"kind": "import"})
    assert not hits_error(issue=whole, error=error(ErrorKind.MISSING, finding_id=None))
