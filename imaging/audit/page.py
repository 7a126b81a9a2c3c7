"""The audit as one self-contained HTML page: nothing is fetched, nothing runs, and it prints."""

from __future__ import annotations

import base64
from collections.abc import Sequence

from jinja2 import Environment, PackageLoader, StrictUndefined

from imaging.audit.result import Audit, Flag, Picture, SeriesAudit
from imaging.audit.scan import reasons
from imaging.checks.probability import SCORE_BASIS
from imaging.checks.words import percent

_TITLES = {
    "missing_nodule": "Nodule perhaps overlooked",
    "spurious_label": "Label perhaps of nothing",
    "boundary": "Outline differs",
    "incomplete_contour": "Outline skips slices",
    "duplicate_mark": "Marked twice",
    "wrong_category": "Category in doubt",
    "reader_disagreement": "Readers disagree",
    "geometry_mismatch": "Label and image do not fit",
}

VERDICTS = {
    "accepted": "accepted",
    "accepted-with-warning": "accepted with a warning",
    "refused": "refused",
}


def render(audit: Audit) -> str:
    """Return the page. Every text from a file is escaped; pictures are embedded as data."""
    environment = Environment(
        loader=PackageLoader("imaging.audit"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = lambda score: percent(probability=score)
    environment.filters["data_uri"] = _data_uri
    environment.filters["lps"] = _lps
    environment.filters["short"] = lambda digest: digest[:12]
    environment.filters["check_title"] = check_title
    return environment.get_template("audit.html").render(
        audit=audit,
        verdicts=VERDICTS,
        headline=headline(audit),
        left_out_images=reasons(audit.left_out_images),
        left_out_labels=reasons(audit.left_out_labels),
        score_basis=SCORE_BASIS,
        by_check=by_check(audit.flags),
        spacing=_spacing,
    )


def check_title(name: str) -> str:
    """Return what a person calls a check; its own name where there is no other."""
    return _TITLES.get(name, name.replace("_", " ").capitalize())


def headline(audit: Audit) -> tuple[str, ...]:
    """Return the outcome in a few sentences, what needs a person first."""
    sentences = []
    refused = len(audit.refused_series)
    if refused:
        sentences.append(f"{_counted(refused, 'image series', 'image series')} cannot be used as a volume.")
    if audit.refused_files:
        sentences.append(f"{_counted(len(audit.refused_files), 'label file')} refused as a whole.")
    parts = sum(len(file.rejections) for file in audit.label_files if not file.refusal)
    if parts:
        sentences.append(f"{_counted(parts, 'remark')} on parts of label files that were taken.")
    displaced = sum(
        one.fit is not None and one.fit.suggestion is not None for item in audit.series for one in item.sets
    )
    if displaced:
        sentences.append(f"{_counted(displaced, 'label set')} would fit the image better moved.")
    flags, nodules = len(audit.flags), sum(one.nodules for item in audit.series for one in item.sets)
    if flags:
        sentences.append(f"{_counted(flags, 'flag')} on labels.")
    elif not any(item.sets for item in audit.series):
        sentences.append("No label could be checked.")
    elif nodules:
        sentences.append("No flag on any label.")
    else:
        sentences.append("No label names a nodule, so no label was judged as one.")
    return tuple(sentences)


def by_check(flags: Sequence[Flag]) -> tuple[tuple[str, int], ...]:
    """Return how many flags each check raised, most first."""
    counts: dict[str, int] = {}
    for flag in flags:
        title = check_title(flag.issue.check)
        counts[title] = counts.get(title, 0) + 1
    return tuple(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _spacing(one: SeriesAudit) -> str:
    grid = one.found.verdict.grid
    if grid is None:
        return "no regular grid"
    slices, rows, columns = grid.spacing_mm
    shape = " × ".join(str(size) for size in grid.shape)
    return f"{shape} voxels of {slices:.2f} × {rows:.3f} × {columns:.3f} mm (slices, rows, columns)"


def _data_uri(picture: Picture) -> str:
    return "data:image/png;base64," + base64.b64encode(picture.png).decode("ascii")


def _lps(place_mm: tuple[float, float, float]) -> str:
    return ", ".join(f"{value:.1f}" for value in place_mm)


def _counted(number: int, noun: str, several: str | None = None) -> str:
    return f"{number} {noun if number == 1 else several or noun + 's'}"
