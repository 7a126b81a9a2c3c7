"""Nobody reaches a thing of another project by its id, by any address (REQ-15)."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from django.contrib.messages import get_messages
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from compliance.models import Event
from compliance.recording import SYSTEM, change
from qaservice.accounts.models import User
from qaservice.analysis.dataset_models import Concern
from qaservice.analysis.models import FitnessEvaluation, GoldenCase
from qaservice.common.clock import now
from qaservice.labels.models import DatasetVersion, FindingRevision
from qaservice.projects.models import Membership
from qaservice.projects.training import record_training
from qaservice.reports.models import ValidationReport
from qaservice.retention.models import Disposition, LegalHold, RecordClass, RetentionSchedule
from qaservice.storage.services import store_blob
from qaservice.studies.models import Ingest
from tests.factories.records import Site, assign_first_three, make_site, make_user

pytestmark = pytest.mark.django_db

# Of the whole site or of one person, and so of no project: each is tested with what it belongs to.
NOT_OF_A_PROJECT = frozenset({"model_id", "user_id", "alert_id", "intent_id", "handle"})
# An administrator looks at every project's roles there, and nobody else may.
SITE_WIDE = frozenset({"portal:site-access-review"})
# What a form would say, so that a thing is looked for before anything is found wanting.
ASKED = {
    "reason": "a try from another project",
    "decision": "keep",
    "keep": True,
    "rationale": "a try",
    "expected_revision": 1,
    "meaning": "reviewed",
    "form": "jsonl",
}


@dataclass(frozen=True)
class Route:
    """One address and the arguments that it takes, by name and converter."""

    name: str
    arguments: dict[str, str]


def routes() -> Iterator[Route]:
    def walk(patterns: list[URLPattern | URLResolver], prefix: str) -> Iterator[Route]:
        for pattern in patterns:
            if isinstance(pattern, URLResolver):
                yield from walk(pattern.url_patterns, f"{pattern.namespace}:" if pattern.namespace else prefix)
            elif pattern.name:
                converters = pattern.pattern.converters.items()
                yield Route(f"{prefix}{pattern.name}", {name: type(one).__name__ for name, one in converters})

    yield from walk(get_resolver().url_patterns, "")


def things_of(site: Site) -> dict[str, str]:
    """Return a thing of the project for every argument that names one."""
    project = site.project
    assignment = assign_first_three(site, site.flags[0])[0]
    version = DatasetVersion.objects.filter(project=project).latest("number")
    with change("project.changed", actor=SYSTEM, reason="a test", subject=("project", "test")):
        blob = store_blob(data=b"{}", media_type="application/json")
        ingest = Ingest(project=project, source_name="delivery")
        concern = Concern(project=project, number=1, check_name="x", kind="x", subject="x", score=0.5)
        case = GoldenCase(
            project=project,
            series=site.series,
            dataset_version=version,
            annotation_set=site.sets[0],
            truth_sha256="ab" * 32,
            nodules=1,
            synthetic=True,
        )
        evaluation = FitnessEvaluation(
            project=project,
            number=1,
            model=site.run.model,
            request=uuid.uuid4(),
            golden_sha256="ab" * 32,
            cases=[],
            threshold={},
            figures={},
            plots={"froc": blob.pk},
            outcome="met",
            why="a test",
            software={},
            created_at=now(),
        )
        report = ValidationReport(
            project=project,
            number=1,
            dataset_version=version,
            run=site.run,
            ledger_size=1,
            ledger_head="ab" * 32,
            document=blob,
            facts=blob,
            created_at=now(),
        )
        hold = LegalHold(project=project, matter="a test")
        kept = {name: {"years": 1, "basis": "a test"} for name in RecordClass.values}
        schedule = RetentionSchedule(project=project, number=1, entries=kept)
        disposition = Disposition(project=project, schedule=schedule, proposed_by=site.lead)
        for row in (ingest, concern, case, evaluation, report, hold, schedule, disposition):
            row.save()
    training = record_training(
        project=project,
        user=site.readers[0],
        training="reading",
        document="How we read",
        document_version="1",
        document_sha256="ab" * 32,
        completed_on=now().date(),
        valid_until=now().date(),
        actor=SYSTEM,
        reason="a test",
    )
    rows = {
        "ingest_id": ingest,
        "series_id": site.series,
        "run_id": site.run,
        "flag_id": site.flags[0],
        "concern_id": concern,
        "case_id": case,
        "set_id": site.sets[0],
        "evaluation_id": evaluation,
        "assignment_id": assignment,
        "report_id": report,
        "subject_id": report,
        "hold_id": hold,
        "disposition_id": disposition,
        "study_id": site.series.study,
        "membership_id": Membership.objects.get(user=site.readers[0]),
        "record_id": training,
        "revision_id": FindingRevision.objects.filter(finding=site.findings[0]).first(),
    }
    words = {
        "index": "0",
        "name": "froc",
        "table": "projects_trainingrecord",
        "subject_type": "report",
        "form": "csv",
        "step": "approve",
    }
    return {**{name: str(row.pk) for name, row in rows.items() if row is not None}, **words}


def client_of(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def answers(client: Client, route: Route, arguments: dict[str, str]) -> list[tuple[str, int, str]]:
    """Ask in both ways; return method, status, and what a page says by way of messages. No answer names the project."""
    address = reverse(route.name, kwargs=arguments)
    found = []
    for method in ("get", "post"):
        if method == "get":
            answer = client.get(address)
        elif route.name.startswith("api:"):
            answer = client.post(address, ASKED, content_type="application/json")
        else:
            answer = client.post(address, ASKED)
        said = ""
        if answer.status_code == 302:
            # No page was shown in between, so the messages of earlier tries still wait before this one.
            said = [f"{one.level_tag}: {one.message}" for one in get_messages(answer.wsgi_request)][-1]
        elif arguments.get("key") != "theirs":
            assert b"theirs" not in answer.content, f"{method} {route.name} names the other project"
        found.append((method, answer.status_code, said))
    return found


@pytest.mark.slow
@pytest.mark.requirement("REQ-06")
@pytest.mark.requirement("REQ-15")
def test_an_id_of_another_project_answers_as_one_that_does_not_exist():
    theirs, ours = make_site(key="theirs"), make_site(key="ours")
    things = things_of(theirs)
    lead, reader = client_of(ours.lead), client_of(ours.readers[0])
    # An administrator runs the site, and has no more rights in a project than a stranger.
    boss = client_of(make_user("boss", is_administrator=True))
    walked = 0
    for route in routes():
        names = set(route.arguments) - {"key"} - NOT_OF_A_PROJECT
        ids = {name for name in names if name.endswith("_id")}
        unknown = names - set(things)
        assert not unknown, f"{route.name}: give {unknown} a thing of a project in things_of, or say that it has none"
        if not ids or set(route.arguments) & NOT_OF_A_PROJECT or route.name in SITE_WIDE:
            continue
        walked += 1
        given = {name: things[name] for name in names}
        nowhere = given | {name: str(uuid.uuid4()) for name in ids}
        keyed = "key" in route.arguments
        under_ours, under_theirs = ({"key": "ours"}, {"key": "theirs"}) if keyed else ({}, {})
        before = Event.objects.filter(project_key="theirs").count()
        got = {
            "lead": answers(lead, route, given | under_ours),
            "reader": answers(reader, route, given | under_ours),
            "administrator": answers(boss, route, given | under_theirs),
            "lead under the other key": answers(lead, route, given | under_theirs) if keyed else [],
        }
        assert got["lead"] == answers(lead, route, nowhere | under_ours), (
            f"{route.name} tells that there is such a thing"
        )
        for who, told in got.items():
            for method, status, said in told:
                refused = status in {403, 404, 405} or (status == 302 and said.startswith("error: "))
                # What was asked may be found wanting before anything is looked for.
                assert refused or (status, method) == (400, "post"), f"{method} {route.name} as {who}: {status} {said}"
        assert Event.objects.filter(project_key="theirs").count() == before, route.name
    assert walked > 30
