"""A record leaves with its signatures (REQ-03, REQ-22)."""

from __future__ import annotations

import pytest

from qaservice.trail.exporting import export_record
from qaservice.trail.life import life_of
from tests.qaservice.signatures.signing_site import Clock, make_signing_site


@pytest.mark.django_db
@pytest.mark.requirement("REQ-03")
@pytest.mark.requirement("REQ-22")
def test_the_life_of_a_signed_report_shows_name_time_and_meaning_and_leaves_with_it(monkeypatch: pytest.MonkeyPatch):
    time = Clock()
    monkeypatch.setattr("qaservice.common.clock.now", time.now)
    site = make_signing_site(time=time)
    signature = site.author.sign(site.subject, "responsible")
    _, key = site.subject
    life = life_of(project=site.project, table="reports_validationreport", key=key)
    [signed] = next(kind for kind in life.related if kind.kind == "signature").rows
    said = dict(signed.said)
    assert (said["Printed name"], said["Meaning words"]) == (signature.printed_name, signature.meaning_words)
    assert said["Signed at"].endswith("UTC") and said["Record SHA-256"] == signature.record_sha256
    actor = site.author.user.as_actor(role="qa_lead")
    export = export_record(
        project=site.project, table="reports_validationreport", key=key, form="jsonl", actor=actor, reason="inspection"
    )
    lines = b"".join(export.pieces)
    assert f'"id":"{signature.pk}"'.encode() in lines and signature.printed_name.encode() in lines
