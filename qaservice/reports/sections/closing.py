"""Deviations, software and the audit summary."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable

from compliance.rendering.document import ActorRow, Audit, Deviation, Fact, ModelCard, Software
from qaservice.analysis.models import FlagState, QAModel, RunState
from qaservice.analysis.said import scope_of, silence_of
from qaservice.reports import words
from qaservice.reports.evidence import Evidence, event_words
from qaservice.reports.sections.fitness import FitnessInPrint, fitness_of, worth_of_models
from qaservice.storage.selectors import read_blob
from qaservice.studies.models import IngestState, SeriesState

PACKAGES = {
    "label-qa": "Label QA service",
    "python": "Python",
    "torch": "PyTorch",
    "monai": "MONAI",
    "openvino": "OpenVINO",
    "numpy": "NumPy",
    "scipy": "SciPy",
    "scikit-image": "scikit-image",
    "SimpleITK": "SimpleITK",
    "pydicom": "pydicom",
    "highdicom": "highdicom",
    "django": "Django",
    "typst": "Typst",
}

ALREADY_SO = "A consensus found the reference standard to say so already"

HOW_TO_VERIFY = (
    "Take the evidence kit that was exported with this report. It holds the report, the figures as data, the dataset "
    "manifest, the ledger's events, the records that they name, and two short programs that need nothing but Python.",
    "On any computer, without a network, run: python -I verify.py evidence-kit.zip. It recomputes every hash and link "
    "and names the first record that was altered.",
    "Run: python -I recompute.py evidence-kit.zip. It counts the label errors again from the records, computes the "
    "intervals again and compares both with the figures of this report.",
    "Compare the head of the ledger printed here with the link of the event whose index is one less than the number "
    "of sealed events printed here; recompute.py prints it. Later events, the making of this report among them, follow "
    "it in the kit.",
)


def deviations(evidence: Evidence) -> tuple[Deviation, ...]:
    """Return what did not go as planned and what limits the conclusions, most general first."""
    parts = (_limits, worth_of_models, _failures, _series, _abstentions, _fallbacks, _checks, _flags)
    return tuple(
        Deviation(subject=subject, description=words.sentence(description))
        for part in parts
        for subject, description in part(evidence)
    )


def software(evidence: Evidence, *, typst_version: str) -> Software:
    """Return the versions of what computed the results, and the models' identity and cards."""
    versions: dict[str, str] = dict(evidence.run.software) if evidence.run else {}
    components = [Fact(PACKAGES.get(name, name), version) for name, version in versions.items()]
    components.append(Fact("Typst (typesetting of this report)", typst_version))
    if evidence.run is None:
        components.insert(0, Fact("Analysis", "no run has been completed, so no analysis software is on record"))
    models = {run.model_id: run.model for run in evidence.runs if run.state == RunState.COMPLETED}
    return Software(
        components=tuple(components),
        models=tuple(
            _card(model, fitness_of(evidence, model))
            for model in sorted(models.values(), key=lambda one: (one.name, one.version))
        ),
    )


def audit(evidence: Evidence) -> Audit:
    """Return the events by type and person, the ledger's size and head, and how to verify them."""
    what = event_words()
    return Audit(
        events_by_type=tuple(
            (ALREADY_SO if already_so else what.get(kind, kind), number)
            for kind, already_so, number in evidence.events_by_kind
        ),
        events_by_actor=tuple(
            ActorRow(name=one.name, role=words.role(one.role), simulated=one.simulated, events=one.count)
            for one in evidence.events_by_actor
        ),
        ledger_size=evidence.ledger_size,
        ledger_head=evidence.ledger_head,
        how_to_verify=HOW_TO_VERIFY,
    )


def _limits(evidence: Evidence) -> Iterable[tuple[str, str]]:
    if evidence.on_sqlite:
        yield (
            "Embedded database",
            "the service ran on SQLite. Its triggers and hashes show an alteration of the record afterwards, but the "
            "database has no separate owner who could prevent one",
        )
    if evidence.simulated:
        yield (
            "Simulated readers",
            "simulated readers take part in this project; each is marked wherever it is named. Labels and verdicts of "
            "theirs are counted like any other, and such figures say nothing about clinicians",
        )
    unknown = sorted({one.reader_label for one in evidence.reader_sets} - set(evidence.identities))
    if unknown:
        yield (
            "Readers not identified",
            f"{words.listed(unknown)} {'is' if len(unknown) == 1 else 'are'} not linked to an account. The rule that "
            "nobody reviews a label of their own could not be applied to these labels",
        )


def _failures(evidence: Evidence) -> Iterable[tuple[str, str]]:
    for delivery in evidence.deliveries:
        if delivery.state == IngestState.FAILED:
            yield f"Delivery {delivery.source_name}", f"it could not be read: {delivery.failure}"
    for run in evidence.runs:
        if run.state == RunState.FAILED:
            yield f"Run {run.number}", f"the analysis run failed: {run.failure}"
        elif run.state != RunState.COMPLETED:
            yield f"Run {run.number}", f"the analysis run is {run.get_state_display()} and not part of this report"
    if evidence.run is not None:
        missing = len([one for one in evidence.series if one.state != SeriesState.REFUSED]) - len(evidence.results)
        if missing > 0:
            yield (
                f"Run {evidence.run.number}",
                f"{words.counted(missing, 'accepted series', 'accepted series')} not analysed: without labels, or "
                "received after the run's dataset version",
            )


def _series(evidence: Evidence) -> Iterable[tuple[str, str]]:
    for one in evidence.series:
        if one.state != SeriesState.ACCEPTED:
            reasons = " ".join(str(finding["message"]) for finding in one.verdict)
            yield f"Series …{one.series_instance_uid[-12:]}", f"{SeriesState(one.state).label}: {reasons}"


def _checks(evidence: Evidence) -> Iterable[tuple[str, str]]:
    silent: dict[tuple[str, str], int] = {}
    for result in evidence.results:
        for check in result.checks:
            if check["status"] != "ran":
                key = (words.suspicion(str(check["check"])), str(check["detail"]))
                silent[key] = silent.get(key, 0) + 1
    for (name, detail), number in sorted(silent.items()):
        yield f"Check: {name}", f"it did not apply to {words.counted(number, 'series', 'series')}: {detail}"


def _abstentions(evidence: Evidence) -> Iterable[tuple[str, str]]:
    silent = Counter(
        str(said["abstained_because"])
        for said in (json.loads(read_blob(result.prediction_id)) for result in evidence.results)
        if said.get("abstained_because")
    )
    for why, number in sorted(silent.items()):
        yield "QA model", f"it abstained on {words.counted(number, 'series', 'series')}: {why}"


def _fallbacks(evidence: Evidence) -> Iterable[tuple[str, str]]:
    refused = Counter(
        str(why)
        for said in (json.loads(read_blob(result.prediction_id)) for result in evidence.results)
        for why in said.get("backend_refusals", ())
    )
    for why, number in sorted(refused.items()):
        yield "QA model", f"on {words.counted(number, 'series', 'series')} another backend computed it: {why}"


def _flags(evidence: Evidence) -> Iterable[tuple[str, str]]:
    for flag in evidence.flags:
        if flag.reopened_because:
            yield str(flag), f"it was settled and opened again: {flag.reopened_because}"
    open_flags = sum(flag.state == FlagState.OPEN for flag in evidence.flags)
    if open_flags:
        yield (
            "Open flags",
            f"{words.counted(open_flags, 'flag')} had not been settled when this report was made and "
            f"{'is' if open_flags == 1 else 'are'} in no figure about label errors",
        )


def _card(model: QAModel, fitness: FitnessInPrint) -> ModelCard:
    pinned = "Files of its predictions, SHA-256" if model.external else "Bundle, SHA-256"
    facts = [Fact(pinned, model.bundle_sha256, exact=True)]
    for name, title in (("task", "Task"), ("description", "Description"), ("intended_use", "Intended use")):
        text = model.metadata.get(name)
        if isinstance(text, str) and text.strip():
            facts.append(Fact(title, words.sentence(text)))
    if not model.external:
        facts.append(Fact("Scans that it is for", scope_of(model=model)))
    facts.append(Fact("Where it reports nothing", silence_of(model=model, slice_step_mm=None)))
    return ModelCard(
        title=str(model), facts=tuple(facts), text=model.model_card, fitness=fitness.facts, charts=fitness.charts
    )
