"""The order of steps of a review, and who may take them (REQ-14, REQ-16, REQ-33)."""

from __future__ import annotations

import pytest

from compliance.models import Event
from compliance.recording import SYSTEM
from qaservice.analysis.models import Flag
from qaservice.common.errors import Conflict, InvalidInput, NotFound, NotPermitted
from qaservice.labels.models import AnnotationSet, DatasetVersion, FindingRevision
from qaservice.labels.services import identify_reader
from qaservice.projects.models import Role
from qaservice.projects.services import grant
from qaservice.review.blinding import assignment_for, case_view, overlay_sources, proposal_sources
from qaservice.review.models import Assignment, Consensus, Correction, Verdict
from qaservice.review.selectors import next_waiting, worklist
from qaservice.review.services import assign, assign_open_flags, give_verdict, reveal
from tests.factories.records import Site, assign_first_three, make_flag, make_site, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def site() -> Site:
    return make_site()


def fresh(assignment: Assignment) -> Assignment:
    return Assignment.objects.select_related("flag__series__study", "project", "reader").get(pk=assignment.pk)


def vote(assignment: Assignment, decision: str, *, proposal: str = "", blind: str | None = None) -> Verdict:
    """Give a blind verdict, have the opinions revealed, give the final one."""
    reader = assignment.reader
    give_verdict(assignment=fresh(assignment), user=reader, decision=blind or decision, rationale="first look")
    reveal(assignment=fresh(assignment), user=reader)
    return give_verdict(
        assignment=fresh(assignment), user=reader, decision=decision, rationale="on second look", proposal_id=proposal
    )


@pytest.mark.requirement("REQ-14")
def test_two_agreeing_of_three_settle_a_flag_and_release_the_third(site: Site):
    one, two, three = assign_first_three(site, site.flags[0])
    vote(one, "label-right")
    assert Flag.objects.get().state == "open"
    vote(two, "label-right")
    flag = Flag.objects.get()
    assert (flag.state, flag.outcome) == ("settled", "label-right")
    assert fresh(three).state == "released"
    with pytest.raises(Conflict, match="settled meanwhile"):
        give_verdict(assignment=fresh(three), user=three.reader, decision="label-wrong", rationale="late")
    assert Consensus.objects.get().verdicts == [
        str(pk) for pk in Verdict.objects.filter(phase="final").order_by("given_at").values_list("pk", flat=True)
    ]


def test_a_split_stays_open_and_visible_and_a_further_reader_can_settle_it(site: Site):
    flag = site.flags[0]
    for assignment, decision in zip(
        assign_first_three(site, flag), ["label-right", "cannot-tell", "guideline-unclear"], strict=True
    ):
        vote(assignment, decision)
    flag.refresh_from_db()
    assert (flag.state, flag.outcome) == ("disputed", "")
    fourth = assign(flag=flag, reader=site.readers[3], actor=SYSTEM, reason="a fourth opinion")
    vote(fourth, "label-right")
    flag.refresh_from_db()
    assert (flag.state, flag.outcome) == ("settled", "label-right")


@pytest.mark.requirement("REQ-11")
def test_an_accepted_proposal_goes_to_the_reference_standard_and_no_source_changes(site: Site):
    before = set(FindingRevision.objects.values_list("pk", flat=True))
    one, two, _three = assign_first_three(site, site.flags[0])
    vote(one, "label-wrong", proposal="p1")
    vote(two, "label-wrong", proposal="p1")
    correction = Correction.objects.get()
    assert correction.action == "add"
    assert correction.after.finding.annotation_set.kind == "reference"
    assert "accepted by consensus on F-0001" in correction.after.origin
    assert (correction.after.x_mm, correction.after.y_mm, correction.after.z_mm) == (1.5, -3.0, -75.0)
    assert correction.dataset_version == DatasetVersion.objects.order_by("-number")[0]
    new = FindingRevision.objects.exclude(pk__in=before)
    assert set(new.values_list("finding__annotation_set__kind", flat=True)) == {"reference"}
    assert AnnotationSet.objects.filter(kind="reader").count() == 2


@pytest.mark.requirement("REQ-33")
def test_before_the_blind_verdict_a_case_shows_no_opinion(site: Site):
    assignment, *_others = assign_first_three(site, site.flags[0])
    view = case_view(assignment=fresh(assignment))
    assert view.blind and view.revealed is None and view.next_step == "blind"
    assert view.radius_mm == 15.0
    assert {label.title for label in view.labels} == {"label under review"}
    assert proposal_sources(assignment=fresh(assignment)) == []
    assert {role for role, _title, _revision in overlay_sources(assignment=fresh(assignment))} == {"label"}
    assert not any(told in repr(view) for told in ("missing_nodule", "0.8", "94 %", "0.94", "annotator 2"))


@pytest.mark.requirement("REQ-33")
def test_opinions_are_revealed_only_after_the_blind_verdict(site: Site):
    assignment, *_others = assign_first_three(site, site.flags[0])
    with pytest.raises(Conflict):
        reveal(assignment=fresh(assignment), user=assignment.reader)
    give_verdict(assignment=fresh(assignment), user=assignment.reader, decision="cannot-tell", rationale="too small")
    assert case_view(assignment=fresh(assignment)).revealed is None
    with pytest.raises(Conflict, match="revealed before"):
        give_verdict(assignment=fresh(assignment), user=assignment.reader, decision="exclude", rationale="again")
    reveal(assignment=fresh(assignment), user=assignment.reader)
    revealed = case_view(assignment=fresh(assignment)).revealed
    assert revealed is not None
    assert "94 %" in revealed.reason and [proposal.id for proposal in revealed.proposals] == ["p1", "p2"]
    assert {label.title for label in revealed.others} == {"annotator 2"}


@pytest.mark.requirement("REQ-33")
def test_a_reader_cannot_see_other_verdicts_before_the_round_closes(site: Site):
    one, two, three = assign_first_three(site, site.flags[0])
    vote(one, "label-right")
    vote(two, "label-wrong", proposal="p1")
    for assignment in (one, two, three):
        assert case_view(assignment=fresh(assignment)).other_verdicts == ()
    vote(three, "label-right")
    shown = case_view(assignment=fresh(one)).other_verdicts
    assert {verdict.reader for verdict in shown} == {two.reader.display_name, three.reader.display_name}


def test_a_late_reader_of_a_split_still_sees_nobody_elses_verdict(site: Site):
    for assignment, decision in zip(
        assign_first_three(site, site.flags[0]), ["label-right", "cannot-tell", "exclude"], strict=True
    ):
        vote(assignment, decision)
    flag = Flag.objects.get()
    fourth = assign(flag=flag, reader=site.readers[3], actor=SYSTEM, reason="a fourth opinion")
    assert case_view(assignment=fresh(fourth)).other_verdicts == ()


@pytest.mark.requirement("REQ-32")
def test_both_verdicts_stay_and_say_what_had_been_shown(site: Site):
    assignment, *_others = assign_first_three(site, site.flags[0])
    vote(assignment, "label-wrong", proposal="p2", blind="label-right")
    blind, final = Verdict.objects.order_by("given_at")
    assert (blind.phase, blind.decision, blind.shown["opinions_revealed"]) == ("blind", "label-right", False)
    assert "reason" not in blind.shown and "proposals" not in blind.shown
    assert (final.phase, final.decision, final.shown["opinions_revealed"]) == ("final", "label-wrong", True)
    assert final.shown["proposals"] == ["p1", "p2"] and final.correction["diameter_mm"] == 8.0


def test_nobody_votes_twice(site: Site):
    assignment, *_others = assign_first_three(site, site.flags[0])
    vote(assignment, "label-right")
    with pytest.raises(Conflict, match="nobody votes twice"):
        give_verdict(assignment=fresh(assignment), user=assignment.reader, decision="exclude", rationale="again")
    assert Verdict.objects.count() == 2


@pytest.mark.requirement("REQ-16")
def test_nobody_reads_their_own_label(site: Site):
    reader = site.readers[0]
    identify_reader(
        project=site.project, reader_label="annotator 1", user=reader, actor=SYSTEM, reason="said so themselves"
    )
    with pytest.raises(NotPermitted, match="own label"):
        assign(flag=site.flags[0], reader=reader, actor=SYSTEM, reason="by mistake")
    made = assign_open_flags(project=site.project, actor=SYSTEM, reason="first reads")
    assert {assignment.reader for assignment in made} == set(site.readers[1:])


@pytest.mark.requirement("REQ-16")
def test_a_reader_found_to_be_the_author_after_assignment_cannot_vote(site: Site):
    assignment, *_others = assign_first_three(site, site.flags[0])
    identify_reader(
        project=site.project, reader_label="annotator 1", user=assignment.reader, actor=SYSTEM, reason="found later"
    )
    with pytest.raises(NotPermitted, match="own label"):
        give_verdict(assignment=fresh(assignment), user=assignment.reader, decision="exclude", rationale="mine")


@pytest.mark.requirement("REQ-13")
@pytest.mark.parametrize("rationale", ["", "   ", "\n\t"])
def test_a_blank_rationale_is_refused(site: Site, rationale: str):
    assignment, *_others = assign_first_three(site, site.flags[0])
    with pytest.raises(InvalidInput, match="why you decide"):
        give_verdict(assignment=fresh(assignment), user=assignment.reader, decision="exclude", rationale=rationale)
    assert Verdict.objects.count() == 0 and fresh(assignment).state == "assigned"


def test_a_final_label_wrong_needs_a_correction_and_others_may_not_carry_one(site: Site):
    assignment, *_others = assign_first_three(site, site.flags[0])
    reader = assignment.reader
    with pytest.raises(InvalidInput, match="after the reveal"):
        give_verdict(
            assignment=fresh(assignment), user=reader, decision="label-wrong", rationale="seen", proposal_id="p1"
        )
    give_verdict(assignment=fresh(assignment), user=reader, decision="label-wrong", rationale="seen")
    reveal(assignment=fresh(assignment), user=reader)
    with pytest.raises(InvalidInput, match="what the label should be"):
        give_verdict(assignment=fresh(assignment), user=reader, decision="label-wrong", rationale="seen")
    with pytest.raises(InvalidInput, match="only a wrong label"):
        give_verdict(
            assignment=fresh(assignment), user=reader, decision="label-right", rationale="seen", proposal_id="p1"
        )
    with pytest.raises(InvalidInput, match="no proposal 'p9'"):
        give_verdict(
            assignment=fresh(assignment), user=reader, decision="label-wrong", rationale="seen", proposal_id="p9"
        )
    assert Verdict.objects.count() == 1


def test_a_sketched_sphere_becomes_the_reference_finding(site: Site):
    sketch = {"action": "add", "category": "nodule >= 3 mm", "centre_mm": [3.0, -3.0, -75.0], "diameter_mm": 5.5}
    one, two, _three = assign_first_three(site, site.flags[0])
    for assignment in (one, two):
        give_verdict(assignment=fresh(assignment), user=assignment.reader, decision="label-wrong", rationale="seen")
        reveal(assignment=fresh(assignment), user=assignment.reader)
        give_verdict(
            assignment=fresh(assignment),
            user=assignment.reader,
            decision="label-wrong",
            rationale="drawn",
            correction=sketch,
        )
    after = Correction.objects.get().after
    assert (after.shape, after.x_mm, after.diameter_mm) == ("sphere", 3.0, 5.5)
    assert "drawn by the reader" in after.origin


def test_another_readers_case_does_not_exist_for_me(site: Site):
    one, two, _three = assign_first_three(site, site.flags[0])
    with pytest.raises(NotFound):
        assignment_for(user=two.reader, assignment_id=str(one.pk))
    with pytest.raises(NotPermitted, match="another reader"):
        give_verdict(assignment=fresh(one), user=two.reader, decision="exclude", rationale="not mine")


@pytest.mark.requirement("REQ-15")
def test_a_lead_or_an_administrator_cannot_vote(site: Site):
    with pytest.raises(NotPermitted):
        assign(flag=site.flags[0], reader=site.lead, actor=SYSTEM, reason="by mistake")
    chief = make_user("chief", is_administrator=True)
    with pytest.raises(NotPermitted, match="no review rights"):
        grant(project=site.project, user=chief, role=Role.READER, actor=SYSTEM, reason="by mistake")
    with pytest.raises(NotPermitted, match="cannot also be"):
        grant(project=site.project, user=site.readers[0], role=Role.QA_LEAD, actor=SYSTEM, reason="by mistake")


def test_assigning_spreads_the_flags_and_asks_each_reader_once(site: Site):
    for number in range(2, 5):
        site.flags.append(make_flag(site=site, number=number))
    made = assign_open_flags(project=site.project, actor=SYSTEM, reason="first reads")
    assert len(made) == 12
    load = [sum(one.reader == reader for one in made) for reader in site.readers]
    assert load == [3, 3, 3, 3]
    assert assign_open_flags(project=site.project, actor=SYSTEM, reason="again") == []


def test_the_worklist_gives_the_next_waiting_case_round_about(site: Site):
    site.flags.append(make_flag(site=site, number=2))
    reader = site.readers[0]
    one, two = (assign(flag=flag, reader=reader, actor=SYSTEM, reason="reads") for flag in site.flags)
    assert [row.pk for row in worklist(user=reader, project=site.project, state="waiting")] == [one.pk, two.pk]
    assert next_waiting(assignment=fresh(one)).pk == two.pk
    assert next_waiting(assignment=fresh(two)).pk == one.pk
    vote(one, "label-right")
    assert next_waiting(assignment=fresh(two)) is None


def test_every_step_leaves_its_event_with_actor_and_reason(site: Site):
    one, two, _three = assign_first_three(site, site.flags[0])
    vote(one, "label-right")
    vote(two, "label-right")
    kinds = list(Event.objects.filter(subject_type="flag").values_list("kind", flat=True))
    for kind, number in {"assignment.made": 3, "verdict.given": 4, "opinions.revealed": 2, "flag.settled": 1}.items():
        assert kinds.count(kind) == number
    final = Event.objects.filter(kind="verdict.given", reason="on second look")[0]
    assert final.actor_id == str(one.reader.pk) and final.actor_role == "reader" and not final.simulated
