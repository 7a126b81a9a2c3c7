"""The reader's way through a case: blind first, then the opinions, then the final verdict; nothing typed is lost."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.acceptance.service import PASSWORD
from tests.browser.conftest import Portal, Visitor
from tests.browser.seeding import MISSING_REASON, PROJECT, PROPOSAL, REASON

pytestmark = pytest.mark.browser


def submit(page: Page) -> None:
    page.locator(".verdict-form button[type='submit']").click()


def drag_on_image(page: Page, dx: int) -> None:
    at = page.locator("canvas.slice").bounding_box()
    assert at is not None
    x, y = at["x"] + at["width"] / 2, at["y"] + at["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + dx / 2, y, steps=3)
    page.mouse.move(x + dx, y, steps=3)
    page.mouse.up()


@pytest.mark.requirement("REQ-33")
def test_nothing_of_the_opinions_reaches_the_browser_before_the_blind_verdict(visitor: Visitor):
    page = visitor.log_in("ada").open_case("ada", "F-0003")
    everything = page.content() + "".join(visitor.answers)
    assert "Please look at this place." in everything
    for secret in (REASON, PROPOSAL, "annotator 2", "0.87", "boundary", "87 %"):
        assert secret not in everything, secret


@pytest.mark.requirement("REQ-33")
def test_a_reader_votes_blind_sees_the_opinions_accepts_a_proposal_and_goes_on(visitor: Visitor):
    page = visitor.log_in("ada").page
    page.goto(f"{visitor.portal.address}/projects/{PROJECT}/worklist/")
    page.get_by_label("Pick F-0001").check()
    page.get_by_label("Pick F-0003").check()
    page.get_by_role("button", name="Read 2 picked cases").click()
    visitor.wait_for_image()
    expect(page.locator(".where")).to_contain_text("case 1 of 2")
    page.get_by_label("Label is right").check()
    submit(page)
    expect(page.get_by_role("alert").filter(has_text="the record needs a reason")).to_be_visible()
    page.get_by_label("Why?").fill("The outline follows the border.")
    submit(page)
    expect(page.get_by_text(REASON)).to_be_visible()
    expect(page.get_by_text("87 %", exact=True)).to_be_visible()
    expect(page.locator(".others")).to_contain_text("annotator 2: nodule >= 3 mm")
    expect(page.get_by_role("button", name="Keep my verdict: Label is right")).to_be_visible()
    page.get_by_role("button", name="Accept: Replace the outline").click()
    expect(page.get_by_label("Why?")).to_have_value(f"Accepted after the reveal: Replace the outline: {PROPOSAL}")
    submit(page)
    expect(page.locator(".ending")).to_contain_text("not all decided yet")
    assert "The others' verdicts" not in page.content()
    page.get_by_role("link", name="Next case (2 of 2)").click()
    visitor.wait_for_image()
    expect(page.locator("#review h2")).to_have_text("F-0003")
    assert visitor.complaints == []


def test_a_missing_lesion_is_sketched_undone_and_kept_through_the_reveal(visitor: Visitor):
    page = visitor.log_in("ada").open_case("ada", "F-0002")
    page.keyboard.press("g")
    page.keyboard.press("Shift+Digit2")
    page.get_by_label("Sketch what is missing in the image").check()
    drag_on_image(page, 60)
    row = page.locator(".sketch-row")
    expect(row).to_contain_text("Sphere of")
    first = row.inner_text()
    drag_on_image(page, 90)
    assert row.inner_text() != first
    page.keyboard.press("Escape")
    page.keyboard.press("Control+z")
    assert row.inner_text().split(".")[0] == first.split(".")[0]
    page.get_by_label("Category").select_option("nodule >= 3 mm")
    page.get_by_label("Why?").fill("Round and well defined.")
    submit(page)
    expect(page.get_by_text(MISSING_REASON)).to_be_visible()
    page.get_by_role("button", name="Keep my verdict: Label is wrong").click()
    expect(page.locator(".ending")).to_be_visible()
    stored = visitor.portal.readers["ada"].get(f"assignments/{visitor.portal.worklist('ada')['F-0002']}/").body
    final = stored["verdicts"][-1]
    assert final["correction"]["action"] == "add"
    x, y, z = final["correction"]["centre_mm"]
    assert abs(x + 40.0) < 1 and abs(y) < 1 and abs(z - 22.5) < 0.1


def test_what_was_typed_survives_the_end_of_the_session(visitor: Visitor):
    page = visitor.log_in("ben").open_case("ben", "F-0001")
    page.get_by_label("Cannot tell").check()
    page.get_by_label("Why?").fill("Typed before the session ended.")
    tab = visitor.context.new_page()
    tab.goto(f"{visitor.portal.address}/account/")
    tab.get_by_role("button", name="Log out").click()
    tab.wait_for_url("**/login/")
    submit(page)
    expect(page.get_by_role("alert").filter(has_text="no longer logged in")).to_be_visible()
    assert page.get_by_label("Why?").input_value() == "Typed before the session ended."
    tab.get_by_label("Username").fill("ben")
    tab.get_by_label("Password").fill(PASSWORD)
    tab.get_by_role("button", name="Log in").click()
    tab.wait_for_url(f"{visitor.portal.address}/")
    submit(page)
    expect(page.get_by_text(REASON)).to_be_visible()


def test_a_draft_is_there_again_after_a_reload(visitor: Visitor):
    page = visitor.log_in("ben").open_case("ben", "F-0003")
    page.get_by_label("Exclude").check()
    page.get_by_label("Why?").fill("Half a thought.")
    page.reload()
    visitor.wait_for_image()
    assert page.get_by_label("Why?").input_value() == "Half a thought."
    assert page.get_by_label("Exclude").is_checked()


def test_a_case_settled_meanwhile_is_told_in_plain_words_and_others_verdicts_appear_only_then(
    browser: Browser, portal: Portal
):
    late = Visitor(browser, portal)
    page = late.log_in("ben").open_case("ben", "F-0004")
    for name in ("ada", "cleo"):
        caller, case = portal.readers[name], portal.worklist(name)["F-0004"]
        wanted = {"decision": "label-right", "rationale": "nothing there"}
        assert caller.post(f"assignments/{case}/verdicts/", wanted).status == 201
        assert caller.post(f"assignments/{case}/reveal/", {}).status == 200
        assert caller.post(f"assignments/{case}/verdicts/", wanted).status == 201
    page.get_by_label("Label is right").check()
    page.get_by_label("Why?").fill("I agree.")
    submit(page)
    expect(page.get_by_role("alert").filter(has_text="settled meanwhile")).to_be_visible()
    assert page.get_by_label("Why?").input_value() == "I agree."
    page.get_by_role("button", name="Read the case again").click()
    expect(page.locator(".ending")).to_contain_text("The readers agreed: Label is right")
    expect(page.locator(".ending .verdict").filter(has_text="Cleo").locator(".simulated").first).to_be_visible()
    late.context.close()


@pytest.mark.parametrize(("width", "height"), [(1366, 768), (1920, 1080)])
def test_the_whole_form_can_be_reached_at_common_screen_sizes(
    browser: Browser, portal: Portal, width: int, height: int
):
    one = Visitor(browser, portal, width=width, height=height)
    page = one.log_in("ben").open_case("ben", "F-0002")
    page.get_by_label("Label is wrong").check()
    button = page.locator(".verdict-form button[type='submit']")
    button.scroll_into_view_if_needed()
    at = button.bounding_box()
    assert at is not None and at["y"] + at["height"] <= height and at["x"] + at["width"] <= width
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("document.documentElement.scrollHeight") <= height
    one.context.close()
