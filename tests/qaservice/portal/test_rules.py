"""The page of a project's rules: readable, tried before they are put into force, and errors that name their place."""

from __future__ import annotations

import json

import pytest
import yaml
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from compliance.models import Event
from compliance.recording import SYSTEM
from imaging.checks.rules_document import read_rules
from qaservice.analysis.dataset_models import Concern
from qaservice.portal.rule_words import EXAMPLE, FIELDS, changes_between, condition_in_words, rules_in_words
from qaservice.projects.label_rules import current_rules, set_rules
from qaservice.projects.models import LabelRules, Role
from qaservice.projects.services import grant
from tests.factories.records import PASSWORD, Site, make_site, make_user
from tests.qaservice.portal.dataset_site import RULES, keep_cohort, troubled_cohort

pytestmark = pytest.mark.django_db

PAGE = "/projects/lung/rules/"


@pytest.fixture
def site() -> Site:
    made = make_site()
    keep_cohort(project=made.project, run=made.run, facts=troubled_cohort(series=6))
    return made


def at(username: str, *, csrf: bool = False) -> Client:
    client = Client(enforce_csrf_checks=csrf)
    assert client.login(username=username, password=PASSWORD)
    return client


def sent(client: Client, **form: object) -> tuple[int, str]:
    told = client.post(PAGE, form, follow=True)
    return told.status_code, " ".join(told.content.decode().split())


def test_a_test_run_shows_counts_and_examples_and_changes_nothing(site: Site) -> None:
    client = at("lung-lead")
    # To be shown what rules would raise is a look, and changes nothing.
    changes = Event.objects.exclude(kind="data.viewed")
    before = changes.count()
    status, content = sent(client, step="try", text=RULES)
    assert status == 200
    assert "Tried over 6 series with" in content and "1 of 6</strong> would be raised" in content
    assert "Put exactly these rules into force" in content and "New: small-is-small, three-readers" in content
    assert f"/projects/lung/series/{site.project.series.get(series_instance_uid='2.25.10002').pk}/" in content
    assert (changes.count(), LabelRules.objects.count(), Concern.objects.count()) == (before, 0, 0)


@pytest.mark.requirement("REQ-13")
def test_tried_rules_are_put_into_force_with_a_reason_and_stand_with_who_when_and_why(site: Site) -> None:
    client = at("lung-lead")
    form = {"step": "force", "standing": "0", "text": RULES}
    status, content = sent(client, **form, reason=" ")
    assert status == 400 and "Give a reason" in content and "Put exactly these rules into force" in content
    assert current_rules(project=site.project) is None
    # Browsers send the lines of a text with both of their ends.
    status, content = sent(client, **form | {"text": RULES.replace("\n", "\r\n")}, reason="the guideline of spring")
    assert "Version 1 with 2 rules is in force from the next run on." in content
    assert "Lung-Lead" in content and "the guideline of spring" in content and "QA lead" in content
    standing = current_rules(project=site.project)
    assert standing is not None and standing.text == RULES
    status, content = sent(client, step="try", text=RULES)
    assert "nothing to put into force" in content and "Put exactly these" not in content


@pytest.mark.parametrize(
    ("text", "rule", "field", "why"),
    [
        (RULES.replace("at_most", "at_moist"), "small-is-small", "must", "Beside its field it has one of"),
        (RULES.replace("about: series", "about: serious"), "three-readers", "about", "It is one of"),
        ("rules: 7", "", "rules", "It is a list of at most"),
        ("{broken", "", "", "It is neither JSON nor YAML; look at line 1"),
        ("  ", "", "", "There is nothing to try"),
    ],
)
def test_an_error_names_rule_and_field_and_keeps_what_was_typed(
    site: Site, text: str, rule: str, field: str, why: str
) -> None:
    set_rules(project=site.project, text=RULES, actor=SYSTEM, reason="before")
    response = at("lung-lead").post(PAGE, {"step": "try", "text": text})
    assert response.status_code == 400
    fault = response.context["fault"]
    assert (fault.rule, fault.field) == (rule, field)
    assert fault.message.startswith(why)
    assert response.context["text"] == text
    assert b'role="alert"' in response.content and b"Nothing was changed." in response.content
    assert response.context["tried"] is None


def test_a_file_takes_the_place_of_the_text_and_one_that_is_no_text_is_refused(site: Site) -> None:
    client = at("lung-lead")
    plain = json.dumps(yaml.safe_load(RULES)).encode()
    response = client.post(PAGE, {"step": "try", "text": "", "file": SimpleUploadedFile("rules.json", plain)})
    assert [row.words.rule_id for row in response.context["tried"].rules] == ["small-is-small", "three-readers"]
    for data, why in ((b"\xff\xfe\x00", "no text in UTF-8"), (b"  \n", "is empty"), (b"x" * 800_001, "longer than")):
        response = client.post(PAGE, {"step": "try", "text": RULES, "file": SimpleUploadedFile("rules.yaml", data)})
        assert response.status_code == 400
        assert why in response.content.decode()


@pytest.mark.requirement("REQ-15")
def test_an_auditor_reads_the_rules_and_changes_none_and_a_reader_sees_none(site: Site) -> None:
    set_rules(project=site.project, text=RULES, actor=SYSTEM, reason="before")
    grant(project=site.project, user=make_user("auditor"), role=Role.AUDITOR, actor=SYSTEM, reason="audits")
    auditor = at("auditor")
    content = auditor.get(PAGE).content.decode()
    assert "small-is-small" in content and "<textarea" not in content
    form = {"step": "force", "standing": "1", "text": "rules: []", "reason": "no right"}
    for client in (auditor, at("lung-reader-1")):
        assert client.post(PAGE, form).status_code == 403
    assert at("lung-reader-1").get(PAGE).status_code == 403
    assert LabelRules.objects.count() == 1


def test_rules_without_the_forms_token_are_refused(site: Site) -> None:
    form = {"step": "force", "standing": "0", "text": RULES, "reason": "from elsewhere"}
    assert at("lung-lead", csrf=True).post(PAGE, form).status_code == 403
    assert not LabelRules.objects.exists()


def test_rules_that_somebody_else_replaced_meanwhile_are_not_overwritten(site: Site) -> None:
    set_rules(project=site.project, text="rules: []", actor=SYSTEM, reason="a colleague")
    status, content = sent(at("lung-lead"), step="force", standing="0", text=RULES, reason="mine")
    assert status == 409 and "somebody else put rules into force" in content.lower()
    assert LabelRules.objects.count() == 1


def test_where_no_run_has_looked_the_rules_can_be_set_and_what_is_not_known_is_said() -> None:
    make_site(key="fresh", flags=0)
    response = at("fresh-lead").post("/projects/fresh/rules/", {"step": "try", "text": RULES})
    content = response.content.decode()
    assert response.status_code == 200 and "nothing to try rules on" in content
    assert "Put exactly these rules into force" in content
    assert "no rules of its own" in content


def test_what_was_typed_is_shown_as_text_and_never_as_markup(site: Site) -> None:
    text = RULES.replace("cannot be this large", "</textarea><script>alert(1)</script>")
    content = at("lung-lead").post(PAGE, {"step": "try", "text": text}).content.decode()
    assert "<script>alert" not in content and "&lt;script&gt;" in content


def test_conditions_read_as_clauses() -> None:
    text = """rules:
  - id: every-form
    version: "1"
    severity: note
    about: phases
    within_mm: 8
    message: m
    where:
      all:
        - any:
            - {field: first.category, in: ["a", "b"]}
            - not: {field: days_between, between: [1, 30]}
        - {field: second.features.mean_hu, known: true}
    must_not: {field: second.category, is_not: {field: first.category}}
"""
    [words] = rules_in_words(read_rules(text.replace("days_between", "change.features.volume_mm3")))
    assert words.asked_of == "a reader's two marks of one place in two series of a study, at most 8 mm apart"
    assert words.where == (
        "(the first mark's category is one of “a”, “b” or not (change of measured volume in mm³ lies between 1 and 30))"
        " and the second mark's measured mean in HU is known"
    )
    assert (words.demand, words.condition) == (
        "must not be so",
        "the second mark's category is not the first mark's category",
    )


def test_what_a_new_version_changes_is_told_and_a_change_that_hides_under_its_old_version_too() -> None:
    before, after = read_rules(RULES), read_rules(RULES.replace("at_most: 2.2", "at_most: 3").replace("three-", "3-"))
    changes = changes_between(standing=before, tried=after)
    assert (changes.new, changes.changed, changes.gone) == (("3-readers",), ("small-is-small",), ("three-readers",))
    assert changes.unmarked == ("small-is-small",)
    assert not changes_between(standing=before, tried=before).any


def test_the_help_names_only_what_the_parser_takes() -> None:
    assert len(read_rules(EXAMPLE).rules) == 2
    for about, _asked, names in FIELDS:
        for name in names:
            rule = {"id": "x", "version": "1", "severity": "note", "about": about.value, "message": "m"}
            near = {"within_mm": 5} if about.is_pair else {}
            document = {"rules": [{**rule, **near, "must": {"field": name, "known": True}}]}
            [read] = read_rules(json.dumps(document)).rules
            assert read.must is not None and condition_in_words(read.must).endswith("is known")
