"""The pages of the dataset and of the rules, as a lead works with them in a browser."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Visitor
from tests.browser.seeding import PROJECT
from tests.browser.test_pages import UNNAMED

pytestmark = pytest.mark.browser

NARROW = 390
TOO_WIDE = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"


def opened(visitor: Visitor, path: str) -> Page:
    page = visitor.log_in("lea").page
    page.goto(f"{visitor.portal.address}/projects/{PROJECT}/{path}/")
    return page


def test_a_concern_is_confirmed_with_the_button_that_says_so(visitor: Visitor) -> None:
    page = opened(visitor, "dataset")
    concern = page.locator("article").filter(has_text="A rule of this project is broken").first
    number = concern.get_attribute("id") or ""
    page.get_by_text(f"Decide on {number}").click()
    concern.get_by_label("Reason").fill("the second reader is still at work")
    assert page.evaluate(UNNAMED) == []
    concern.get_by_role("button", name="Dismiss: nothing is wrong").click()
    expect(page.locator(".messages .success")).to_contain_text(f"{number} is dismissed.")
    page.get_by_role("navigation", name="State").get_by_role("link", name="Dismissed").click()
    expect(page.locator("article").filter(has_text=number)).to_contain_text("the second reader is still at work")
    assert visitor.complaints == []


def test_rules_are_mended_tried_and_put_into_force_without_leaving_the_page(visitor: Visitor) -> None:
    page = opened(visitor, "rules")
    editor = page.get_by_label("Rules, as JSON or YAML")
    text = editor.input_value()
    assert page.evaluate(UNNAMED) == []
    editor.fill(text.replace("at_least: 3", "at_leest: 2"))
    page.get_by_role("button", name="Test run").click()
    expect(page.get_by_role("alert")).to_contain_text("three-readers")
    expect(page.get_by_role("alert")).to_be_in_viewport()
    # The browser itself notes an answer of 400; nothing else may complain.
    assert all("400" in one for one in visitor.complaints)
    visitor.complaints.clear()
    editor.fill(text.replace("at_least: 3", "at_least: 2").replace('version: "2"', 'version: "3"'))
    page.get_by_role("button", name="Test run").click()
    trial = page.get_by_role("region", name="Test run")
    expect(trial).to_contain_text("Tried over 2 series")
    expect(trial).to_contain_text("Changed: three-readers")
    trial.get_by_label("Reason").fill("two readers are enough in the pilot")
    assert page.evaluate(UNNAMED) == []
    trial.get_by_role("button", name="Put exactly these rules into force").click()
    expect(page.locator(".messages .success")).to_contain_text("Version 2 with 2 rules is in force")
    expect(page.get_by_role("region", name="In force: version 2")).to_contain_text("number of readers is at least 2")
    assert visitor.complaints == []


@pytest.mark.parametrize("path", ["dataset", "rules", "flags", "fitness"])
def test_a_page_fits_a_narrow_screen(visitor: Visitor, path: str) -> None:
    visitor.page.set_viewport_size({"width": NARROW, "height": 800})
    page = opened(visitor, path)
    assert page.evaluate(TOO_WIDE) <= 0
