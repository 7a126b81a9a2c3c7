"""Storing what the core found on one series: the result row, and flags with the identity they already have."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from django.db.models import Max

from compliance.recording import SYSTEM, change
from imaging.scoring.order import expected_value
from imaging.scoring.subjects import is_ambiguous
from imaging.types import AnalysisOutcome, LabelIssue
from qaservice.analysis.identity import is_same, reopening_reason
from qaservice.analysis.models import (
    AnalysisRun,
    Fitness,
    Flag,
    FlagObservation,
    FlagState,
    Independence,
    ModelPart,
    ObservationStanding,
    RunPart,
    SeriesResult,
    SeriesStanding,
)
from qaservice.analysis.opinions import Opinion
from qaservice.analysis.selectors import evidence_of, known_flags
from qaservice.analysis.serialise import MASK_MEDIA_TYPE, MaskShelf, prediction_as_json, proposals_as_json
from qaservice.analysis.standing import holds_back, last_free, part_of_model, run_fitness, sighting_of_issue
from qaservice.analysis.states import FLAG
from qaservice.common.transitions import step
from qaservice.projects.models import Project
from qaservice.storage.services import store_blobs, write_bytes
from qaservice.studies.models import Series


@dataclass(frozen=True)
class Heard:
    """Which run said it and which part of it, what its model said, and what that was worth."""

    run: AnalysisRun
    opinion: Opinion
    fitness: Fitness
    independence: Independence
    part: RunPart


@dataclass(frozen=True)
class Told:
    """One issue with its proposals as they are stored, and how far it rests on the model."""

    issue: LabelIssue
    proposals: list[dict[str, object]]
    model_part: ModelPart


@dataclass(frozen=True)
class Stored:
    """How many flags one series gave: newly raised, seen again, reopened."""

    raised: int
    observed: int
    reopened: int


def store_result(
    *,
    run: AnalysisRun,
    series: Series,
    opinion: Opinion,
    outcome: AnalysisOutcome,
    without_model: Sequence[LabelIssue],
    independence: SeriesStanding,
    complete: Callable[[], None],
) -> Stored:
    """Store one series' result in one transaction; ``complete`` marks the job done in it and may refuse.

    ``without_model``: what the checks raise when no model speaks. ``independence``: the row that says whether the
    model had been trained on the series.

    A flag that is already known gets an observation instead of a twin; what was settled stays settled unless the
    reopening rule gives a reason.
    """
    shelf = MaskShelf()
    said: dict[str, object] = (
        prediction_as_json(opinion.prediction, shelf=shelf)
        if opinion.prediction
        else {"input_sha256": opinion.input_sha256, "abstained_because": opinion.abstained_because}
    )
    if opinion.how:
        said["how"] = dict(opinion.how)
    document = json.dumps(said, sort_keys=True).encode()
    proposals = [proposals_as_json(issue.proposals, shelf=shelf) for issue in outcome.issues]
    # Files first, outside the transaction; the rows that name them come inside it.
    masks = [write_bytes(data=data, media_type=MASK_MEDIA_TYPE) for data in shelf.contents.values()]
    written = write_bytes(data=document, media_type="application/json")
    with change(
        "series.analysed",
        actor=SYSTEM,
        reason=f"analysis run {run.number}",
        subject=("series", str(series.pk)),
        project_key=run.project.key,
        payload={
            "run": str(run.pk),
            "model_sha256": opinion.model_sha256,
            "independence": str(independence.independence),
            "refused": independence.refused,
        },
    ) as running:
        # Locked so that flag numbers and the search for known flags see no half-stored neighbour.
        Project.objects.select_for_update().get(pk=run.project_id)
        stored_prediction, *_masks = store_blobs(items=[written, *masks])
        SeriesResult(
            run=run,
            series=series,
            prediction=stored_prediction,
            input_sha256=opinion.input_sha256,
            checks=[asdict(check) for check in outcome.checks],
            lesions=[
                {
                    "id": lesion.lesion_id,
                    "centre_mm": list(lesion.centre_mm),
                    "members": [list(m) for m in lesion.members],
                }
                for lesion in outcome.lesions
            ],
        ).save()
        independence.save()
        heard = Heard(run, opinion, run_fitness(run)[0], Independence(independence.independence), RunPart.SERIES)
        spoke = opinion.prediction is not None
        told = [
            Told(issue, offered, part_of_model(issue=issue, without_model=without_model, spoke=spoke))
            for issue, offered in zip(outcome.issues, proposals, strict=True)
        ]
        counts = store_told(heard=heard, series=series, told=told)
        running.payload.update({"raised": counts.raised, "observed": counts.observed, "reopened": counts.reopened})
        running.payload["prediction_sha256"] = written.sha256
        complete()
    return counts


def store_told(*, heard: Heard, series: Series, told: Sequence[Told]) -> Stored:
    """Store issues of one series as flags: known ones get an observation, others are raised.

    Inside a running change that has locked the project's row, so that flag numbers and the search for known flags see
    no half-stored neighbour.
    """
    known = list(known_flags(series=series))
    number = Flag.objects.filter(project=heard.run.project).aggregate(last=Max("number"))["last"] or 0
    raised = observed = reopened = 0
    seen_now: set[object] = set()
    # By place, not by suspicion: flags are numbered in this order, and readers' worklists go by number.
    for one in sorted(told, key=lambda one: _by_place(one.issue)):
        sighting = sighting_of_issue(one.issue)
        flag = next((one for place, one in known if is_same(place, sighting)), None)
        if flag is None:
            number += 1
            flag = _raise_flag(heard=heard, series=series, number=number, told=one)
            known.append((sighting, flag))
            raised += 1
        elif flag.pk not in seen_now:
            observed += 1
            reopened += _observe(heard=heard, flag=flag, told=one)
        seen_now.add(flag.pk)
    return Stored(raised=raised, observed=observed, reopened=reopened)


def _by_place(issue: LabelIssue) -> tuple[float, float, float, str, str]:
    x, y, z = issue.place_mm
    return (-z, y, x, issue.annotation_set_id, issue.finding_id or "")


def _raise_flag(*, heard: Heard, series: Series, number: int, told: Told) -> Flag:
    run, issue = heard.run, told.issue
    x, y, z = issue.place_mm
    flag = Flag(
        project=run.project,
        number=number,
        series=series,
        check_name=issue.check,
        annotation_set_id=issue.annotation_set_id,
        finding_id=issue.finding_id,
        x_mm=x,
        y_mm=y,
        z_mm=z,
        radius_mm=issue.radius_mm,
        score=issue.score,
    )
    with change(
        "flag.raised",
        actor=SYSTEM,
        reason=f"check {issue.check} {issue.check_version} in run {run.number}",
        subject=("flag", str(flag.pk)),
        project_key=run.project.key,
        payload={"number": number, "check": issue.check, "score": f"{issue.score:.4f}"},
    ):
        flag.save()
        for row in _observation(heard=heard, flag=flag, told=told):
            row.save()
    return flag


def _observe(*, heard: Heard, flag: Flag, told: Told) -> int:
    """Add this run's evidence to a known flag; return 1 if that opened it again.

    What rests on a model that is not proven opens nothing that readers have settled.
    """
    run, issue = heard.run, told.issue
    observation, standing = _observation(heard=heard, flag=flag, told=told)
    reason = None
    if flag.state == FlagState.SETTLED and not holds_back(standing):
        reason = reopening_reason(
            outcome=flag.outcome, settled_on=evidence_of(last_free(flag)), seen=evidence_of(observation)
        )
    with change(
        "flag.reopened" if reason else "flag.observed",
        actor=SYSTEM,
        reason=reason or f"seen again in run {run.number}",
        subject=("flag", str(flag.pk)),
        project_key=run.project.key,
        payload={"number": flag.number, "check": issue.check, "score": f"{issue.score:.4f}"},
    ):
        observation.save()
        standing.save()
        if reason:
            step(
                flag,
                machine=FLAG,
                name="reopen",
                expected_revision=flag.revision,
                changes={
                    "outcome": "",
                    "round": flag.round + 1,
                    "reopened_because": reason,
                    # Readers are asked anew about what speaks now, which may be another check than before.
                    "check_name": issue.check,
                    "score": issue.score,
                },
            )
    return 1 if reason else 0


def _observation(*, heard: Heard, flag: Flag, told: Told) -> tuple[FlagObservation, ObservationStanding]:
    opinion, issue = heard.opinion, told.issue
    observation = FlagObservation(
        flag=flag,
        run=heard.run,
        check_name=issue.check,
        check_version=issue.check_version,
        score=issue.score,
        expected_value=expected_value(issue=issue),
        ambiguous=is_ambiguous(issue),
        blind_reason=issue.blind_reason,
        reason=issue.reason,
        evidence=dict(issue.evidence),
        implicated_sets=sorted({issue.annotation_set_id, *issue.implicated_set_ids}),
        proposals=told.proposals,
        model_sha256=opinion.model_sha256,
        input_sha256=opinion.input_sha256,
        threshold=opinion.threshold,
        part=heard.part,
    )
    standing = ObservationStanding(
        observation=observation, model_part=told.model_part, fitness=heard.fitness, independence=heard.independence
    )
    return observation, standing
