"""What would become of a delivery: every verdict that an ingest would give, and nothing stored."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from imaging.audit.labels import OTHER_SUBJECT, LabelFile, read_label_contents
from imaging.audit.scan import FoundSeries, Scan
from imaging.geometry.gate import GateStatus
from imaging.geometry.header import SliceHeader
from imaging.geometry.verdict import GeometryVerdict
from imaging.types import Category
from qaservice.projects.models import Project
from qaservice.studies.assessment import SeriesAssessment, grid_from_json
from qaservice.studies.examining import Batch, Submitted, Terms, examine
from qaservice.studies.ingest import consider, of_series, terms_of
from qaservice.studies.models import IngestItem, Instance, Outcome, Series, SeriesState
from qaservice.studies.parsers import CHILDREN, LABEL_LIMITS, PARSER_LIMITS, parsers
from qaservice.studies.reading import ANNOTATION_KINDS, Judged, judge_files
from qaservice.studies.selectors import grid_of, series_of, sop_instance_uids_of
from qaservice.studies.sources import DELIVERY_LIMITS, Entry, open_source
from qaservice.studies.storing import with_verdict

Report = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True, eq=False)
class RehearsedSeries:
    """One series of a delivery as it would stand afterwards; ``assessment`` is None where nothing about it changes."""

    series_instance_uid: str
    new: int
    assessment: SeriesAssessment | None


@dataclass(frozen=True, slots=True, eq=False)
class Rehearsal:
    """Every file with its outcome, every series with its verdict, every label file with what it would give."""

    files: tuple[Judged, ...]
    series: tuple[RehearsedSeries, ...]
    labels: tuple[LabelFile, ...]

    @property
    def summary(self) -> dict[str, int]:
        """Number of files by outcome, as a delivery's summary has them."""
        counts = dict.fromkeys(Outcome.values, 0)
        for file in self.files:
            counts[file.outcome] += 1
        return counts


def rehearse(*, project: Project, path: Path, report: Report) -> Rehearsal:
    """Judge a delivery as an ingest into ``project`` would, beside what the project holds; store nothing anywhere.

    ``project`` may be one that is not saved. No row, no blob and no secret is made; the bytes of label files lie in a
    temporary folder while they are read. ``report`` takes (done, total, note). Raises InvalidInput as ``open_source``.
    """
    terms = terms_of(project, folder=None)
    with open_source(path, DELIVERY_LIMITS) as entries:
        judged: list[Judged] = []
        with closing(judge_files(entries=entries, terms=terms, writer=None)) as files:
            for file in files:
                judged.append(file)
                report(len(judged), len(entries), "reading files")
        slices = [file for file in judged if file.header is not None and not file.is_annotation]
        series: list[RehearsedSeries] = []
        found: list[FoundSeries] = []
        outcomes = [file for file in judged if file.header is None and not file.is_annotation]
        for uid, together in of_series(slices).items():
            arrival, assessment = consider(project, uid, together)
            series.append(RehearsedSeries(uid, len(arrival.new), assessment))
            outcomes.extend(with_verdict(arrival, assessment, False))
            if assessment is not None:
                found.append(_as_found(uid, assessment, together, terms))
        found.extend(_held(project, {one.series_instance_uid for one in found}))
        annotations = [file for file in judged if file.is_annotation]
        scan = Scan(path=path, series=tuple(found), left_out=())
        labels = _labels(entries, annotations, terms, scan, _nodule_names(project), report)
    outcomes.extend(_with_outcome(file, labels, project) for file in annotations)
    return Rehearsal(tuple(sorted(outcomes, key=lambda file: file.name)), tuple(series), tuple(labels.values()))


def _as_found(uid: str, assessment: SeriesAssessment, files: Sequence[Judged], terms: Terms) -> FoundSeries:
    headers: list[SliceHeader] = [file.header for file in files if file.header is not None]
    names = {file.uid: terms.identity.name(file.name) for file in files}
    if assessment.grid is None:
        refused = GeometryVerdict(GateStatus(assessment.state), (), (), None)
        return FoundSeries(uid, headers[0].study_instance_uid, tuple(headers), refused, names)
    uids = assessment.grid["sop_instance_uids"]
    verdict = GeometryVerdict(
        GateStatus(assessment.state),
        (),
        tuple(str(one) for one in uids) if isinstance(uids, list) else (),
        grid_from_json(assessment.grid),
    )
    # Slices that are held already have no name here, and stand for their series all the same.
    names = {one: names.get(one, one) for one in verdict.sop_instance_uids}
    return FoundSeries(uid, headers[0].study_instance_uid, tuple(headers), verdict, names)


def _held(project: Project, known: set[str]) -> list[FoundSeries]:
    """Return the series that the project holds, for labels that come after their images."""
    rows = [row for row in series_of(project) if row.series_instance_uid not in known]
    return [_held_series(row) for row in rows]


def _held_series(row: Series) -> FoundSeries:
    if row.state == SeriesState.REFUSED:
        refused = GeometryVerdict(GateStatus(row.state), (), (), None)
        held = Instance.objects.filter(project=row.project_id, series_instance_uid=row.series_instance_uid)
        own = {str(uid): str(uid) for uid in held.values_list("sop_instance_uid", flat=True)}
        return FoundSeries(row.series_instance_uid, row.study.study_instance_uid, (), refused, own)
    uids = sop_instance_uids_of(row)
    names = dict(
        IngestItem.objects.filter(ingest__project=row.project_id, uid__in=uids[:500]).values_list("uid", "name")
    )
    verdict = GeometryVerdict(GateStatus(row.state), (), uids, grid_of(row))
    return FoundSeries(
        row.series_instance_uid, row.study.study_instance_uid, (), verdict, {uid: names.get(uid, uid) for uid in uids}
    )


def _labels(
    entries: Sequence[Entry],
    annotations: Sequence[Judged],
    terms: Terms,
    scan: Scan,
    nodule_names: Sequence[str],
    report: Report,
) -> dict[str, LabelFile]:
    if not annotations:
        return {}
    # Label files may name images by their files: both go by the names that the records would give them, while the
    # outcomes keep the names that the sender knows.
    wanted = {file.name: terms.identity.name(file.name) for file in annotations}
    contents: list[tuple[str, str, bytes]] = []
    with (
        tempfile.TemporaryDirectory(prefix="label-qa-rehearsal-") as folder,
        parsers(PARSER_LIMITS, children=CHILDREN) as sandbox,
    ):
        # As they would be stored: a project that removes identities gives labels the names that its images get.
        kept = replace(terms, folder=folder)
        for entry in entries:
            if entry.name in wanted:
                report(0, len(wanted), "reading labels")
                [found] = sandbox.call(examine, Batch((_submitted(entry),), kept))
                place = Path(found.incoming)
                contents.append((wanted[entry.name], found.kind, place.read_bytes()))
                place.unlink()
    with parsers(LABEL_LIMITS, children=1) as sandbox:
        read = read_label_contents(
            contents=contents,
            scan=scan,
            nodule_names=nodule_names,
            sandbox=sandbox,
            progress=lambda note: report(0, len(wanted), note),
        )
    sent = {recorded: name for name, recorded in wanted.items()}
    return {sent[file.name]: file for file in read}


def _nodule_names(project: Project) -> list[str]:
    """Return what the project says that sources call a nodule."""
    return [str(name) for name, word in project.label_terms.items() if word == Category.NODULE_GE_3MM]


def _submitted(entry: Entry) -> Submitted:
    return Submitted(str(entry.path), None) if entry.path is not None else Submitted("", entry.read(None))


def _with_outcome(file: Judged, labels: dict[str, LabelFile], project: Project) -> Judged:
    before = IngestItem.objects.filter(
        ingest__project=project, sha256=file.sha256, kind__in=ANNOTATION_KINDS, outcome=Outcome.STORED
    )
    if before.exists():
        return replace(file, outcome=Outcome.DUPLICATE, code="already-held", message="the same bytes are already held")
    read = labels.get(file.name)
    if read is None:
        return file.refused("not-read-here", f"labels of the kind {file.kind} are not read by this version")
    if read.refusal_code == "images-not-given":
        message = "the file describes images that are neither in this delivery nor held here; send the images with it"
        return file.refused("images-not-held", message)
    if read.refusal_code == OTHER_SUBJECT:
        return replace(file, outcome=Outcome.IGNORED, code=OTHER_SUBJECT, message=read.refusal)
    if read.refusal:
        return file.refused(read.refusal_code, read.refusal)
    sets = [one for placed in read.placed for one in placed.labels.annotation_sets]
    findings = sum(len(one.findings) for one in sets)
    message = f"{read.title}: {len(sets)} annotation set{'' if len(sets) == 1 else 's'} with {findings} findings"
    if not read.rejections:
        return replace(file, message=message)
    reasons = " ".join(dict.fromkeys(one.message for one in read.rejections))
    return replace(
        file,
        code="taken-with-remarks",
        message=f"{message}; not taken or remarked on ({len(read.rejections)}): {reasons}",
    )
