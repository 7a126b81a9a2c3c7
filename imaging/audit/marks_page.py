"""The survey of marks as one HTML page that stands alone: nothing is fetched, nothing runs, and it prints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from imaging.audit.marks_drawing import colour, dash, drawing
from imaging.audit.marks_machine import issue_id
from imaging.audit.marks_run import MarksAudit
from imaging.marks.relations import counted
from imaging.marks.survey import STRENGTH_BANDS, KindCount, Survey, SurveyedScan
from imaging.marks.types import Kind, Mark, MarkedScan, MarkIssue, Nature

INDEXED_FROM = 0.5
"""Issues from this strength on are listed together at the top; all stand with their scans."""

NOT_LOOKED_AT = (
    "The images: whether a mark lies on a lesion, in the lung or in the patient at all, whether an outline follows an "
    "edge, and what nobody marked. The audit of labels against CT asks that.",
    "Millimetres in the plane: the files give no pixel spacing. Distances in the plane are pixels; along the patient "
    "they are millimetres of z and counts of slices.",
    "The reading before the last one: the files hold the second, unblinded reading alone, so that what a reader "
    "changed after seeing the others cannot be told from what was always there.",
    "Two marks of one reader on one lesion that lie more than six pixels or one slice apart.",
    "Disagreement as such: a nodule that some readers marked and others did not is no issue here, since LIDC asked for "
    "no consensus.",
)


@dataclass(frozen=True, slots=True, eq=False)
class ShownIssue:
    """One issue as the page shows it. ``number`` is its place among all, the strongest first."""

    number: int
    kind: Kind
    scan: MarkedScan
    issue: MarkIssue
    marks: tuple[Mark, ...]
    svg: Markup
    identity: str


@dataclass(frozen=True, slots=True, eq=False)
class ShownScan:
    """One scan with its issues by kind, the kind with the strongest issue first."""

    number: int
    surveyed: SurveyedScan
    groups: tuple[tuple[Kind, tuple[ShownIssue, ...]], ...]


def render_marks(audit: MarksAudit) -> str:
    """Return the page. Every text from a file is escaped; drawings are made of numbers alone."""
    environment = Environment(
        loader=PackageLoader("imaging.audit"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["strength"] = lambda value: f"{value:.2f}"
    environment.filters["colour"] = colour
    environment.filters["dash"] = dash
    environment.filters["band"] = _band
    environment.filters["typeset"] = lambda text: text.replace(">=", "≥").replace("'", "’")
    scans = shown_scans(audit.survey)
    every = sorted((one for scan in scans for _, group in scan.groups for one in group), key=lambda one: one.number)
    return environment.get_template("marks.html").render(
        audit=audit,
        survey=audit.survey,
        headline=marks_headline(audit.survey),
        natures=tuple((nature, _of(audit.survey, nature)) for nature in Nature),
        bands=tuple((name, low) for name, low, _ in STRENGTH_BANDS),
        silent=tuple(one for one in audit.survey.kinds if not one.issues),
        scans=scans,
        strongest=[one for one in every if one.issue.strength >= INDEXED_FROM],
        indexed_from=INDEXED_FROM,
        without=[one.scan.file_name for one in audit.survey.scans if not one.issues],
        not_looked_at=NOT_LOOKED_AT,
        readers=range(1, max((one.scan.readers for one in audit.survey.scans), default=0) + 1),
    )


def marks_headline(survey: Survey) -> tuple[str, ...]:
    """Return the outcome in a few sentences."""
    scans = len(survey.scans)
    if not scans:
        return ("No reader file of a CT was found in what was given.",)
    own, against = survey.count(Nature.OWN), survey.count(Nature.AGAINST_OTHERS)
    sentences = [
        f"{counted(own, 'issue')} in readers’ own marks, on {survey.scans_with(Nature.OWN)} of "
        f"{counted(scans, 'scan')}.",
        f"{counted(against, 'question')} where one reader stands against the others, on "
        f"{survey.scans_with(Nature.AGAINST_OTHERS)}.",
    ]
    if survey.set_aside:
        sentences.append(f"{counted(len(survey.set_aside), 'file')} of chest X-rays set aside.")
    if survey.refused:
        sentences.append(f"{counted(len(survey.refused), 'file')} could not be read or took no part.")
    return tuple(sentences)


def shown_scans(survey: Survey) -> tuple[ShownScan, ...]:
    """Return the scans that have issues, the one with the strongest first, with every issue drawn."""
    kinds = {one.kind.name: one.kind for one in survey.kinds}
    shown: dict[int, list[ShownIssue]] = {}
    order: list[SurveyedScan] = []
    for number, (one, issue) in enumerate(survey.issues, start=1):
        if id(one) not in shown:
            shown[id(one)] = []
            order.append(one)
        marks = tuple(mark for mark in one.scan.of(issue.reader) if mark.number in issue.marks)
        # Made of numbers and of words of this program: nothing of a file's texts is in it.
        svg = Markup(drawing(scan=one.scan, issue=issue))  # noqa: S704  # see the line above
        shown[id(one)].append(
            ShownIssue(number, kinds[issue.kind], one.scan, issue, marks, svg, issue_id(one.scan, issue))
        )
    return tuple(ShownScan(number, one, _grouped(shown[id(one)])) for number, one in enumerate(order, start=1))


def _grouped(issues: Sequence[ShownIssue]) -> tuple[tuple[Kind, tuple[ShownIssue, ...]], ...]:
    groups: dict[str, list[ShownIssue]] = {}
    for one in issues:
        groups.setdefault(one.kind.name, []).append(one)
    return tuple((group[0].kind, tuple(group)) for group in groups.values())


def _of(survey: Survey, nature: Nature) -> tuple[KindCount, ...]:
    return tuple(one for one in survey.kinds if one.kind.nature is nature and one.issues)


def _band(strength: float) -> str:
    return next(name for name, low, high in STRENGTH_BANDS if low <= strength < high)
