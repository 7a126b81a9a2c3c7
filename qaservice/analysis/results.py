"""Storing what the core found on one series: the result row, and flags with the identity they already have."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass

from django.db.models import Max

from compliance.recording import SYSTEM, change
from imaging.types import AnalysisOutcome, LabelIssue
from qaservice.analysis.identity import Sighting, is_same, reopening_reason
from qaservice.analysis.models import AnalysisRun, Flag, FlagObservation, FlagState, SeriesResult
from qaservice.analysis.opinions import Opinion
from qaservice.analysis.selectors import evidence_of, known_flags, latest_observation, sighting_of
from qaservice.analysis.serialise import MASK_MEDIA_TYPE, MaskShelf, prediction_as_json, proposals_as_json
from qaservice.analysis.states import FLAG
from qaservice.common.transitions import step
from qaservice.projects.models import Project
from qaservice.storage.services import store_blobs, write_bytes
from qaservice.studies.models import Series


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
    complete: Callable[[], None],
) -> Stored:
    """Store one series' result in one transaction; ``complete`` marks the job done in it and may refuse.

    A flag that is already known gets an observation instead of a twin; what was settled stays settled unless the
    reopening rule gives a reason.
    """
    shelf = MaskShelf()
    said = (
        prediction_as_json(opinion.prediction, shelf=shelf)
        if opinion.prediction
        else {"input_sha256": opinion.input_sha256, "abstained_because": opinion.abstained_because}
    )
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
        payload={"run": str(run.pk), "model_sha256": opinion.model_sha256},
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
        counts = _store_flags(run=run, series=series, opinion=opinion, outcome=outcome, proposals=proposals)
        running.payload.update({"raised": counts.raised, "observed": counts.observed, "reopened": counts.reopened})
        running.payload["prediction_sha256"] = written.sha256
        complete()
    return counts


def _store_flags(
    *,
    run: AnalysisRun,
    series: Series,
    opinion: Opinion,
    outcome: AnalysisOutcome,
    proposals: list[list[dict[str, object]]],
) -> Stored:
    known = [(sighting_of(flag), flag) for flag in known_flags(series=series)]
    number = Flag.objects.filter(project=run.project).aggregate(last=Max("number"))["last"] or 0
    raised = observed = reopened = 0
    seen_now: set[object] = set()
    for issue, offered in zip(outcome.issues, proposals, strict=True):
        sighting = Sighting(
            check=issue.check,
            annotation_set_id=issue.annotation_set_id,
            finding_id=issue.finding_id,
            place_mm=issue.place_mm,
            radius_mm=issue.radius_mm,
        )
        flag = next((one for place, one in known if is_same(place, sighting)), None)
        if flag is None:
            number += 1
            flag = _raise_flag(run=run, series=series, number=number, issue=issue, opinion=opinion, proposals=offered)
            known.append((sighting, flag))
            raised += 1
        elif flag.pk not in seen_now:
            observed += 1
            reopened += _observe(run=run, flag=flag, issue=issue, opinion=opinion, proposals=offered)
        seen_now.add(flag.pk)
    return Stored(raised=raised, observed=observed, reopened=reopened)


def _raise_flag(
    *,
    run: AnalysisRun,
    series: Series,
    number: int,
    issue: LabelIssue,
    opinion: Opinion,
    proposals: list[dict[str, object]],
) -> Flag:
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
        _observation(run=run, flag=flag, issue=issue, opinion=opinion, proposals=proposals).save()
    return flag


def _observe(
    *,
    run: AnalysisRun,
    flag: Flag,
    issue: LabelIssue,
    opinion: Opinion,
    proposals: list[dict[str, object]],
) -> int:
    """Add this run's evidence to a known flag; return 1 if that opened it again."""
    observation = _observation(run=run, flag=flag, issue=issue, opinion=opinion, proposals=proposals)
    reason = None
    if flag.state == FlagState.SETTLED:
        reason = reopening_reason(
            outcome=flag.outcome,
            settled_on=evidence_of(latest_observation(flag=flag)),
            seen=evidence_of(observation),
        )
    with change(
        "flag.reopened" if reason else "flag.observed",
        actor=SYSTEM,
        reason=reason or f"seen again in run {run.number}",
        subject=("flag", str(flag.pk)),
        project_key=run.project.key,
        payload={"number": flag.number, "score": f"{issue.score:.4f}"},
    ):
        observation.save()
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
                    "score": issue.score,
                },
            )
    return 1 if reason else 0


def _observation(
    *,
    run: AnalysisRun,
    flag: Flag,
    issue: LabelIssue,
    opinion: Opinion,
    proposals: list[dict[str, object]],
) -> FlagObservation:
    return FlagObservation(
        flag=flag,
        run=run,
        check_version=issue.check_version,
        score=issue.score,
        blind_reason=issue.blind_reason,
        reason=issue.reason,
        evidence=dict(issue.evidence),
        implicated_sets=sorted({issue.annotation_set_id, *issue.implicated_set_ids}),
        proposals=proposals,
        model_sha256=opinion.model_sha256,
        input_sha256=opinion.input_sha256,
        threshold=opinion.threshold,
    )
