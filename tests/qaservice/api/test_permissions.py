"""Who may call what: every route, every role (REQ-06, REQ-15)."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from compliance.recording import SYSTEM
from qaservice.accounts.services import deactivate_user, issue_token
from qaservice.projects.models import Role
from qaservice.projects.services import grant
from tests.factories.records import PASSWORD, Site, assign_first_three, make_site, make_user

pytestmark = pytest.mark.django_db

# Reached before anybody is known.
OPEN_ROUTES = {"portal:login", "portal:logout", "api:session"}


def routes() -> Iterator[tuple[str, dict[str, object]]]:
    """Yield every named route of the service with arguments that fit its pattern."""

    def walk(patterns: list[URLPattern | URLResolver], prefix: str) -> Iterator[tuple[str, dict[str, object]]]:
        for pattern in patterns:
            if isinstance(pattern, URLResolver):
                yield from walk(pattern.url_patterns, f"{pattern.namespace}:" if pattern.namespace else prefix)
            elif pattern.name:
                arguments: dict[str, object] = {}
                for name, converter in pattern.pattern.converters.items():
                    kind = type(converter).__name__
                    arguments[name] = {"UUIDConverter": uuid.uuid4(), "IntConverter": 0}.get(kind, "lung")
                yield f"{prefix}{pattern.name}", arguments

    yield from walk(get_resolver().url_patterns, "")


@pytest.fixture
def site() -> Site:
    return make_site()


def logged_in(username: str) -> Client:
    client = Client()
    assert client.login(username=username, password=PASSWORD)
    return client


@pytest.mark.requirement("REQ-06")
def test_every_route_needs_a_login():
    names = [name for name, _arguments in routes()]
    assert len(names) > 30 and len(set(names)) == len(names)
    for name, arguments in routes():
        if name in OPEN_ROUTES:
            continue
        address = reverse(name, kwargs=arguments)
        for response in (Client().get(address), Client().post(address)):
            refused = response.status_code in {401, 403}
            sent_to_login = response.status_code == 302 and response["Location"].startswith(reverse("portal:login"))
            assert refused or sent_to_login, f"{name} answered {response.status_code} to nobody"


@pytest.mark.parametrize("name", ["project", "series", "worklist", "flags", "events", "reports", "runs"])
def test_a_project_does_not_exist_for_someone_without_a_role(site: Site, name: str):
    make_user("stranger")
    address = "project-series" if name == "series" else name
    response = logged_in("stranger").get(reverse(f"api:{address}", kwargs={"key": "lung"}))
    assert response.status_code == 404 and response.json()["code"] == "no-such-project"


READS = {
    "project": {Role.READER, Role.ADJUDICATOR, Role.QA_LEAD, Role.INTEGRATOR, Role.AUDITOR},
    "project-series": {Role.READER, Role.ADJUDICATOR, Role.QA_LEAD, Role.INTEGRATOR, Role.AUDITOR},
    "progress": {Role.QA_LEAD, Role.INTEGRATOR},
    "ingests": {Role.QA_LEAD, Role.INTEGRATOR},
    "quarantine": {Role.QA_LEAD, Role.INTEGRATOR},
    "worklist": {Role.READER, Role.ADJUDICATOR},
    "flags": {Role.QA_LEAD, Role.AUDITOR},
    "flag-counts": {Role.QA_LEAD, Role.AUDITOR},
    "runs": {Role.QA_LEAD, Role.AUDITOR},
    "models": {Role.QA_LEAD, Role.AUDITOR},
    "events": {Role.QA_LEAD, Role.AUDITOR},
    "reports": {Role.QA_LEAD, Role.AUDITOR},
    "dataset-versions": {Role.QA_LEAD, Role.AUDITOR},
}


@pytest.mark.requirement("REQ-15")
@pytest.mark.parametrize("role", Role.values)
def test_each_role_reads_what_the_table_says_and_nothing_else(site: Site, role: str):
    person = make_user("person")
    grant(project=site.project, user=person, role=role, actor=SYSTEM, reason="for the matrix")
    client = logged_in("person")
    for name, roles in READS.items():
        code = client.get(reverse(f"api:{name}", kwargs={"key": "lung"})).status_code
        assert code == (200 if role in roles else 403), f"{role} on {name}: {code}"


@pytest.mark.requirement("REQ-15")
@pytest.mark.parametrize("role", Role.values)
def test_only_who_may_hand_files_in_may_have_them_tried_again(site: Site, role: str):
    person = make_user("person")
    grant(project=site.project, user=person, role=role, actor=SYSTEM, reason="for the matrix")
    address = reverse("api:quarantine-retry", kwargs={"key": "lung"})
    code = logged_in("person").post(address, {"reason": "again"}, content_type="application/json").status_code
    # Nothing waits here: who may ask is told so.
    assert code == (400 if role in {Role.QA_LEAD, Role.INTEGRATOR} else 403)


@pytest.mark.requirement("REQ-15")
@pytest.mark.parametrize("role", Role.values)
def test_only_the_lead_says_how_names_of_labels_are_understood(site: Site, role: str):
    person = make_user("person")
    grant(project=site.project, user=person, role=role, actor=SYSTEM, reason="for the matrix")
    address = reverse("api:label-terms", kwargs={"key": "lung"})
    answer = logged_in("person").post(address, {"reason": "terms"}, content_type="application/json")
    assert answer.status_code == (200 if role == Role.QA_LEAD else 403)


@pytest.mark.requirement("REQ-33")
def test_a_reader_reaches_no_flag_score_or_foreign_label_by_any_address(site: Site):
    assign_first_three(site, site.flags[0])
    client = logged_in(site.readers[0].username)
    flag, series, run = site.flags[0].pk, site.series.pk, site.run.pk
    assert client.get(reverse("api:flag", kwargs={"flag_id": flag})).status_code == 403
    assert client.get(reverse("api:series-overlays", kwargs={"series_id": series})).status_code == 403
    assert client.get(reverse("api:series-annotation-sets", kwargs={"series_id": series})).status_code == 403
    assert "annotation" not in client.get(reverse("portal:series", args=["lung", series])).content.decode().lower()
    assert client.get(reverse("api:run", kwargs={"run_id": run})).status_code == 403
    listed = client.get(reverse("api:worklist", kwargs={"key": "lung"})).content.decode()
    assert "missing_nodule" not in listed and "score" not in listed


def test_a_token_opens_the_api_until_the_account_is_closed(site: Site):
    token = issue_token(user=site.lead, label="test", actor=SYSTEM, reason="for a program")
    headers = {"Authorization": f"Bearer {token}"}
    address = reverse("api:project", kwargs={"key": "lung"})
    assert Client(headers=headers).get(address).status_code == 200
    assert Client(headers={"Authorization": "Bearer wrong"}).get(address).status_code == 401
    assert Client(headers={"Authorization": "Bearer"}).get(address).status_code == 401
    deactivate_user(user=site.lead, actor=SYSTEM, reason="left")
    assert Client(headers=headers).get(address).status_code == 401


def test_a_session_without_a_csrf_token_changes_nothing(site: Site):
    client = Client(enforce_csrf_checks=True)
    assert client.login(username=site.lead.username, password=PASSWORD)
    response = client.post(reverse("api:runs", kwargs={"key": "lung"}), {"reason": "x"})
    assert response.status_code == 403 and "CSRF" in response.json()["detail"]
