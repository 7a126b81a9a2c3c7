"""Annotator, reader, adjudicator and approver of one finding are different people (REQ-16)."""

from __future__ import annotations

import pytest

from compliance.recording import SYSTEM, change, compare_and_swap
from qaservice.analysis.models import Flag
from qaservice.common.errors import NotPermitted
from qaservice.labels.services import identify_reader
from qaservice.projects import training
from qaservice.projects.models import Project, Role
from qaservice.projects.services import grant, set_policies
from qaservice.review.duties import Duty, duties_in, duties_on, refuse_to_read, why_not_approve
from qaservice.review.models import Assignment
from qaservice.review.services import assign, assign_open_flags, give_verdict, reveal
from tests.factories.records import Site, assign_first_three, make_site, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def site() -> Site:
    return make_site()


def vote(assignment: Assignment, decision: str) -> None:
    for step in ("blind", "reveal", "final"):
        fresh = Assignment.objects.select_related("flag__series__study", "project", "reader").get(pk=assignment.pk)
        if step == "reveal":
            reveal(assignment=fresh, user=fresh.reader)
        else:
            give_verdict(assignment=fresh, user=fresh.reader, decision=decision, rationale="as I see it")


def disputed(site: Site) -> Flag:
    decisions = ("label-right", "cannot-tell", "guideline-unclear")
    for assignment, decision in zip(assign_first_three(site, site.flags[0]), decisions, strict=True):
        vote(assignment, decision)
    return Flag.objects.select_related("project").get(pk=site.flags[0].pk)


def now_regulated(project: Project) -> Project:
    with change("project.changed", actor=SYSTEM, reason="a test", subject=("project", str(project.pk))):
        return compare_and_swap(
            Project, pk=project.pk, expected_revision=project.revision, where={}, changes={"regulated": True}
        )


@pytest.mark.requirement("REQ-16")
def test_who_labelled_or_read_a_finding_neither_reads_it_again_nor_approves_it(site: Site):
    annotator, reader, fresh = site.readers[3], site.readers[0], make_user("fresh")
    identify_reader(project=site.project, reader_label="annotator 1", user=annotator, actor=SYSTEM, reason="a test")
    flag = site.flags[0]
    with pytest.raises(NotPermitted) as refused:
        assign(flag=flag, reader=annotator, actor=SYSTEM, reason="a test")
    assert refused.value.code == "own-label"
    flag = disputed(site)
    assert duties_on(flag=flag, user=annotator) == {Duty.ANNOTATOR}
    assert duties_on(flag=flag, user=reader) == {Duty.READER}
    with pytest.raises(NotPermitted) as refused:
        refuse_to_read(flag=flag, user=reader)
    assert refused.value.code == "read-before"
    grant(project=site.project, user=fresh, role=Role.READER, actor=SYSTEM, reason="a test")
    assert assign(flag=flag, reader=fresh, actor=SYSTEM, reason="decides").reader == fresh
    assert duties_in(project=site.project, user=fresh) == frozenset()
    assert "you labelled" in why_not_approve(project=site.project, user=annotator)
    assert "you gave verdicts" in why_not_approve(project=site.project, user=reader)
    assert why_not_approve(project=site.project, user=site.lead) == ""
    # What somebody did stays done, whatever else they become.
    other = make_site(key="other")
    assert why_not_approve(project=other.project, user=reader) == ""


@pytest.mark.requirement("REQ-16")
def test_in_a_regulated_project_an_adjudicator_decides_where_readers_disagree(
    site: Site, monkeypatch: pytest.MonkeyPatch
):
    # Training has tests of its own.
    monkeypatch.setattr(training, "trainings_needed", lambda **_asked: ())
    flag = disputed(site)
    flag.project = now_regulated(site.project)
    with pytest.raises(NotPermitted) as refused:
        refuse_to_read(flag=flag, user=site.readers[3])
    assert refused.value.code == "adjudicator-decides"
    grant(project=flag.project, user=site.readers[3], role=Role.ADJUDICATOR, actor=SYSTEM, reason="a test")
    refuse_to_read(flag=flag, user=site.readers[3])


@pytest.mark.requirement("REQ-18")
def test_a_reader_whose_role_sleeps_is_asked_nothing(site: Site):
    policy = {"training_policy": {"reader": ["reading"]}}
    set_policies(project=site.project, policies=policy, actor=SYSTEM, reason="a test")
    assert assign_open_flags(project=Project.objects.get(pk=site.project.pk), actor=SYSTEM, reason="a test") == []
