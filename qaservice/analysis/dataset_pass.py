"""The checks over the whole dataset within a run: from every series' facts to flags and concerns."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace

from compliance.recording import SYSTEM, change
from imaging.checks.base import parameters_from_record
from imaging.checks.dataset import CHEST_CT_DATASET
from imaging.checks.rules import RESTS_ON_MODEL
from imaging.checks.words import blind_reason
from imaging.dataset_pipeline import analyse_dataset
from imaging.pipeline import scored
from imaging.scoring.calibrator import shipped_calibration
from imaging.scoring.merge import merged
from imaging.scoring.order import ordered
from imaging.types import Case, LabelIssue
from qaservice.analysis.calibration import lead_of, recalibration_of_run
from qaservice.analysis.concerns import store_concerns
from qaservice.analysis.dataset_models import DatasetPass
from qaservice.analysis.facts import facts_of_run
from qaservice.analysis.identity import Sighting, is_same
from qaservice.analysis.models import (
    AnalysisRun,
    Fitness,
    Flag,
    FlagObservation,
    Independence,
    ModelPart,
    RunPart,
    SeriesResult,
    SeriesStanding,
)
from qaservice.analysis.opinions import Opinion
from qaservice.analysis.results import Heard, Told, store_told
from qaservice.analysis.selectors import known_flags
from qaservice.analysis.serialise import MaskShelf, proposals_as_json
from qaservice.analysis.standing import run_fitness, sighting_of_issue
from qaservice.common.errors import Conflict
from qaservice.projects.label_rules import current_rules, rule_set
from qaservice.projects.models import Project
from qaservice.studies.models import Series
from qaservice.studies.selectors import volume_of

_Before = tuple[Sighting, Flag, FlagObservation]


def check_dataset(*, run: AnalysisRun, progress: Callable[[int, int, str], None], complete: Callable[[], None]) -> None:
    """Run every dataset check and the project's rules over a run's facts, and store what they found.

    Everything is stored in one transaction, in which ``complete`` marks the step done and may refuse: a pass that was
    killed leaves nothing and is done again, which costs seconds. ``progress`` is told (checks done, in all, name) and
    may raise. The rules are those that stand when the pass begins; its row says which.
    """
    rules = current_rules(project=run.project)
    outcome = analyse_dataset(
        facts=facts_of_run(run), parameters=CHEST_CT_DATASET, rules=rule_set(rules), progress=progress
    )
    by_series: dict[str, list[LabelIssue]] = defaultdict(list)
    for located in outcome.issues:
        by_series[located.series_instance_uid].append(located.issue)
    prepared = _prepared(run, by_series)
    fitness = run_fitness(run)[0]
    with change(
        "dataset.checked",
        actor=SYSTEM,
        reason=f"analysis run {run.number}",
        subject=("run", str(run.pk)),
        project_key=run.project.key,
        payload={"checks": {one.check: one.status for one in outcome.checks}},
    ) as running:
        Project.objects.select_for_update().get(pk=run.project_id)
        DatasetPass(
            run=run,
            parameters=asdict(CHEST_CT_DATASET),
            rules=rules,
            checks=[asdict(check) for check in outcome.checks],
        ).save()
        raised = observed = 0
        for series, issues in prepared:
            before, alone = _said_before(run, series), by_series[series.series_instance_uid]
            told = [_told(issue, before=before, alone=alone) for issue in issues]
            counts = store_told(heard=_heard(run, series, fitness), series=series, told=told)
            raised, observed = raised + counts.raised, observed + counts.observed
        concerns = store_concerns(run=run, found=outcome.concerns)
        running.payload.update(
            {"raised": raised, "observed": observed, "concerns": concerns.raised, "concerns_again": concerns.observed}
        )
        complete()


def _prepared(
    run: AnalysisRun, by_series: Mapping[str, Sequence[LabelIssue]]
) -> list[tuple[Series, tuple[LabelIssue, ...]]]:
    """Return the issues of each series scored and merged, with their places in words, in order of the UIDs."""
    rows = Series.objects.filter(project=run.project, series_instance_uid__in=list(by_series)).select_related("study")
    found = []
    for series in rows.order_by("series_instance_uid"):
        issues = scored(
            issues=by_series[series.series_instance_uid],
            calibration=shipped_calibration(),
            recalibration=recalibration_of_run(run=run),
            weights_sha256=None,
            report_from=CHEST_CT_DATASET.report_from,
        )
        found.append((series, tuple(_in_words(run, series, issues))))
    return found


def _in_words(run: AnalysisRun, series: Series, issues: Sequence[LabelIssue]) -> list[LabelIssue]:
    """Return the issues with the blind reason that any check would give at their place, so that it gives none away."""
    if not issues:
        return []
    parameters = parameters_from_record(record=run.parameters)
    case = Case(volume_of(series), (), None)
    return [
        replace(
            issue,
            blind_reason=blind_reason(
                case=case,
                place_mm=issue.place_mm,
                body_threshold_hu=parameters.body_threshold_hu,
                midline_margin_mm=parameters.midline_margin_mm,
            ),
        )
        for issue in issues
    ]


def _heard(run: AnalysisRun, series: Series, fitness: Fitness) -> Heard:
    result = SeriesResult.objects.filter(run=run, series=series).first()
    if result is None:
        raise Conflict("a series of the run has facts and no result", code="result-missing")
    standing = SeriesStanding.objects.filter(run=run, series=series).first()
    independence = Independence.NOT_STATED if standing is None else Independence(standing.independence)
    opinion = Opinion(model_sha256=run.model.bundle_sha256, input_sha256=result.input_sha256)
    return Heard(run, opinion, fitness, independence, RunPart.DATASET)


def _told(issue: LabelIssue, *, before: Sequence[_Before], alone: Sequence[LabelIssue]) -> Told:
    """Return one issue as it is stored: with what the run said of the same flag before, where it did.

    ``alone``: what the dataset checks said of the series, each for itself.
    """
    part = _model_part(issue, alone)
    offered = proposals_as_json(issue.proposals, shelf=MaskShelf())
    place = sighting_of_issue(issue)
    found = next(((flag, observation) for sighting, flag, observation in before if is_same(sighting, place)), None)
    if found is None:
        return Told(issue, offered, part)
    flag, observation = found
    both = merged(issues=[_as_issue(flag, observation), issue], support_gain=shipped_calibration().support_gain)
    if len(both) > 1:
        return Told(issue, offered, part)
    [joined] = ordered(issues=both)
    earlier = list(observation.proposals)
    known = {(one["action"], one["category"]) for one in earlier if one["mask"] is None and one["centre_mm"] is None}
    new = [one for one in offered if (one["action"], one["category"]) not in known]
    proposals = [*earlier, *({**one, "id": f"p{len(earlier) + at}"} for at, one in enumerate(new, start=1))]
    return Told(joined, proposals, _both(ModelPart(observation.standing.model_part), part))


def _said_before(run: AnalysisRun, series: Series) -> list[_Before]:
    """Return the flags on a series of which the run has spoken already, each with what it said."""
    rows = FlagObservation.objects.filter(flag__series=series, run=run, part=RunPart.SERIES)
    said = {row.flag_id: row for row in rows.select_related("standing", "flag")}
    return [(place, flag, said[flag.pk]) for place, flag in known_flags(series=series) if flag.pk in said]


def _as_issue(flag: Flag, observation: FlagObservation) -> LabelIssue:
    return LabelIssue(
        check=lead_of(observation),
        check_version=observation.check_version,
        annotation_set_id=str(flag.annotation_set_id),
        finding_id=str(flag.finding_id) if flag.finding_id else None,
        place_mm=(flag.x_mm, flag.y_mm, flag.z_mm),
        radius_mm=flag.radius_mm,
        score=observation.score,
        blind_reason=observation.blind_reason,
        reason=observation.reason,
        implicated_set_ids=tuple(observation.implicated_sets),
        evidence=observation.evidence,
    )


def _model_part(issue: LabelIssue, alone: Sequence[LabelIssue]) -> ModelPart:
    """Return how far an issue rests on a QA model: only rules may read what one gave."""
    place = sighting_of_issue(issue)
    resting = [bool(one.evidence.get(RESTS_ON_MODEL)) for one in alone if is_same(sighting_of_issue(one), place)]
    if not any(resting):
        return ModelPart.NONE
    return ModelPart.NEEDED if all(resting) else ModelPart.HEARD


def _both(first: ModelPart, second: ModelPart) -> ModelPart:
    """Return how far two reasons together rest on the model: one that does not need it is enough."""
    return first if first is second else ModelPart.HEARD
