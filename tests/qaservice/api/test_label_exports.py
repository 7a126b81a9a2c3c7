"""Labels out over the API: who may ask, what comes, and what is refused."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile

import pytest
from django.test import Client
from django.urls import reverse

from compliance.models import Event
from compliance.recording import SYSTEM
from qaservice.projects.models import Role
from qaservice.projects.services import grant
from tests.factories.records import PASSWORD, Site, make_site, make_user

pytestmark = pytest.mark.django_db

ADDRESS = "api:label-exports"


@pytest.fixture
def site() -> Site:
    return make_site()


def asked(client: Client, **changes: object) -> tuple[int, bytes, dict[str, str]]:
    stated = {"format": "coco-json", "sets": "readers", "reason": "for a partner", **changes}
    response = client.post(
        reverse(ADDRESS, kwargs={"key": "lung"}), json.dumps(stated), content_type="application/json"
    )
    data = b"".join(response.streaming_content) if response.streaming else response.content  # type: ignore[attr-defined]  # Django's
    return response.status_code, data, dict(response.headers)


def logged_in(username: str) -> Client:
    client = Client()
    assert client.login(username=username, password=PASSWORD)
    return client


@pytest.mark.requirement("REQ-15")
@pytest.mark.parametrize("role", Role.values)
def test_only_who_may_export_gets_labels(site: Site, role: str):
    person = make_user("person")
    grant(project=site.project, user=person, role=role, actor=SYSTEM, reason="for the matrix")
    code, _, _ = asked(logged_in("person"))
    assert code == (200 if role in {Role.QA_LEAD, Role.AUDITOR} else 403)
    assert Event.objects.filter(kind="labels.exported").exists() is (code == 200)


@pytest.mark.requirement("REQ-03")
def test_a_zip_comes_whose_digest_is_the_records(site: Site):
    code, data, headers = asked(logged_in(site.lead.username))
    assert code == 200 and headers["Content-Type"] == "application/zip"
    assert headers["Content-Disposition"] == 'attachment; filename="lung-labels-1-coco-json.zip"'
    event = Event.objects.get(kind="labels.exported")
    assert event.payload["sha256"] == hashlib.sha256(data).hexdigest() == headers["X-Content-SHA256"]
    assert (event.actor_name, event.reason) == (site.lead.display_name, "for a partner")
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        manifest = json.loads(archive.read("manifest.json"))
        assert archive.testzip() is None
    assert manifest["labels"] == {
        "format": "coco-json",
        "title": "COCO annotations (JSON)",
        "sets": "readers",
    }


@pytest.mark.parametrize(
    ("changes", "code", "status"),
    [
        ({"reason": " "}, "reason-missing", 400),
        ({"format": "pptx"}, None, 400),
        ({"sets": "mine"}, None, 400),
        ({"version": 99}, "no-such-version", 404),
        ({"series_instance_uid": "1.2.3"}, "no-such-series", 404),
        ({"sets": "reference"}, "nothing-to-export", 409),
    ],
)
def test_what_cannot_be_exported_is_refused_by_name(
    site: Site, changes: dict[str, object], code: str | None, status: int
):
    answered, data, _ = asked(logged_in(site.lead.username), **changes)
    assert answered == status
    assert code is None or json.loads(data)["code"] == code
    assert not Event.objects.filter(kind="labels.exported").exists()
