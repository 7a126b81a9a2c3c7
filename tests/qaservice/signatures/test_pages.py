"""Signatures in print: the page beside the report, whose own bytes stay what they were."""

from __future__ import annotations

import re

import pypdfium2 as pdfium
import pytest

from qaservice.reports.signature_pages import signature_page
from qaservice.storage.selectors import read_blob
from tests.qaservice.signatures.signing_site import SigningSite


def text_of(pdf: bytes) -> str:
    return " ".join(re.sub(r"\s+", " ", page.get_textpage().get_text_range()) for page in pdfium.PdfDocument(pdf))


@pytest.mark.requirement("REQ-22")
def test_the_page_prints_name_time_meaning_and_the_documents_digest_and_says_when_it_is_approved(site: SigningSite):
    before = read_blob(site.report.document_id)
    assert "carries no signature" in text_of(signature_page(site.report))
    given = site.author.sign(site.subject, "responsible")
    draft = text_of(signature_page(site.report))
    for words in (
        "Lung-Lead",
        "Responsible for the content",
        f"{given.signed_at:%H:%M:%S} UTC",
        site.report.document_id,
        "DRAFT: not approved",
        "Not signed: Reviewed, Audit trail reviewed and Approved",
    ):
        assert words in draft, words
    site.auditor.sign(site.subject, "reviewed")
    site.auditor.sign(site.subject, "trail-reviewed")
    site.approver.sign(site.subject, "approved")
    approved = text_of(signature_page(site.report))
    assert "APPROVED" in approved and "DRAFT" not in approved and "Second-Lead" in approved
    assert read_blob(site.report.document_id) == before
