"""Whether a model is fit for a project: what it must reach, whether it did, and whether that still holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.db.models import QuerySet

from imaging.evaluation.operating_point import OperatingPoint
from qaservice.analysis.golden import golden_cases, golden_digest
from qaservice.analysis.models import Fitness, FitnessEvaluation, FitnessOutcome, GoldenCase, QAModel
from qaservice.projects.models import Project


@dataclass(frozen=True, slots=True)
class Threshold:
    """What a project asks of a model on its golden set; every term is the project's, none has a default."""

    least_sensitivity: float
    most_false_positives: float
    smallest_mm: float
    least_nodules: int
    judged_on: str


@dataclass(frozen=True, slots=True)
class Judgement:
    """How figures compare with a threshold, with the reason in words."""

    outcome: FitnessOutcome
    why: str


@dataclass(frozen=True)
class Standing:
    """Whether a model is fit now and why, with the evaluation it rests on. ``stale``: measured on other terms."""

    fitness: Fitness
    why: str
    evaluation: FitnessEvaluation | None = None
    stale: bool = False


def threshold_of(stored: Mapping[str, str]) -> Threshold | None:
    """Return a project's fitness threshold, None where it has set none."""
    if not stored:
        return None
    return Threshold(
        least_sensitivity=float(stored["least_sensitivity"]),
        most_false_positives=float(stored["most_false_positives"]),
        smallest_mm=float(stored["smallest_mm"]),
        least_nodules=int(stored["least_nodules"]),
        judged_on=stored["judged_on"],
    )


def judge(*, point: OperatingPoint | None, threshold: Threshold) -> Judgement:
    """Return whether figures meet a threshold; ``point`` is None where nothing could be measured.

    Judged on the interval, the lower limit of the sensitivity and the upper limit of the false positives must hold.
    """
    nodules = 0 if point is None else point.nodules
    if point is None or nodules < threshold.least_nodules:
        wanted = f"{threshold.least_nodules} of at least {threshold.smallest_mm:g} mm"
        return Judgement(FitnessOutcome.TOO_FEW, f"{nodules} golden nodules counted; the project asks for {wanted}")
    by_interval = threshold.judged_on == "interval"
    sensitivity = point.sensitivity.lower if by_interval else point.sensitivity.estimate
    false = point.false_positives.upper if by_interval else point.false_positives.estimate
    of = ("the lower limit of the sensitivity", "the upper limit of the false positives a scan")
    named = of if by_interval else ("the sensitivity", "the number of false positives a scan")
    short = []
    if sensitivity < threshold.least_sensitivity:
        short.append(f"{named[0]} is {sensitivity:.3f}, and at least {threshold.least_sensitivity:g} is asked for")
    if false > threshold.most_false_positives:
        short.append(f"{named[1]} is {false:.2f}, and at most {threshold.most_false_positives:g} is asked for")
    if short:
        return Judgement(FitnessOutcome.NOT_MET, "; ".join(short))
    return Judgement(FitnessOutcome.MET, f"{named[0]} is {sensitivity:.3f} and {named[1]} {false:.2f}")


def evaluations_of(*, project: Project) -> QuerySet[FitnessEvaluation]:
    """Return a project's evaluations, newest first."""
    return FitnessEvaluation.objects.filter(project=project).select_related("model").order_by("-number")


def standing_of(*, project: Project, model: QAModel) -> Standing:
    """Return whether ``model`` is fit for ``project`` now.

    Proven only by an evaluation of this very model, on the golden set as it stands, that met the threshold as it
    stands. Anything else is unproven, but for a model that was measured on these terms and did not meet them.
    """
    return _standing(
        project=project,
        cases=list(golden_cases(project=project)),
        latest=evaluations_of(project=project).filter(model=model).first(),
    )


def standings(*, project: Project, models: Sequence[QAModel]) -> list[tuple[QAModel, Standing]]:
    """Return the same for several models, reading the golden set once."""
    cases = list(golden_cases(project=project))
    newest: dict[object, FitnessEvaluation] = {}
    for one in evaluations_of(project=project):
        newest.setdefault(one.model_id, one)
    return [(model, _standing(project=project, cases=cases, latest=newest.get(model.pk))) for model in models]


def models_of(*, project: Project) -> list[QAModel]:
    """Return the models that ran or were measured in a project, by name and version."""
    used = QAModel.objects.filter(runs__project=project) | QAModel.objects.filter(evaluations__project=project)
    return list(used.distinct().order_by("name", "version", "bundle_sha256"))


def _standing(*, project: Project, cases: Sequence[GoldenCase], latest: FitnessEvaluation | None) -> Standing:
    if not project.fitness_threshold:
        return Standing(Fitness.UNPROVEN, "the project has set no fitness threshold", latest, stale=latest is not None)
    if not cases:
        return Standing(Fitness.UNPROVEN, "the project has no golden set", latest, stale=latest is not None)
    if latest is None:
        return Standing(Fitness.UNPROVEN, "the model has not been evaluated on the golden set")
    changed = []
    if latest.golden_sha256 != golden_digest(cases):
        changed.append("the golden set")
    if latest.threshold != project.fitness_threshold:
        changed.append("the threshold")
    if changed:
        have = "has" if len(changed) == 1 else "have"
        why = f"{' and '.join(changed)} {have} changed since {latest}: evaluate anew"
        return Standing(Fitness.UNPROVEN, why, latest, stale=True)
    if latest.outcome == FitnessOutcome.MET:
        return Standing(Fitness.PROVEN, f"{latest}: {latest.why}", latest)
    if latest.outcome == FitnessOutcome.NOT_MET:
        return Standing(Fitness.FAILED, f"{latest}: {latest.why}", latest)
    return Standing(Fitness.UNPROVEN, f"{latest}: {latest.why}", latest)
