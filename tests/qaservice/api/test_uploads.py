"""What is refused at the door: clear 4xx answers, and nothing half-stored."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from qaservice.jobs.models import Job
from qaservice.storage.models import Blob
from qaservice.studies.models import Ingest
from tests.factories.records import PASSWORD, make_site

pytestmark = pytest.mark.django_db


def archive(names: list[str]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as made:
        for name in names:
            made.writestr(name, b"x" * 2000)
    return stream.getvalue()


BAD: dict[str, tuple[str, Callable[[], bytes]]] = {
    "a truncated archive": ("study.zip", lambda: archive(["a.dcm", "b.dcm"])[:1500]),
    "a path that leads outside": ("study.zip", lambda: archive(["../../outside.dcm"])),
    "an absolute path": ("study.zip", lambda: archive(["/etc/outside.dcm"])),
    "no DICOM": ("holiday.jpg", lambda: b"\xff\xd8\xff\xe0" + b"holiday" * 100),
    "nothing": ("empty.dcm", lambda: b""),
}


@pytest.mark.requirement("REQ-17")
@pytest.mark.parametrize("case", list(BAD))
def test_a_bad_upload_gets_a_clear_answer_and_leaves_nothing(case: str):
    site = make_site()
    filename, contents = BAD[case]
    blobs = set(Blob.objects.values_list("pk", flat=True))
    folder = Path(settings.DATA_DIR) / "uploads"
    before = set(folder.rglob("*"))
    client = Client()
    assert client.login(username=site.lead.username, password=PASSWORD)
    answer = client.post(
        reverse("api:ingests", kwargs={"key": "lung"}),
        {"file": SimpleUploadedFile(filename, contents()), "reason": "handed in"},
    )
    assert 400 <= answer.status_code < 500, answer.content
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert len(answer.json()["detail"]) > 15
    assert Ingest.objects.count() == 0 and Job.objects.count() == 0
    assert set(Blob.objects.values_list("pk", flat=True)) == blobs
    assert set(folder.rglob("*")) == before


def test_an_upload_without_a_file_or_a_reason_is_refused():
    site = make_site()
    client = Client()
    assert client.login(username=site.lead.username, password=PASSWORD)
    address = reverse("api:ingests", kwargs={"key": "lung"})
    assert client.post(address, {"reason": "handed in"}).json()["code"] == "file-missing"
    upload = SimpleUploadedFile("a.zip", archive(["a.dcm"]))
    assert client.post(address, {"file": upload}).json()["code"] == "reason-missing"


def test_a_reader_may_not_hand_anything_in():
    site = make_site()
    client = Client()
    assert client.login(username=site.readers[0].username, password=PASSWORD)
    upload = SimpleUploadedFile("a.zip", archive(["a.dcm"]))
    answer = client.post(reverse("api:ingests", kwargs={"key": "lung"}), {"file": upload, "reason": "handed in"})
    assert answer.status_code == 403
