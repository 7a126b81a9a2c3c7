"""The guide to formats tells of every format that is read, and its examples are what it says they are."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from imaging.geometry.affine import as_affine
from imaging.geometry.series import SeriesGeometry
from imaging.readers.formats import ReadContext
from imaging.readers.limits import CT_READ_LIMITS
from imaging.readers.registry import LABEL_FORMATS
from imaging.readers.sniff import Kind, kind_of_whole
from imaging.readers.vocabulary import LUNG_CT_VOCABULARY
from imaging.types import Grid

GUIDE = Path(__file__).resolve().parents[3] / "docs/guides/formats.md"
EXAMPLE = re.compile(r"^### `([a-z0-9-]+)`\n(.*?)^```(?:xml|csv|json)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def reading() -> str:
    return GUIDE.read_text(encoding="utf-8").partition("## What is written")[0]


def examples() -> dict[str, str]:
    found = {}
    for section in re.split(r"^(?=### )", reading(), flags=re.MULTILINE):
        match = EXAMPLE.match(section)
        if match:
            found[match.group(1)] = match.group(3)
    return found


def a_chest() -> SeriesGeometry:
    """Enough of a chest for the examples' places, as the series 1.2.3 whose first image is 1.2.3.4."""
    matrix = np.array([[0, 0, 0.7, -166.0], [0, 0.7, 0, -172.0], [2.5, 0, 0, -340.0], [0, 0, 0, 1]])
    uids = ("1.2.3.4", *(f"1.2.3.4.{number}" for number in range(1, 133)))
    return SeriesGeometry(Grid((133, 512, 512), as_affine(matrix), "1.9"), "1.2.3", uids)


def test_the_guide_s_table_lists_every_format_that_is_read_and_no_other() -> None:
    rows = re.findall(r"^\| `([a-z0-9-]+)` \|.*\|.*\|.*\|.*\|$", reading(), re.MULTILINE)
    assert sorted(rows) == sorted(LABEL_FORMATS)
    many = re.search(r"^(.*) may describe many scans at once\.$", reading(), re.MULTILINE)
    assert many is not None
    assert set(re.findall(r"`([a-z0-9-]+)`", many.group(1))) <= {
        kind for kind, one in LABEL_FORMATS.items() if one.many_series
    }


@pytest.mark.parametrize(
    "kind",
    [kind for kind in sorted(LABEL_FORMATS) if not kind.startswith("dicom-") and kind not in ("nifti", "nrrd")],
)
def test_an_example_of_the_guide_is_read_without_a_complaint(kind: Kind) -> None:
    data = examples()[kind].encode()
    assert kind_of_whole(data) == kind
    context = ReadContext("labels/x", LUNG_CT_VOCABULARY, CT_READ_LIMITS, fraction_threshold=0.5)
    found = LABEL_FORMATS[kind].read(data, a_chest(), context)
    assert [rejection.message for rejection in found.rejections] == []
    assert any(one.findings for one in found.annotation_sets)
