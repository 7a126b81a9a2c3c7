"""A signature stands or does not, computed from what is stored: moved, altered, or on a record that changed."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from django.db import connection

from qaservice.reports.models import ValidationReport
from qaservice.reports.signature_pages import signature_page
from qaservice.reports.signing import approval_of
from qaservice.signatures.models import Signature
from qaservice.signatures.standing import Standing, judge
from qaservice.storage import files
from tests.qaservice.signatures.signing_site import SigningSite, make_report
from tests.qaservice.signatures.test_pages import text_of


def past_the_triggers(table: str, statement: str, *values: object) -> None:
    """Write as an intruder with the owner's rights could; the test's own transaction undoes it."""
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = %s", [table])
            for (name,) in cursor.fetchall():
                cursor.execute(f'DROP TRIGGER "{name}"')
        else:
            # What the guard asks at commit is asked now: a table with questions open cannot be altered.
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
            cursor.execute(f'ALTER TABLE "{table}" DISABLE TRIGGER ALL')
        cursor.execute(statement, list(values))


def key(row: Signature | ValidationReport) -> str:
    """Return a row's key as this database's SQL writes it."""
    return str(row.pk) if connection.vendor == "postgresql" else row.pk.hex


def moved(site: SigningSite, given: Signature) -> None:
    other = make_report(site.site, number=2)
    past_the_triggers(
        "signatures_signature",
        "UPDATE signatures_signature SET subject_id = %s, subject_version = '2' WHERE id = %s",
        str(other.pk),
        key(given),
    )


def moved_with_its_intent(site: SigningSite, given: Signature) -> None:
    moved(site, given)
    past_the_triggers(
        "signatures_signingintent",
        "UPDATE signatures_signingintent SET subject_id = (SELECT subject_id FROM signatures_signature WHERE id = %s)",
        key(given),
    )


def said_of_another(site: SigningSite, given: Signature) -> None:
    payload = {**given.event.payload, "meaning": "approved"}
    past_the_triggers(
        "compliance_event",
        "UPDATE compliance_event SET payload = %s WHERE subject_id = %s AND kind = 'signature.given'",
        json.dumps(payload),
        site.subject[1],
    )


def renamed(site: SigningSite, given: Signature) -> None:
    past_the_triggers(
        "signatures_signature",
        "UPDATE signatures_signature SET printed_name = 'Prof. Other' WHERE id = %s",
        key(given),
    )


def said_later(site: SigningSite, given: Signature) -> None:
    past_the_triggers(
        "compliance_event",
        "UPDATE compliance_event SET occurred_at = '2020-01-01 00:00:00' WHERE subject_id = %s",
        site.subject[1],
    )


@pytest.mark.requirement("REQ-23")
@pytest.mark.parametrize("attack", [moved, moved_with_its_intent, said_of_another, renamed, said_later])
def test_a_signature_moved_or_altered_does_not_verify(
    site: SigningSite, attack: Callable[[SigningSite, Signature], None]
):
    given = site.author.sign(site.subject, "responsible")
    assert judge(given).valid
    attack(site, given)
    found = judge(given)
    assert found.standing is Standing.UNVERIFIED and found.why
    other = ValidationReport.objects.exclude(pk=site.report.pk).first()
    assert other is None or not approval_of(other).standing


@pytest.mark.requirement("REQ-22")
@pytest.mark.requirement("REQ-24")
def test_a_report_whose_record_or_bytes_change_is_no_longer_signed_on_screen_and_in_print(site: SigningSite):
    site.approve()
    assert approval_of(site.report).approved
    past_the_triggers(
        "reports_validationreport",
        "UPDATE reports_validationreport SET ledger_head = %s WHERE id = %s",
        "00" * 32,
        key(site.report),
    )
    after = approval_of(site.report)
    assert after.draft and {one.standing for one in after.signatures} == {Standing.VOID}
    site.report.refresh_from_db()
    printed = text_of(signature_page(site.report))
    assert "DRAFT: not approved" in printed and printed.count("does not stand") == 4
    assert "Void: the record's content is no longer the one that was signed." in printed


@pytest.mark.requirement("REQ-24")
def test_bytes_that_were_altered_in_the_blob_folder_void_the_signature(site: SigningSite):
    given = site.author.sign(site.subject, "responsible")
    path = files.path_of(site.report.document_id)
    path.unlink()
    path.write_bytes(b"%PDF-1.7 another one")
    found = judge(given)
    assert found.standing is Standing.VOID and "altered" in found.why
