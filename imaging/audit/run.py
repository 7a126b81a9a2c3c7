"""The audit itself: series by series, geometry, labels, model, checks. No database, no settings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from itertools import count
from pathlib import Path

from imaging.audit.described import describe, place_words
from imaging.audit.labels import Labels, SourcedSet, read_label_files, rejections_on, sets_on
from imaging.audit.pictures import flag_picture, lesion_pictures
from imaging.audit.result import Audit, AuditedSet, Flag, LesionPicture, OpinionOutcome, SeriesAudit
from imaging.audit.scan import FoundSeries, Progress, Scan, load, read_scan
from imaging.checks.base import CHEST_CT_NODULES
from imaging.checks.boundary import Boundary
from imaging.checks.missing_nodule import MissingNodule
from imaging.checks.places import mask_fits, on_image
from imaging.checks.registry import REGISTRY
from imaging.errors import ImagingError, NotApplicable
from imaging.geometry.label_fit import NODULE_FIT, LabelFit, label_fit
from imaging.inference.applicability import validated_for
from imaging.inference.bundle import Bundle, load_bundle
from imaging.inference.detectability import silence_in_words
from imaging.inference.predict import predict
from imaging.masks.place import centre_of
from imaging.pipeline import AnalysisParameters, analyse
from imaging.predictions import external_prediction
from imaging.sandbox import Sandbox, SandboxLimits
from imaging.types import (
    AnnotationSet,
    Case,
    Category,
    CheckOutcome,
    Finding,
    LabelIssue,
    Prediction,
    Rejection,
    SetKind,
    Volume,
)

PARSER_LIMITS = SandboxLimits(
    # A segmentation of a whole chest, or a thousand slices to decode, takes some ten seconds and a gigabyte or two.
    seconds=300.0,
    memory_bytes=6 << 30,
)

REPORTED_FROM = 0.5
"""From which confidence an imported prediction counts as reported, where its source states no operating point."""

_BY_REPORTS = (MissingNodule(), Boundary())
"""Checks that an imported algorithm's reports can speak in; the others do not ask a model, or ask for its silence."""


@dataclass(frozen=True, slots=True)
class AuditRequest:
    """What is audited. ``bundle`` is the folder of the QA model, None to do without one.

    ``threads`` and ``backend`` (of ``imaging.inference.backends.CHOICES``) are for it.

    ``nodule_names``: label names that mean nodules in these files, where the usual words for them do not occur.
    """

    ct: Path
    labels: tuple[Path, ...]
    nodule_names: tuple[str, ...]
    bundle: Path | None
    threads: int
    backend: str
    made_at: str


@dataclass(frozen=True, slots=True, eq=False)
class _Asking:
    """The QA model to ask, if any, how many threads it may take, and what is to run it."""

    bundle: Bundle | None
    threads: int
    backend: str


@dataclass(frozen=True, slots=True, eq=False)
class _Opinion:
    title: str
    prediction: Prediction | None
    refusal: str
    without: frozenset[str]
    silence: str = ""
    scope: str = ""


def audit(*, request: AuditRequest, progress: Progress) -> Audit:
    """Return what can be said of some label files against some CT, every refusal included.

    Raises UnreadableFile where the images or a label path cannot be opened at all, BundleError for a model bundle that
    is not what its manifest says.
    """
    # Before anything that takes minutes: a bundle that was altered ends the audit at once.
    bundle = None if request.bundle is None else load_bundle(request.bundle, expected_sha256=None)
    with Sandbox(PARSER_LIMITS, children=2) as sandbox:
        scan = read_scan(path=request.ct, sandbox=sandbox, progress=progress)
        labels = read_label_files(
            paths=request.labels, scan=scan, nodule_names=request.nodule_names, sandbox=sandbox, progress=progress
        )
        series = tuple(
            _series(number, found, scan, labels, request, bundle, sandbox, progress)
            for number, found in enumerate(scan.series, start=1)
        )
    return Audit(
        made_at=request.made_at,
        version=program_version(),
        scan_name=request.ct.name,
        series=_numbered(series),
        label_files=labels.files,
        left_out_images=scan.left_out,
        left_out_labels=labels.left_out,
        model_asked=request.bundle is not None,
    )


def _series(
    number: int,
    found: FoundSeries,
    scan: Scan,
    labels: Labels,
    request: AuditRequest,
    bundle: Bundle | None,
    sandbox: Sandbox,
    progress: Progress,
) -> SeriesAudit:
    sourced = sets_on(labels=labels, series_instance_uid=found.series_instance_uid)
    rejections = rejections_on(labels=labels, series_instance_uid=found.series_instance_uid)
    acquisition = dict(found.headers[0].acquisition)
    if found.geometry is None:
        return _unread(number, found, acquisition, "", "The geometry gate refused the series.")
    if not sourced and not rejections:
        return _unread(number, found, acquisition, "", "No label file describes it, so its pixels were not read.")
    progress(f"series {number}: decoding {len(found.headers)} images")
    try:
        volume = load(scan=scan, series=found, sandbox=sandbox)
    except ImagingError as error:
        return _unread(number, found, acquisition, error.message, "Its pixels could not be read.")
    audited = tuple(_audited(place, one, volume) for place, one in enumerate(sourced, start=1))
    sets = tuple(one.annotation_set for one in sourced)
    pictures, more = lesion_pictures(sets=sets, volume=volume)
    flags, outcomes, why_not = _analysed(
        number, sourced, rejections, volume, _Asking(bundle, request.threads, request.backend), progress
    )
    return SeriesAudit(
        number=number,
        found=found,
        refusal="",
        acquisition=acquisition,
        sets=audited,
        lesions=pictures,
        lesions_not_shown=more,
        flags=flags,
        opinions=outcomes,
        not_analysed=why_not,
    )


def _unread(
    number: int, found: FoundSeries, acquisition: dict[str, str], refusal: str, not_analysed: str
) -> SeriesAudit:
    nothing: tuple[LesionPicture, ...] = ()
    return SeriesAudit(number, found, refusal, acquisition, (), nothing, 0, (), (), not_analysed)


def _audited(number: int, sourced: SourcedSet, volume: Volume) -> AuditedSet:
    one = sourced.annotation_set
    fit, not_asked = _fit(one, volume)
    algorithm = f"{one.algorithm.name} {one.algorithm.version}".strip() if one.algorithm is not None else ""
    return AuditedSet(
        number=number,
        set_id=one.set_id,
        reader_label=one.reader_label,
        kind=one.kind,
        algorithm=algorithm,
        read=one.read,
        title=sourced.title,
        file_numbers=sourced.file_numbers,
        findings=tuple(describe(finding=finding, volume=volume) for finding in one.findings),
        fit=fit,
        fit_not_asked=not_asked,
        nodules=sum(finding.category.is_nodule for finding in one.findings),
        other_names=tuple(sorted({item.source_label for item in one.findings if _is_other(item)})),
        case_probabilities=one.case_probabilities,
    )


def _fit(one: AnnotationSet, volume: Volume) -> tuple[LabelFit | None, str]:
    masks = [
        finding.mask
        for finding in one.findings
        if finding.category.is_nodule and finding.mask is not None and mask_fits(mask=finding.mask, volume=volume)
    ]
    if not masks:
        return None, "not asked: no outline of a nodule"
    return label_fit(volume=volume, masks=masks, search=NODULE_FIT), ""


def _analysed(
    number: int,
    sourced: Sequence[SourcedSet],
    rejections: tuple[Rejection, ...],
    volume: Volume,
    asking: _Asking,
    progress: Progress,
) -> tuple[tuple[Flag, ...], tuple[OpinionOutcome, ...], str]:
    sets = tuple(one.annotation_set for one in sourced)
    audited = tuple(one for one in sets if not _is_prediction(one)) or sets
    if not sets:
        return (), (), "No label file gave anything on this series."
    numbers = {one.annotation_set.set_id: place for place, one in enumerate(sourced, start=1)}
    findings = {(one.set_id, finding.finding_id): finding for one in sets for finding in one.findings}
    flags: list[Flag] = []
    outcomes: list[OpinionOutcome] = []
    for opinion in _opinions(number, sourced, audited, volume, asking, progress):
        heard = tuple(one for one in audited if one.set_id not in opinion.without)
        if not heard:
            outcomes.append(_outcome(replace(opinion, refusal="there are no other labels to hear it about"), ()))
            continue
        case = Case(volume, heard, opinion.prediction, rejections if not opinion.without else ())
        checks = REGISTRY if not opinion.without else _BY_REPORTS
        progress(f"series {number}: checking {len(heard)} label set{'' if len(heard) == 1 else 's'} ({opinion.title})")
        outcome = analyse(case=case, parameters=AnalysisParameters(checks=CHEST_CT_NODULES), checks=checks)
        for issue in outcome.issues:
            finding = findings.get((issue.annotation_set_id, issue.finding_id or ""))
            flags.append(_flag(issue, numbers[issue.annotation_set_id], finding, volume))
        outcomes.append(_outcome(opinion, outcome.checks))
    ordered = sorted(flags, key=lambda flag: -flag.issue.score)
    return tuple(ordered), tuple(outcomes), ""


def _opinions(
    number: int,
    sourced: Sequence[SourcedSet],
    audited: Sequence[AnnotationSet],
    volume: Volume,
    asking: _Asking,
    progress: Progress,
) -> list[_Opinion]:
    opinions = [_own_opinion(number, audited, volume, asking, progress)]
    for one in sourced:
        if not _is_prediction(one.annotation_set):
            continue
        # An algorithm is not asked about its own labels: it would agree with itself.
        without = frozenset({one.annotation_set.set_id})
        name = one.annotation_set.reader_label
        try:
            prediction = external_prediction(
                annotation_set=one.annotation_set, source_sha256=one.sha256, threshold=REPORTED_FROM
            )
        except (NotApplicable, ValueError) as error:
            opinions.append(_Opinion(f"imported predictions: {name}", None, str(error), without))
            continue
        opinions.append(_Opinion(f"imported predictions: {prediction.model.name}", prediction, "", without))
    return opinions


def _own_opinion(
    number: int, audited: Sequence[AnnotationSet], volume: Volume, asking: _Asking, progress: Progress
) -> _Opinion:
    nobody = frozenset[str]()
    bundle = asking.bundle
    if bundle is None:
        return _Opinion("without a model", None, "left out on request (--no-model)", nobody)
    title = f"QA model {bundle.identity.name} {bundle.identity.version}"
    step = volume.grid.spacing_mm[0]
    silence = silence_in_words(detectability=bundle.settings.detectability, slice_step_mm=step)
    scope = validated_for(bundle.settings.applicability)
    places = sorted(
        {
            centre_of(finding)
            for one in audited
            for finding in one.findings
            if finding.category.is_nodule and finding.mask is not None and on_image(finding=finding, volume=volume)
        }
    )
    try:
        prediction = predict(
            volume,
            bundle,
            places=places,
            progress=_tiles(number, progress),
            checkpoint_dir=None,
            threads=asking.threads,
            backend=asking.backend,
        )
    except NotApplicable as refusal:
        return _Opinion(title, None, refusal.message, nobody)
    return _Opinion(title, prediction, "", nobody, silence, scope)


def _tiles(number: int, progress: Progress) -> Callable[[int, int], None]:
    def told(done: int, total: int) -> None:
        # A line every tenth of the way: a log stays readable, and a person sees that it goes on.
        if done == total or (done * 10) // total != ((done - 1) * 10) // total:
            progress(f"series {number}: QA model, {done} of {total} tiles")

    return told


def _is_other(finding: Finding) -> bool:
    return finding.category is Category.STRUCTURE and bool(finding.source_label)


def _is_prediction(one: AnnotationSet) -> bool:
    return one.kind is SetKind.ALGORITHM and any(finding.confidence is not None for finding in one.findings)


def _flag(issue: LabelIssue, set_number: int, finding: Finding | None, volume: Volume) -> Flag:
    return Flag(
        number=0,
        issue=issue,
        set_number=set_number,
        finding_label="" if finding is None else finding.source_label or finding.finding_id,
        place=place_words(volume=volume, place_mm=issue.place_mm),
        picture=flag_picture(issue=issue, finding=finding, volume=volume),
    )


def _outcome(opinion: _Opinion, checks: Sequence[CheckOutcome]) -> OpinionOutcome:
    prediction = opinion.prediction
    return OpinionOutcome(
        title=opinion.title,
        model=None if prediction is None else prediction.model,
        refusal=opinion.refusal,
        threshold=None if prediction is None else prediction.threshold,
        candidates=0 if prediction is None else len(prediction.candidates),
        validated_diameters_mm=None if prediction is None else prediction.validated_diameters_mm,
        seconds=0.0 if prediction is None else prediction.seconds,
        checks=tuple(checks),
        reported=0 if prediction is None else _reported(prediction),
        silence=opinion.silence,
        scope=opinion.scope,
        backend="" if prediction is None else prediction.backend,
        backend_refusals=() if prediction is None else prediction.backend_refusals,
    )


def _reported(prediction: Prediction) -> int:
    return sum(one.probability >= prediction.threshold for one in prediction.candidates)


def _numbered(series: Sequence[SeriesAudit]) -> tuple[SeriesAudit, ...]:
    """Number the flags through all series, so that a person can say "flag 7"."""
    numbers = count(1)
    return tuple(replace(one, flags=tuple(replace(flag, number=next(numbers)) for flag in one.flags)) for one in series)


def program_version() -> str:
    """Return the version of this program as installed."""
    try:
        return version("label-qa")
    except PackageNotFoundError:
        return "not installed"
