"""What a project lets pass at intake: set by service, command and API, checked, and on record."""

from __future__ import annotations

from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from compliance.models import Event
from compliance.recording import SYSTEM
from qaservice.common.errors import InvalidInput
from qaservice.projects.models import Project, Role
from qaservice.projects.policies import POLICIES
from qaservice.projects.services import grant, set_gate_policy, set_policies
from tests.factories.records import PASSWORD, make_user

pytestmark = pytest.mark.django_db


def recorded() -> list[Event]:
    return list(Event.objects.filter(kind="project.policies-changed").order_by("occurred_at", "id"))


@pytest.mark.requirement("REQ-20")
def test_a_change_of_the_gate_policy_is_on_record_with_what_held_before(project: Project) -> None:
    set_gate_policy(project=project, policy={"non-axial": "warn"}, actor=SYSTEM, reason="sagittal CT is wanted here")
    project.refresh_from_db()
    set_gate_policy(project=project, policy={"slices-overlap": "accept"}, actor=SYSTEM, reason="all ours overlap")
    project.refresh_from_db()
    assert project.gate_policy == {"slices-overlap": "accept"}
    assert [event.payload["gate_policy"] for event in recorded()] == [
        {"before": {}, "after": {"non-axial": "warn"}},
        {"before": {"non-axial": "warn"}, "after": {"slices-overlap": "accept"}},
    ]


def test_a_policy_that_holds_already_is_not_recorded_again(project: Project) -> None:
    set_gate_policy(project=project, policy={}, actor=SYSTEM, reason="nothing new")
    assert recorded() == []


@pytest.mark.parametrize(
    ("policy", "code"),
    [
        ({"missing-slices": "warn"}, "not-relaxable"),
        ({"non-axial": "accept"}, "not-relaxable"),
        ({"no-such-finding": "warn"}, "unknown-finding"),
        ({"non-axial": "maybe"}, "unknown-disposition"),
        ("warn", "unusable-policy"),
    ],
)
def test_a_policy_that_no_true_volume_allows_is_refused_and_nothing_changes(
    project: Project, policy: object, code: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        set_policies(project=project, policies={"gate_policy": policy}, actor=SYSTEM, reason="trying")
    assert caught.value.code == code
    project.refresh_from_db()
    assert project.gate_policy == {} and recorded() == []


def test_a_policy_that_does_not_exist_is_refused(project: Project) -> None:
    with pytest.raises(InvalidInput) as caught:
        set_policies(project=project, policies={"colour": "blue"}, actor=SYSTEM, reason="trying")
    assert caught.value.code == "no-such-policy"


def test_every_policy_is_a_field_of_the_project_and_may_be_set_to_what_it_is(project: Project) -> None:
    present = {name: getattr(project, name) for name in POLICIES}
    assert set_policies(project=project, policies=present, actor=SYSTEM, reason="as it is") == project


def test_the_command_changes_one_finding_and_leaves_the_others_as_they_were(project: Project) -> None:
    call_command("set_policy", project=project.key, gate=["non-axial=warn"], stdout=StringIO())
    call_command("set_policy", project=project.key, gate=["slices-apart=quarantine"], stdout=StringIO())
    project.refresh_from_db()
    assert project.gate_policy == {"non-axial": "warn", "slices-apart": "quarantine"}
    out = StringIO()
    call_command("set_policy", project=project.key, gate=["non-axial=default"], stdout=out)
    assert "gate_policy: slices-apart=quarantine" in out.getvalue()
    for wrong in ("non-axial", "gantry-tilt=warn"):
        with pytest.raises(CommandError):
            call_command("set_policy", project=project.key, gate=[wrong], stdout=StringIO())


@pytest.mark.requirement("REQ-15")
@pytest.mark.parametrize(("role", "status"), [(Role.QA_LEAD, 200), (Role.INTEGRATOR, 403), (Role.READER, 403)])
def test_only_the_qa_lead_sets_policies_through_the_api(project: Project, role: str, status: int) -> None:
    person = make_user("person")
    grant(project=project, user=person, role=role, actor=SYSTEM, reason="for the matrix")
    client = Client()
    assert client.login(username="person", password=PASSWORD)
    address = reverse("api:policies", kwargs={"key": project.key})
    wanted = {"gate_policy": {"missing-frame-of-reference": "quarantine"}, "reason": "labels must name a frame"}
    response = client.patch(address, wanted, content_type="application/json")
    assert response.status_code == status
    if status == 200:
        assert response.json()["gate_policy"] == {"missing-frame-of-reference": "quarantine"}
        assert client.get(address).json() == response.json()
        assert client.patch(address, {"gate_policy": {}}, content_type="application/json").status_code == 400
    assert len(recorded()) == (status == 200)


def test_a_label_term_says_what_a_source_means_by_a_name_and_is_on_record(project: Project) -> None:
    call_command("set_policy", project=project.key, label=["Target 1=nodule >= 3 mm"], stdout=StringIO())
    call_command("set_policy", project=project.key, label=["heart=other structure"], stdout=StringIO())
    project.refresh_from_db()
    assert project.label_terms == {"Target 1": "nodule >= 3 mm", "heart": "other structure"}
    assert recorded()[-1].payload["label_terms"]["before"] == {"Target 1": "nodule >= 3 mm"}


@pytest.mark.parametrize(
    ("terms", "code"),
    [
        ({"Target 1": "nodule"}, "no-such-category"),
        ({"  ": "non-nodule"}, "unusable-term"),
        ({"Target": "non-nodule", "TARGET": "other structure"}, "term-twice"),
        (["Target"], "unusable-policy"),
    ],
)
def test_a_label_term_that_means_nothing_or_two_things_is_refused(project: Project, terms: object, code: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        set_policies(project=project, policies={"label_terms": terms}, actor=SYSTEM, reason="trying")
    assert caught.value.code == code and recorded() == []
