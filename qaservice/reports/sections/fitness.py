"""What the models of a report were worth: fitness on the golden set, independence of the data, flags held back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from compliance.rendering.document import Chart, Fact
from qaservice.analysis.models import Fitness, FitnessEvaluation, FlagObservation, Independence, ModelPart, QAModel
from qaservice.reports import words
from qaservice.reports.evidence import Evidence
from qaservice.storage.selectors import read_blob

CHARTS = (
    ("froc", "Sensitivity against false positives a scan on the golden set, with 95 % limits."),
    ("calibration", "Probability that the model gave to candidates against the share that were nodules."),
    ("by-size", "Sensitivity by size at the model's operating point, with 95 % limits."),
)


@dataclass(frozen=True, slots=True)
class FitnessInPrint:
    """What the report prints of one model's fitness."""

    facts: tuple[Fact, ...]
    charts: tuple[Chart, ...]


def fitness_of(evidence: Evidence, model: QAModel) -> FitnessInPrint:
    """Return the standing of a model in each run of it, and its newest evaluation with figures and charts."""
    facts = [_standing(evidence, run.number, run.pk) for run in evidence.runs if run.model_id == model.pk]
    evaluation = next((one for one in reversed(evidence.evaluations) if one.model_id == model.pk), None)
    if evaluation is None:
        facts.append(Fact("Evaluation", "None: the model was not measured on a golden set of this project."))
        return FitnessInPrint(tuple(facts), ())
    charts = tuple(
        Chart(svg=read_blob(evaluation.plots[name]), alternative=f"{text} {_figures(evaluation)}", caption=text)
        for name, text in CHARTS
        if name in evaluation.plots
    )
    return FitnessInPrint((*facts, *_evaluated(evaluation)), charts)


def marks_of_flag(evidence: Evidence, observation: FlagObservation) -> str:
    """Return what the model behind an observation was worth, as it is printed with a flag; empty where none spoke."""
    standing = evidence.observation_standings.get(observation.pk)
    if standing is None:
        return "" if observation.threshold is None else f"{Fitness.UNPROVEN.label}; {Independence.NOT_STATED.label}"
    if standing.model_part == ModelPart.NONE:
        return ""
    marks = [] if standing.fitness == Fitness.PROVEN else [str(Fitness(standing.fitness).label)]
    if standing.independence != Independence.INDEPENDENT:
        marks.append(str(Independence(standing.independence).label))
    if standing.model_part == ModelPart.NEEDED and standing.fitness != Fitness.PROVEN:
        released = observation.pk in evidence.released_observations
        marks.append("released to readers by the QA lead" if released else "held back from readers")
    return "; ".join(marks)


def worth_of_models(evidence: Evidence) -> Iterable[tuple[str, str]]:
    """Yield what limits the conclusions: models that were not proven, data that they were trained on."""
    run = evidence.run
    if run is None:
        return
    standing = evidence.run_standings.get(run.pk)
    if standing is None:
        yield "QA model", "unproven model: no golden set stood behind it when it was run"
    elif standing.fitness != Fitness.PROVEN:
        yield "QA model", f"{Fitness(standing.fitness).label} in run {run.number}: {standing.why}"
    counts = Counter(
        (one.independence, one.why, one.refused) for one in evidence.series_standings if one.run_id == run.pk
    )
    for (independence, why, refused), number in sorted(counts.items()):
        if independence == Independence.INDEPENDENT:
            continue
        what = "was not let to look at" if refused else "looked at"
        label = str(Independence(independence).label).partition(":")[0]
        yield "QA model", f"{label}: it {what} {words.counted(number, 'series', 'series')}; {why}"


def _standing(evidence: Evidence, number: int, run_id: UUID) -> Fact:
    standing = evidence.run_standings.get(run_id)
    if standing is None:
        return Fact(f"In run {number}", "Unproven model: no golden set stood behind it")
    return Fact(f"In run {number}", words.sentence(f"{Fitness(standing.fitness).label}: {standing.why}"))


def _evaluated(evaluation: FitnessEvaluation) -> list[Fact]:
    left_out = [one for one in evaluation.cases if one["left_out_because"]]
    phantoms = sum(bool(one["synthetic"]) for one in evaluation.cases)
    cases = words.counted(len(evaluation.cases), "case")
    beside = [f"{phantoms} of them synthetic" if phantoms else "", f"{len(left_out)} left out" if left_out else ""]
    return [
        Fact(
            "Evaluation",
            words.sentence(f"Number {evaluation.number}: {evaluation.get_outcome_display()}; {evaluation.why}"),
        ),
        Fact("Threshold", _threshold(evaluation.threshold)),
        Fact("Golden set", words.sentence(", ".join([cases, *(part for part in beside if part)]))),
        Fact("Golden set, SHA-256", evaluation.golden_sha256, exact=True),
        Fact("Figures", _figures(evaluation)),
    ]


def _threshold(stored: dict[str, str]) -> str:
    if not stored:
        return "The project had set none."
    by = "the 95 % limits" if stored["judged_on"] == "interval" else "the figures"
    return (
        f"Sensitivity at least {stored['least_sensitivity']}, at most {stored['most_false_positives']} false positives "
        f"a scan, over at least {stored['least_nodules']} golden nodules of at least {stored['smallest_mm']} mm; "
        f"judged on {by}."
    )


def _figures(evaluation: FitnessEvaluation) -> str:
    figures: dict[str, Any] = evaluation.figures
    if "not_measured" in figures:
        return words.sentence(f"Not measured: {figures['not_measured']}")
    found, false = figures["sensitivity"], figures["false_positives_a_scan"]
    return (
        f"Sensitivity {words.decimal(found['estimate'], 3)} ({figures['found']}/{figures['nodules']}; 95 % limits "
        f"{words.decimal(found['lower'], 3)} to {words.decimal(found['upper'], 3)}), "
        f"{words.decimal(false['estimate'], 2)} false positives a scan (95 % limits {words.decimal(false['lower'], 2)} "
        f"to {words.decimal(false['upper'], 2)}) on {words.counted(figures['scans'], 'scan')} of "
        f"{words.counted(figures['patients'], 'patient')}; mean sensitivity at LUNA16's points "
        f"{words.decimal(figures['froc']['cpm'], 3)}."
    )
