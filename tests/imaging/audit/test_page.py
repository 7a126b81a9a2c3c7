"""The page: one file, nothing fetched, nothing personal, everything escaped; and left is left."""

from __future__ import annotations

import base64
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from itertools import permutations, product
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from imaging.audit.page import render
from imaging.audit.pictures import SIDE_PIXELS, lesion_pictures
from imaging.audit.result import Audit
from imaging.masks.boxes import box_around
from imaging.masks.build import mask_from_voxels
from imaging.pictures.crop import GREYS, LABEL
from imaging.types import AnnotationSet, Category, Finding, Grid, SetKind, Volume
from tests.imaging.audit.conftest import Study, audited
from tests.imaging.pictures.test_crop import decode

VOID = {"meta", "img", "br", "link", "input", "hr"}
AXIAL = [
    tuple(sign * np.eye(3)[axis] for axis, sign in zip(axes, signs, strict=True))
    for axes, signs in product(permutations((0, 1)), product((1, -1), repeat=2))
]


class Reading(HTMLParser):
    """Checks that tags close in order, and keeps what a browser would fetch or run."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.fetched: list[str] = []
        self.run: list[str] = []
        self.pictures: list[dict[str, str | None]] = []
        self.text: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self.fetched += [value or "" for name, value in attrs if name in {"src", "href", "action", "data", "srcset"}]
        self.run += [tag] if tag in {"script", "iframe", "object", "embed", "link", "base"} else []
        self.run += [name for name, _ in attrs if name.startswith("on")]
        if tag == "img":
            self.pictures.append(named)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@pytest.fixture(scope="module")
def page(outcome: Audit) -> str:
    return render(outcome)


def test_the_page_is_whole_and_asks_nobody_for_anything(page: str) -> None:
    read = Reading(page)
    assert read.open == []
    assert read.run == []
    assert read.fetched and all(one.startswith("data:image/png;base64,") for one in read.fetched)
    assert "default-src 'none'" in page
    assert not re.search(r"url\(|@import|https?://", page)


def test_the_page_says_that_it_is_not_for_clinical_use_at_the_top_and_the_bottom(page: str) -> None:
    text = " ".join(Reading(page).text)
    assert text.count("Not for clinical use") == 2
    assert "@media print" in page and "A4" in page


def test_every_picture_says_in_words_what_it_shows(page: str) -> None:
    read = Reading(page)
    assert read.pictures
    assert all("CT, lung window, at image " in (one["alt"] or "") for one in read.pictures)


def test_no_patient_is_named(page: str, study: Study) -> None:
    assert "PHANTOM" not in page and f"SYNTHETIC-{study.phantom.seed}" not in page


def test_every_flag_every_set_and_every_check_is_on_the_page(page: str, outcome: Audit) -> None:
    text = re.sub(r"\s+", " ", " ".join(Reading(page).text))
    [series] = outcome.series
    for flag in series.flags:
        assert flag.issue.reason in text
        assert flag.place in text
    for one in series.sets:
        assert f"Set {one.number}: {one.reader_label}" in text
    for opinion in series.opinions:
        for check in opinion.checks:
            assert f"{check.check} {check.version}" in text
            assert check.detail in text


def test_what_files_are_called_cannot_become_a_part_of_the_page(study: Study, tmp_path: Path) -> None:
    name = '<img src=x onerror="alert(1)">.xml'
    shutil.copy(study.labels, tmp_path / name)
    (tmp_path / "<b>notes.txt").write_text("nothing")
    read = Reading(render(audited(study, tmp_path)))
    assert read.run == [] and all(one.startswith("data:") for one in read.fetched)
    assert any(name in part for part in read.text)


def stored(down: NDArray[np.float64], right: NDArray[np.float64]) -> Grid:
    matrix = np.eye(4)
    matrix[:3, 0], matrix[:3, 1], matrix[:3, 2] = np.array([0.0, 0.0, 2.0]), down, right
    matrix[:3, 3] = -matrix[:3, :3] @ np.array([6.0, 60.0, 60.0])
    return Grid((13, 120, 120), tuple(tuple(row) for row in matrix.tolist()), "2.25.1")


@pytest.mark.parametrize("shape", ["outline", "box"])
@pytest.mark.parametrize("way", AXIAL)
def test_an_outline_is_drawn_around_its_own_voxels_with_the_patients_left_on_the_right(way, shape: str) -> None:
    grid = stored(*way)
    rows, columns = np.mgrid[:120, :120]
    index = np.stack([np.full_like(rows, 6), rows, columns, np.ones_like(rows)]).astype(float)
    x, y = np.tensordot(grid.matrix, index, axes=1)[:2]
    # Longer towards the patient's left, so that a mirrored drawing would not cover it: x from 20 to 32, y -3 to 3; and
    # a bright spot 14 mm further left of its middle.
    inside = (x >= 20) & (x <= 32) & (np.abs(y) <= 3) & (np.abs(y) <= (x - 18) / 2)
    spot = (np.abs(x - 40) <= 1.5) & (np.abs(y) <= 1.5)
    hounsfield = np.full(grid.shape, -900, dtype=np.int16)
    hounsfield[6][inside | spot] = 100
    voxels = np.zeros(grid.shape, dtype=np.bool_)
    voxels[6] = inside
    mask = mask_from_voxels(grid=grid, voxels=voxels)
    finding = Finding("n", Category.NODULE_GE_3MM, mask=mask)
    if shape == "box":
        finding = replace(finding, mask=None, box=box_around(mask))
    volume = Volume(grid, hounsfield, "2.25.2", "2.25.3", tuple(str(n) for n in range(13)), tuple(range(13)), 2.0)
    one = AnnotationSet("a", "a", SetKind.READER, True, (finding,))
    [shown], more = lesion_pictures(sets=[one], volume=volume)
    assert more == 0
    letters = shown.picture.letters
    assert (letters.left, letters.right, letters.top, letters.bottom) == ("R", "L", "A", "P")
    picture, _ = decode(shown.picture.png)
    bright = np.argwhere((picture >= GREYS - 20) & (picture < GREYS))
    line = np.argwhere(picture == LABEL)
    scale = SIDE_PIXELS / 64.0
    middle = (SIDE_PIXELS - 1) / 2
    in_the_lesion = bright[bright[:, 1] < middle + 9 * scale]
    in_the_spot = bright[bright[:, 1] >= middle + 9 * scale]
    assert len(in_the_lesion) and len(in_the_spot), "the spot to the patient's left lies right of the lesion"
    (top, left), (bottom, right) = line.min(axis=0), line.max(axis=0)
    assert top < in_the_lesion[:, 0].min() and in_the_lesion[:, 0].max() < bottom
    assert left < in_the_lesion[:, 1].min() and in_the_lesion[:, 1].max() < right < in_the_spot[:, 1].min()
    # Nearly all that the line encloses is the lesion: it is not drawn beside it.
    assert (bottom - top) * (right - left) < 3.5 * len(in_the_lesion)


def test_pictures_on_the_page_are_the_pictures_that_were_drawn(page: str, outcome: Audit) -> None:
    embedded = {
        base64.b64decode((one["src"] or "").removeprefix("data:image/png;base64,")) for one in Reading(page).pictures
    }
    [series] = outcome.series
    drawn = {flag.picture.png for flag in series.flags if flag.picture} | {one.picture.png for one in series.lesions}
    assert embedded == drawn
