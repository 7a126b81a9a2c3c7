"""The other pages: everything a role needs is there, nothing complains, and bad deliveries are explained."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Visitor
from tests.browser.seeding import PROJECT

pytestmark = pytest.mark.browser

LEAD_PAGES = (
    "",
    "flags/",
    "series/",
    "deliveries/",
    "people/",
    "trail/",
    "looks/",
    "reports/",
    "models/",
    "dataset/",
    "rules/",
)

UNNAMED = """() => [...document.querySelectorAll('input:not([type=hidden]), select, textarea, button, a')]
  .filter(e => !(e.labels && e.labels.length) && !e.getAttribute('aria-label') && !e.textContent.trim())
  .map(e => e.outerHTML)"""


@pytest.mark.parametrize("path", LEAD_PAGES)
def test_a_page_of_the_lead_opens_without_complaint_and_every_control_has_a_name(visitor: Visitor, path: str):
    page = visitor.log_in("lea").page
    response = page.goto(f"{visitor.portal.address}/projects/{PROJECT}/{path}")
    assert response is not None and response.status == 200
    assert "script-src 'self'" in (response.header_value("content-security-policy") or "")
    expect(page.get_by_text("Not for clinical use")).to_be_visible()
    expect(page.locator("footer")).to_contain_text("embedded (SQLite)")
    assert page.evaluate(UNNAMED) == []
    assert visitor.complaints == []


def test_the_viewer_names_every_control(visitor: Visitor):
    page = visitor.log_in("ada").open_case("ada", "F-0001")
    page.get_by_label("Label is wrong").check()
    assert page.evaluate(UNNAMED) == []


def test_the_record_of_a_flag_shows_evidence_and_who_was_asked(visitor: Visitor):
    page = visitor.log_in("lea").page
    page.goto(f"{visitor.portal.address}/projects/{PROJECT}/flags/?check=boundary&ordering=number")
    page.get_by_role("link", name="F-0001").click()
    expect(page.get_by_text("87 %").first).to_be_visible()
    expect(page.get_by_text("Cleo (simulated)")).to_be_visible()
    page.get_by_role("link", name="show the image").click()
    visitor.wait_for_image()
    expect(page.locator(".legend")).to_contain_text("annotator 1")
    expect(page.locator(".legend")).to_contain_text("annotator 2")


@pytest.mark.requirement("REQ-33")
def test_a_reader_finds_no_way_to_scores_checks_or_other_peoples_labels(visitor: Visitor):
    page = visitor.log_in("ada").page
    page.goto(f"{visitor.portal.address}/projects/{PROJECT}/")
    assert "boundary" not in page.content()
    for path in ("flags/", "dataset/", "rules/", "trail/", "people/", "reports/", "deliveries/"):
        response = page.goto(f"{visitor.portal.address}/projects/{PROJECT}/{path}")
        assert response is not None and response.status == 403, path
    page.goto(f"{visitor.portal.address}/projects/{PROJECT}/series/")
    page.locator("td a").first.click()
    visitor.wait_for_image()
    expect(page.locator(".legend")).not_to_contain_text("annotator")


def test_a_simulated_actor_is_marked_where_people_are_listed(visitor: Visitor):
    page = visitor.log_in("lea").page
    page.goto(f"{visitor.portal.address}/projects/{PROJECT}/people/")
    expect(page.locator("tr").filter(has_text="Cleo").locator(".simulated")).to_be_visible()
    assert page.locator("tr").filter(has_text="Ada").locator(".simulated").count() == 0


def test_an_upload_that_cannot_be_read_is_refused_with_its_reason_and_leaves_nothing(visitor: Visitor):
    page = visitor.log_in("lea").page
    page.goto(f"{visitor.portal.address}/projects/{PROJECT}/deliveries/")
    before = page.locator("tbody tr").count()
    broken = {"name": "study.zip", "mimeType": "application/zip", "buffer": b"PK\x03\x04 cut off in transit"}
    page.get_by_label("One DICOM or annotation file").set_input_files(files=[broken])
    page.get_by_label("Reason").fill("studies of site 3")
    with page.expect_response(lambda response: response.request.method == "POST") as answer:
        page.get_by_role("button", name="Send").click()
    assert 400 <= answer.value.status < 500
    expect(page.get_by_role("alert")).to_contain_text("Nothing was stored")
    assert page.get_by_label("Reason").input_value() == "studies of site 3"
    assert page.locator("tbody tr").count() == before


def test_the_trail_can_be_narrowed_to_one_person_and_kind(visitor: Visitor):
    page = visitor.log_in("lea").page
    page.goto(f"{visitor.portal.address}/projects/{PROJECT}/trail/")
    page.get_by_label("What").select_option("assignment.made")
    page.get_by_role("button", name="Show").click()
    rows = page.locator("tbody tr")
    assert rows.count() == 12
    # The name, and beneath it the role in which she acted.
    assert {tuple(text.split("\n")) for text in rows.locator("td:nth-child(2)").all_inner_texts()} == {
        ("Lea", "QA lead")
    }


def test_the_record_verifies_from_the_portal(visitor: Visitor):
    page = visitor.log_in("lea").page
    page.goto(f"{visitor.portal.address}/projects/{PROJECT}/trail/")
    page.get_by_role("button", name="Verify the whole record now").click()
    expect(page.get_by_text("Nothing in the record was altered.")).to_be_visible()


def test_a_button_without_a_reason_changes_nothing_and_says_so(visitor: Visitor):
    page = visitor.log_in("lea").page
    page.goto(f"{visitor.portal.address}/projects/{PROJECT}/")
    page.evaluate("document.querySelectorAll('[name=reason]').forEach(field => field.required = false)")
    page.get_by_role("button", name="Assign open flags").click()
    expect(page.locator(".messages .error")).to_contain_text("Give a reason")


@pytest.mark.requirement("REQ-06")
def test_after_logging_out_a_page_leads_back_to_the_login(visitor: Visitor):
    page = visitor.log_in("lea").page
    page.get_by_role("button", name="Log out").click()
    page.goto(f"{visitor.portal.address}/projects/{PROJECT}/")
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()
