"""A role sleeps without a current record of every training it needs (REQ-18)."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import pytest
from django.core.management import call_command

from compliance.models import Event
from compliance.recording import SYSTEM, change, compare_and_swap
from qaservice.accounts.models import User, UserKind
from qaservice.common.clock import now
from qaservice.common.errors import Conflict, InvalidInput, NotFound, NotPermitted
from qaservice.projects import training as trainings
from qaservice.projects.models import Membership, Project, Role, TrainingRecord
from qaservice.projects.selectors import granted_roles, holders, project_for, projects_of, require, roles_of
from qaservice.projects.services import grant, set_policies, withdraw
from qaservice.projects.training import needs_of, record_training, withdraw_training
from tests.factories.records import make_user

pytestmark = pytest.mark.django_db

DIGEST = "ab" * 32
TODAY = now().date()


@pytest.fixture
def lead(project: Project) -> User:
    return person(project, "lead", Role.QA_LEAD)


def person(project: Project, name: str, *roles: str, kind: str = UserKind.PERSON) -> User:
    user = make_user(name, kind=kind)
    for role in roles:
        grant(project=project, user=user, role=role, actor=SYSTEM, reason="for a test")
    return user


def trained(
    project: Project, user: User, name: str = "reading", *, until: date = TODAY, by: User | None = None
) -> TrainingRecord:
    return record_training(
        project=project,
        user=user,
        training=name,
        document="How we read",
        document_version="2",
        document_sha256=DIGEST,
        completed_on=min(TODAY, until) - timedelta(days=1),
        valid_until=until,
        actor=by.as_actor(role="qa_lead") if by else SYSTEM,
        reason="took part",
    )


def needing(project: Project, **policy: list[str]) -> Project:
    return set_policies(project=project, policies={"training_policy": policy}, actor=SYSTEM, reason="policy")


@pytest.mark.requirement("REQ-18")
def test_a_role_sleeps_until_every_training_is_recorded_and_again_when_one_has_ended(
    project: Project, lead: User, monkeypatch: pytest.MonkeyPatch
):
    reader = person(project, "kim", Role.READER)
    machine = person(project, "machine", Role.READER, kind=UserKind.SIMULATED)
    project = needing(project, reader=["reading", "tool"])
    assert roles_of(user=reader, project=project) == frozenset()
    assert granted_roles(user=reader, project=project) == {"reader": ("reading", "tool")}
    with pytest.raises(NotPermitted, match=r"sleeps until a current training is on record: reading, tool") as refused:
        require(user=reader, project=project, action="review")
    assert refused.value.code == "training-missing"
    # The person is told why, instead of that there is no such project.
    assert project_for(user=reader, key=project.key) == project
    assert holders(project=project, action="review") == [machine]
    trained(project, reader, "reading", by=lead)
    assert roles_of(user=reader, project=project) == frozenset()
    record = trained(project, reader, "tool", by=lead)
    assert require(user=reader, project=project, action="review") == "reader"
    assert [user.username for user in holders(project=project, action="review")] == ["kim", "machine"]

    def tomorrow() -> datetime:
        return now() + timedelta(days=1)

    monkeypatch.setattr(trainings, "now", tomorrow)
    assert roles_of(user=reader, project=project) == frozenset()
    monkeypatch.setattr(trainings, "now", now)
    assert roles_of(user=reader, project=project) == {"reader"}
    withdraw_training(record=record, actor=lead.as_actor(role="qa_lead"), reason="wrong person")
    assert roles_of(user=reader, project=project) == frozenset()
    with pytest.raises(Conflict):
        withdraw_training(record=TrainingRecord.objects.get(pk=record.pk), actor=SYSTEM, reason="again")
    assert set(Event.objects.filter(kind__startswith="training.").values_list("subject_id", flat=True)) == {
        str(reader.pk)
    }


@pytest.mark.requirement("REQ-18")
def test_a_regulated_project_asks_a_training_of_every_role_without_being_told(project: Project, lead: User):
    reader = person(project, "kim", Role.READER)
    with change("project.changed", actor=SYSTEM, reason="for a test", subject=("project", str(project.pk))):
        project = compare_and_swap(
            Project, pk=project.pk, expected_revision=project.revision, where={}, changes={"regulated": True}
        )
    for user in (lead, reader):
        assert roles_of(user=user, project=project) == frozenset()
    call_command(
        "record_training",
        "lead",
        project=project.key,
        document=str(__file__),
        document_version="1",
        valid_until=(TODAY + timedelta(days=30)).isoformat(),
    )
    assert roles_of(user=lead, project=project) == {"qa_lead"}
    trained(project, reader, trainings.GENERAL, by=lead)
    assert roles_of(user=reader, project=project) == {"reader"}


def test_nobody_records_their_own_training_and_no_impossible_one_is_recorded(project: Project, lead: User):
    with pytest.raises(NotPermitted, match="somebody else"):
        trained(project, lead, by=lead)
    values = {
        "project": project,
        "user": lead,
        "training": "reading",
        "document": "How we read",
        "document_version": "2",
        "document_sha256": DIGEST,
        "completed_on": TODAY,
        "valid_until": TODAY,
        "actor": SYSTEM,
        "reason": "took part",
    }
    for change_of in (
        {"training": " "},
        {"document": "x" * 201},
        {"document_version": ""},
        {"document_sha256": "abc"},
        {"completed_on": TODAY + timedelta(days=1), "valid_until": TODAY + timedelta(days=2)},
        {"valid_until": TODAY - timedelta(days=1)},
        {"user": make_user("machine", kind=UserKind.SIMULATED)},
    ):
        with pytest.raises(InvalidInput):
            record_training(**{**values, **change_of})  # type: ignore[arg-type]  # one value is wrong on purpose
    assert not TrainingRecord.objects.exists()


def test_a_policy_under_which_nobody_could_lead_any_more_is_refused(project: Project, lead: User):
    with pytest.raises(Conflict, match="every QA lead here would lack a training: leading"):
        needing(project, qa_lead=["leading"])
    trained(project, lead, "leading", until=TODAY + timedelta(days=1))
    needing(project, qa_lead=["leading"])
    for wrong in ({"boss": ["x"]}, {"reader": "x"}, {"reader": [""]}, {"reader": ["x"] * 11}, ["reader"]):
        with pytest.raises(InvalidInput):
            set_policies(project=project, policies={"training_policy": wrong}, actor=SYSTEM, reason="wrong")


def test_what_is_missing_or_ends_first_is_listed_first(project: Project, lead: User):
    for name in ("ann", "bob", "cat", "dan"):
        person(project, name, Role.READER)
    project = needing(project, reader=["reading"])
    users = {user.username: user for user in User.objects.all()}
    for name, days in (("ann", 200), ("bob", 10), ("cat", -1)):
        trained(project, users[name], until=TODAY + timedelta(days=days))
    # A renewal counts, whichever was recorded last.
    trained(project, users["bob"], until=TODAY + timedelta(days=5))
    listed = [(need.user.username, need.state, need.awake) for need in needs_of(project=project, soon_days=30)]
    assert listed == [
        ("dan", "missing", False),
        ("cat", "ended", False),
        ("bob", "ends-soon", True),
        ("ann", "current", True),
    ]


@pytest.mark.requirement("REQ-15")
def test_who_became_an_administrator_later_reads_no_more(project: Project):
    kim = person(project, "kim", Role.READER)
    with change("account.changed", actor=SYSTEM, reason="runs the site now", subject=("user", str(kim.pk))):
        kim = compare_and_swap(
            User, pk=kim.pk, expected_revision=kim.revision, where={}, changes={"is_administrator": True}
        )
    assert roles_of(user=kim, project=project) == frozenset()
    assert holders(project=project, action="review") == []
    with pytest.raises(NotFound):
        require(user=kim, project=project, action="review")


@pytest.mark.requirement("REQ-16")
def test_who_led_or_audited_a_project_never_reads_in_it_afterwards(project: Project, lead: User):
    withdraw(membership=Membership.objects.get(user=lead), actor=SYSTEM, reason="steps back")
    for role in (Role.READER, Role.ADJUDICATOR):
        with pytest.raises(NotPermitted, match="would not be blind"):
            grant(project=project, user=lead, role=role, actor=SYSTEM, reason="wants to read")
    assert list(projects_of(user=lead)) == []
