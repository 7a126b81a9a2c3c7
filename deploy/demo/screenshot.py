"""Take the picture of a case that the README shows, from a running demo (needs the development extras and Chromium).

``python -m deploy.demo.screenshot http://127.0.0.1:8000 clinician1 PASSWORD docs/images/case.png``
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

SIZE = {"width": 1440, "height": 900}
RATIONALE = "The border is hard to make out on this image."


def main() -> int:
    """Log in, open the first waiting case, vote blind, have the opinions revealed, and take the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address")
    parser.add_argument("username")
    parser.add_argument("password")
    parser.add_argument("picture", type=Path)
    options = parser.parse_args()
    chromium = os.environ.get("QASERVICE_CHROMIUM") or shutil.which("chromium")
    if chromium is None:
        print("Chromium is not here. Remedy: apt-get install chromium, or set QASERVICE_CHROMIUM.", file=sys.stderr)
        return 1
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport=SIZE)
        page.goto(f"{options.address}/login/")
        page.get_by_label("Username").fill(options.username)
        page.get_by_label("Password").fill(options.password)
        page.get_by_role("button", name="Log in").click()
        page.wait_for_load_state("networkidle")
        open_labelled_case(page)
        options.picture.parent.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=options.picture)
        browser.close()
    print(f"wrote {options.picture}")
    return 0


def open_labelled_case(page: Page) -> None:
    """Leave the page at a revealed case that has a label, with its image drawn."""
    page.goto(f"{page.url.rstrip('/')}/projects/demo/worklist/")
    cases = page.locator("a[href*='/cases/']").evaluate_all("links => links.map(link => link.href)")
    for case in dict.fromkeys(cases):
        page.goto(case)
        page.wait_for_selector("canvas[data-ready='true']")
        if page.get_by_text("none at this place").count() == 0:
            break
    page.get_by_label("Cannot tell").check()
    page.get_by_label("Why?").fill(RATIONALE)
    page.locator(".verdict-form button[type='submit']").click()
    page.get_by_role("button", name="Keep my verdict").wait_for()
    page.evaluate("() => scrollTo(0, 0)")
    page.wait_for_timeout(500)


if __name__ == "__main__":
    sys.exit(main())
