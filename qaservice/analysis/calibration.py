"""What this project's verdicts say of the checks' probabilities, and how often each check was right here before."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from django.core.exceptions import ObjectDoesNotExist

from imaging.agreement.intervals import proportion
from imaging.evaluation.froc import Truth
from imaging.scoring.calibrator import calibration_as_json, shipped_calibration
from imaging.scoring.recalibrate import NOTHING_SETTLED, Recalibration, Settled, recalibration_from
from imaging.scoring.subjects import LEAST_REACH_MM
from qaservice.analysis.golden import golden_cases, truths_of
from qaservice.analysis.models import AnalysisRun, Flag, FlagObservation, FlagState, RunCalibration
from qaservice.common.errors import Unavailable
from qaservice.projects.models import Project

LABEL_WRONG, LABEL_RIGHT = "label-wrong", "label-right"
"""The outcomes that say whether a flag was right; whatever else was decided tells nothing about probabilities."""

CONFIDENCE = 0.95
ABSENT, SPURIOUS = "missing_nodule", "spurious_label"
"""The checks that a golden set's truth, places and sizes, can say to be right or wrong."""

BEFORE_VERDICTS = "probability_before_verdicts"


@dataclass(frozen=True)
class Precision:
    """How often a check was right in a project: ``right`` of ``settled`` flags. Limits are 95 %, None without any."""

    check: str
    right: int
    settled: int
    lower: float | None
    upper: float | None
    method: str

    @property
    def words(self) -> str:
        """The same as a sentence."""
        if self.lower is None or self.upper is None:
            return "No flag of this check has been settled in this project yet."
        flags = "flag of this check was" if self.settled == 1 else "flags of this check were"
        return (
            f"{self.right} of {self.settled} settled {flags} right in this project "
            f"({self.right / self.settled:.0%}, 95 % interval {self.lower:.0%} to {self.upper:.0%})."
        )


@dataclass(frozen=True)
class Probability:
    """What one observation's probability is, what it rests on and where the threshold lies, for people.

    ``reported_from``: less probable issues were not reported; None where the run did not record it. ``raw_score``: the
    check's own score before any calibration, None in observations of before there was one.
    """

    probability: float
    raw_score: float | None
    basis: str
    reported_from: float | None
    expected_value: float | None
    checks: tuple[str, ...]


def settled_of(*, project: Project) -> list[Settled]:
    """Return the settled flags of a project that were found right or wrong, with what was held probable of each.

    The probability is that of the newest observation, before any recalibration: what the present checks say of labels
    whose truth is known by now.
    """
    flags = Flag.objects.filter(project=project, state=FlagState.SETTLED, outcome__in=[LABEL_WRONG, LABEL_RIGHT])
    rows = FlagObservation.objects.filter(flag__in=flags, ambiguous=False).select_related("flag")
    newest = {row.flag_id: row for row in rows.order_by("run__number", "part")}
    ordered = sorted(newest.values(), key=lambda row: row.flag.number)
    return [Settled(lead_of(row), _before_verdicts(row), row.flag.outcome == LABEL_WRONG) for row in ordered]


def golden_of(*, project: Project) -> list[Settled]:
    """Return what the golden set says of flags that nobody has settled: its truth is known without a verdict.

    Frozen truths are places and sizes, so that they speak of two checks alone: a missing nodule is right where the
    truth holds one, a spurious label where it holds nothing. What lies on an excluded truth teaches nothing, nor does
    a flag on the set that the truth was taken from, or one whose truth is no longer what was frozen.
    """
    found = []
    for case in golden_cases(project=project):
        try:
            truths = truths_of(case)
        except Unavailable:
            # Whoever measures on the case is told; here it only teaches nothing.
            continue
        flags = Flag.objects.filter(project=project, series=case.series, check_name__in=[ABSENT, SPURIOUS])
        open_ = flags.exclude(state=FlagState.SETTLED).exclude(annotation_set=case.annotation_set)
        rows = FlagObservation.objects.filter(flag__in=open_, ambiguous=False).select_related("flag")
        newest = {row.flag_id: row for row in rows.order_by("run__number", "part")}
        for row in sorted(newest.values(), key=lambda one: one.flag.number):
            wrong = _wrong_by_truth(row.flag, truths)
            if wrong is not None and lead_of(row) == row.flag.check_name:
                found.append(Settled(row.flag.check_name, _before_verdicts(row), wrong))
    return found


def recalibration_of(*, project: Project) -> Recalibration:
    """Return what the project's verdicts so far, and its golden set, make of the shipped calibration."""
    return recalibration_from(settled=[*settled_of(project=project), *golden_of(project=project)])


def calibration_record(*, run: AnalysisRun) -> RunCalibration:
    """Return the row, not yet stored, that fixes by what a run will turn scores into probabilities."""
    shipped = shipped_calibration()
    return RunCalibration(
        run=run,
        shipped={
            "sha256": hashlib.sha256(calibration_as_json(shipped).encode()).hexdigest(),
            "provenance": dict(shipped.provenance),
            "checks": {name: model.version for name, model in sorted(shipped.models.items())},
        },
        recalibration=asdict(recalibration_of(project=run.project)),
    )


def recalibration_of_run(*, run: AnalysisRun) -> Recalibration:
    """Return the recalibration that was fixed when the run was asked for; none for runs of before there was one."""
    try:
        kept = run.calibration.recalibration
    except ObjectDoesNotExist:
        return NOTHING_SETTLED
    return Recalibration(
        slope=float(kept["slope"]),
        shifts={str(check): float(value) for check, value in kept["shifts"].items()},
        verdicts={str(check): int(value) for check, value in kept["verdicts"].items()},
    )


def past_precision(*, project: Project) -> dict[str, Precision]:
    """Return how often each check was right, over the project's flags that were settled as right or wrong."""
    flags = Flag.objects.filter(project=project, state=FlagState.SETTLED, outcome__in=[LABEL_WRONG, LABEL_RIGHT])
    counts: dict[str, tuple[int, int]] = {}
    for check, outcome in flags.order_by("number").values_list("check_name", "outcome"):
        right, settled = counts.get(check, (0, 0))
        counts[check] = (right + (outcome == LABEL_WRONG), settled + 1)
    return {check: _precision(check, *found) for check, found in sorted(counts.items())}


def precision_of(*, check: str, known: Mapping[str, Precision]) -> Precision:
    """Return a check's past precision out of those known; one that says so where none of its flags is settled."""
    return known.get(check) or Precision(check, 0, 0, None, None, "")


def probability_of(observation: FlagObservation) -> Probability:
    """Return what an observation's probability is and what it rests on."""
    evidence: Mapping[str, object] = observation.evidence if isinstance(observation.evidence, dict) else {}
    parameters = observation.run.parameters
    floor = parameters.get("report_from") if isinstance(parameters, dict) else None
    return Probability(
        probability=observation.score,
        raw_score=_number(evidence.get("raw_score")),
        basis=str(evidence.get("score_basis", "reasoned formula, not calibrated on known truth")),
        reported_from=_number(floor),
        expected_value=observation.expected_value,
        checks=checks_in(observation),
    )


def checks_in(observation: FlagObservation) -> tuple[str, ...]:
    """Return the names of all checks that speak in an observation, its lead first."""
    entries = observation.evidence.get("checks") if isinstance(observation.evidence, dict) else None
    spoken = [str(one["check"]) for one in entries if isinstance(one, dict)] if isinstance(entries, list) else []
    return tuple(dict.fromkeys([lead_of(observation), *spoken]))


def lead_of(observation: FlagObservation) -> str:
    """Return the check that led in an observation; in one of before several could join, the flag's own."""
    return observation.check_name or observation.flag.check_name


def _wrong_by_truth(flag: Flag, truths: Sequence[Truth]) -> bool | None:
    place = (flag.x_mm, flag.y_mm, flag.z_mm)
    here = [one for one in truths if math.dist(place, one.centre_mm) <= _reach_mm(flag, one)]
    if any(not one.included for one in here):
        return None
    return bool(here) if flag.check_name == ABSENT else not here


def _reach_mm(flag: Flag, truth: Truth) -> float:
    """Return within how many mm a flag and a truth are one place: the truth's radius; the label's, where it is one."""
    own = flag.radius_mm if flag.check_name == SPURIOUS else 0.0
    return max((truth.diameter_mm or 0.0) / 2, own, LEAST_REACH_MM)


def _before_verdicts(observation: FlagObservation) -> float:
    evidence = observation.evidence if isinstance(observation.evidence, dict) else {}
    kept = _number(evidence.get(BEFORE_VERDICTS))
    return observation.score if kept is None else kept


def _precision(check: str, right: int, settled: int) -> Precision:
    interval = proportion(successes=right, total=settled, confidence=CONFIDENCE)
    return Precision(check, right, settled, interval.lower, interval.upper, interval.method)


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
