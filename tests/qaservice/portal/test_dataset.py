"""The page of the dataset: its concerns, who settles them, what the checks could look at, and what is said of none."""

from __future__ import annotations

import pytest
from django.test import Client

from compliance.models import Event
from compliance.recording import SYSTEM
from qaservice.analysis.dataset_models import Concern, ConcernState
from qaservice.portal.views.dataset import KINDS
from qaservice.projects.label_rules import set_rules
from qaservice.projects.models import Role
from qaservice.projects.services import grant
from qaservice.studies.models import Series
from tests.factories.records import PASSWORD, Site, make_run, make_site, make_user
from tests.qaservice.portal.dataset_site import RULES, keep_cohort, look_at_dataset, troubled_cohort

pytestmark = pytest.mark.django_db

PAGE = "/projects/lung/dataset/"


@pytest.fixture
def site() -> Site:
    made = make_site()
    set_rules(project=made.project, text=RULES, actor=SYSTEM, reason="the guideline asks for it")
    facts = troubled_cohort(series=6)
    keep_cohort(project=made.project, run=made.run, facts=facts)
    look_at_dataset(run=made.run, facts=facts)
    return made


def at(username: str, *, csrf: bool = False) -> Client:
    client = Client(enforce_csrf_checks=csrf)
    assert client.login(username=username, password=PASSWORD)
    return client


def text_of(client: Client, address: str = PAGE) -> str:
    response = client.get(address)
    assert response.status_code == 200
    return " ".join(response.content.decode().split())


def concern_about(kind: str) -> Concern:
    return Concern.objects.get(kind=kind)


def settle(client: Client, concern: Concern, **sent: str) -> str:
    form = {"decision": "confirmed", "revision": str(concern.revision), "reason": "seen in both scans", **sent}
    told = client.post(f"{PAGE}{concern.pk}/settle/", form, follow=True)
    return " ".join(told.content.decode().split())


def test_a_concern_stands_with_its_number_kind_probability_reason_and_linked_series(site: Site) -> None:
    content = text_of(at("lung-lead"))
    concern = concern_about("same-image-twice")
    assert str(concern) in content and KINDS["same-image-twice"] in content
    assert "recur in the other" in content and "Probability that something is wrong" in content
    for uid in concern.subject.split():
        assert f"/projects/lung/series/{Series.objects.get(series_instance_uid=uid).pk}/" in content
    assert "Rule three-readers" in content


def test_every_check_says_how_it_ended_and_one_that_could_not_judge_says_why(site: Site) -> None:
    content = text_of(at("lung-lead"))
    assert "could not judge" in content and "12 are needed" in content
    rows = {row.name: row for row in at("lung-lead").get(PAGE).context["checks"]}
    assert (rows["near_duplicate"].status, rows["near_duplicate"].issues) == ("ran", 2)
    assert rows["rule:three-readers"].issues == 1
    assert "other rules were put into force" not in content
    set_rules(project=site.project, text="rules: []", actor=SYSTEM, reason="no longer")
    assert "other rules were put into force since" in text_of(at("lung-lead"))


def test_a_project_without_runs_and_one_without_concerns_say_so_in_words(site: Site) -> None:
    other = make_site(key="fresh", flags=0)
    assert "No run has looked at the dataset as a whole yet" in text_of(at("fresh-lead"), "/projects/fresh/dataset/")
    facts = troubled_cohort(series=3)
    look_at_dataset(run=other.run, facts=type(facts)(facts.series[2:]))
    assert "No check has a concern about this dataset" in text_of(at("fresh-lead"), "/projects/fresh/dataset/")


def test_concerns_can_be_narrowed_to_a_state_and_a_state_that_does_not_exist_is_refused(site: Site) -> None:
    client = at("lung-lead")
    assert len(client.get(PAGE).context["concerns"]) == 3
    assert "No concern is confirmed" in text_of(client, f"{PAGE}?state=confirmed")
    settle(client, concern_about("rule-broken"), decision="dismissed")
    assert len(client.get(PAGE).context["concerns"]) == 2
    assert len(client.get(f"{PAGE}?state=all").context["concerns"]) == 3
    assert client.get(f"{PAGE}?state=lost").status_code == 400


@pytest.mark.requirement("REQ-13")
def test_the_lead_settles_with_a_reason_and_may_revise(site: Site) -> None:
    client = at("lung-lead")
    concern = concern_about("same-image-twice")
    assert "Give a reason" in settle(client, concern, reason=" ")
    assert "C-0001 is confirmed." in settle(client, concern)
    content = text_of(client, f"{PAGE}?state=confirmed")
    assert "Something is wrong, says Lung-Lead" in content and "seen in both scans" in content
    assert "someone else changed this first" in settle(client, concern, decision="dismissed").lower()
    concern.refresh_from_db()
    assert "C-0001 is dismissed." in settle(client, concern, decision="dismissed", reason="a phantom, on purpose")
    assert [row.state for row in concern.history.order_by("revision")] == ["open", "confirmed", "dismissed"]


@pytest.mark.parametrize("sent", [{"revision": "x"}, {"revision": "²"}, {"decision": "open"}])
def test_a_form_that_nobody_made_settles_nothing(site: Site, sent: dict[str, str]) -> None:
    told = settle(at("lung-lead"), concern_about("same-image-twice"), **sent)
    assert 'class="error"' in told
    assert concern_about("same-image-twice").state == ConcernState.OPEN


def test_after_settling_the_page_stays_with_its_filter_and_leads_nowhere_else(site: Site) -> None:
    client = at("lung-lead")
    concern = concern_about("same-image-twice")
    sent = {"decision": "confirmed", "revision": "1", "reason": "seen", "back": "?state=all"}
    assert client.post(f"{PAGE}{concern.pk}/settle/", sent).url == f"{PAGE}?state=all"
    for elsewhere in ("//elsewhere.example/", "https://elsewhere.example/"):
        assert client.post(f"{PAGE}{concern.pk}/settle/", sent | {"back": elsewhere}).url == PAGE


@pytest.mark.requirement("REQ-15")
def test_an_auditor_reads_and_settles_nothing_and_a_reader_sees_nothing(site: Site) -> None:
    grant(project=site.project, user=make_user("auditor"), role=Role.AUDITOR, actor=SYSTEM, reason="audits")
    auditor = at("auditor")
    content = text_of(auditor)
    assert "C-0001" in content and "settle/" not in content and "The project's QA lead decides" in content
    concern = concern_about("same-image-twice")
    for client in (auditor, at("lung-reader-1")):
        before = Event.objects.count()
        assert client.post(f"{PAGE}{concern.pk}/settle/", {"decision": "confirmed", "revision": "1"}).status_code == 403
        assert Event.objects.count() == before
    assert at("lung-reader-1").get(PAGE).status_code == 403


def test_a_settlement_without_the_forms_token_is_refused(site: Site) -> None:
    concern = concern_about("same-image-twice")
    sent = {"decision": "confirmed", "revision": "1", "reason": "from elsewhere"}
    assert at("lung-lead", csrf=True).post(f"{PAGE}{concern.pk}/settle/", sent).status_code == 403
    assert concern_about("same-image-twice").state == ConcernState.OPEN


def test_the_concern_of_another_project_does_not_exist(site: Site) -> None:
    make_site(key="fresh", flags=0)
    concern = concern_about("same-image-twice")
    assert at("fresh-lead").post(f"/projects/fresh/dataset/{concern.pk}/settle/", {}).status_code == 404


def test_a_concern_that_the_newest_run_did_not_raise_again_says_so(site: Site) -> None:
    later = make_run(project=site.project, version=site.run.dataset_version, number=2, sha256="12" * 32)
    facts = troubled_cohort(series=6)
    look_at_dataset(run=later, facts=type(facts)(facts.series[:2]))
    content = text_of(at("lung-lead"))
    assert content.count("The newest run, 2, did not raise it again") == 1
