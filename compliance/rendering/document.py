"""The validation report as data: everything that the rendered document says, in the order in which it says it.

Whoever knows the domain fills these classes; rendering knows nothing but them. Text is for people: sentences and
titles, never keys. Figures keep their raw counts beside them, so that a reader can recompute what is printed. A figure
that could not be computed is None and its remark says why.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Fact:
    """One labelled statement. ``exact`` marks identifiers and digests, which are set in a fixed-width face."""

    label: str
    text: str
    exact: bool = False


@dataclass(frozen=True, slots=True)
class Proportion:
    """``count`` of ``total`` with a two-sided 95 % interval; limits are shares in [0, 1], None where there are none."""

    count: int
    total: int
    lower: Decimal | None
    upper: Decimal | None
    method: str


@dataclass(frozen=True, slots=True)
class Measure:
    """A statistic with what it rests on. Limits are two-sided, 95 %. ``remark``: method, or why there is no figure."""

    name: str
    value: Decimal | None
    lower: Decimal | None
    upper: Decimal | None
    unit: str
    basis: str
    remark: str


@dataclass(frozen=True, slots=True)
class Identity:
    """Which report this is. ``generated_at`` is the server's time and also the PDF's creation date."""

    project_title: str
    project_key: str
    report_number: int
    dataset_version: int
    dataset_note: str
    run_number: int | None
    generated_at: datetime
    generated_by: str


@dataclass(frozen=True, slots=True)
class Synopsis:
    """The report in short. ``acceptance`` says which criteria were fixed beforehand and how they were met."""

    paragraphs: tuple[str, ...]
    figures: tuple[Fact, ...]
    acceptance: str


@dataclass(frozen=True, slots=True)
class Scope:
    """What this report may be used for, what it leaves out, and under which protocol the project ran."""

    intended_use: str
    limits: tuple[str, ...]
    protocol: tuple[Fact, ...]
    left_out: tuple[Fact, ...]


@dataclass(frozen=True, slots=True)
class AccountabilityRow:
    """One line of the account from files received to series analysed."""

    stage: str
    count: int
    remark: str


@dataclass(frozen=True, slots=True)
class SeriesRow:
    """One series: identity, geometry verdict and how it was acquired."""

    series_instance_uid: str
    study_instance_uid: str
    patient_key: str
    modality: str
    instances: int
    sampling: str
    equipment: str
    verdict: str
    input_sha256: str


@dataclass(frozen=True, slots=True)
class FileRow:
    """One file that did not enter the dataset, or a part of one, with the reason as given at ingest."""

    name: str
    outcome: str
    reason: str
    uid: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where the dataset comes from, and what became of every file."""

    deliveries: tuple[Fact, ...]
    accountability: tuple[AccountabilityRow, ...]
    series: tuple[SeriesRow, ...]
    refused: tuple[FileRow, ...]
    ignored: int


@dataclass(frozen=True, slots=True)
class ReaderRow:
    """One reader whose labels came with the data."""

    name: str
    identified_as: str
    simulated: bool
    cases_read: int
    findings: int
    source: str


@dataclass(frozen=True, slots=True)
class ReviewerRow:
    """One person or machine that settled flags."""

    name: str
    qualifications: str
    simulated: bool
    roles: str
    blind_verdicts: int
    final_verdicts: int


@dataclass(frozen=True, slots=True)
class Truthing:
    """How labels were made and how they were reviewed (guideline, readers, blinding, consensus)."""

    guideline: str
    guideline_text: str
    blinding: str
    consensus_rule: str
    reference_rule: str
    equivocal: str
    readers: tuple[ReaderRow, ...]
    reviewers: tuple[ReviewerRow, ...]


@dataclass(frozen=True, slots=True)
class Agreement:
    """Agreement among those who labelled, and among those who reviewed."""

    explanation: tuple[str, ...]
    readers: tuple[Measure, ...]
    reviewers: tuple[Measure, ...]


@dataclass(frozen=True, slots=True)
class LabelErrorRow:
    """One kind of suspicion: how many flags it raised, how they ended, and the share of settled ones that were errors.

    ``decisions``: settled flags by outcome, as (words, count). ``by_patient``: interval by patient, or why none.
    """

    kind: str
    raised: int
    open: int
    disputed: int
    settled: int
    decisions: tuple[tuple[str, int], ...]
    errors: Proportion
    by_patient: str


@dataclass(frozen=True, slots=True)
class LabelErrors:
    """Label errors by type, with the denominator explained."""

    explanation: tuple[str, ...]
    rows: tuple[LabelErrorRow, ...]
    corrections_by_action: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class ReaderEffect:
    """What seeing the model's and the others' opinions did to verdicts: (blind, final, number of verdict pairs)."""

    explanation: str
    changes: tuple[tuple[str, str, int], ...]
    changed: Proportion
    towards_model: str


@dataclass(frozen=True, slots=True)
class CorrectionRow:
    """One change to the reference standard."""

    flag: str
    action: str
    place: str
    before: str
    after: str
    before_sha256: str
    after_sha256: str
    dataset_version: int
    origin: str


@dataclass(frozen=True, slots=True)
class VoteRow:
    """One verdict as given, blind or final. ``changed``: it differs from the same reader's blind one (REQ-30)."""

    reader: str
    simulated: bool
    round: int
    final: bool
    decision: str
    changed: bool
    rationale: str
    correction: str
    shown: str
    given_at: datetime


@dataclass(frozen=True, slots=True)
class Picture:
    """A crop around a place. ``png`` is the image; ``alternative`` says in words what it shows (PDF/UA)."""

    png: bytes
    alternative: str
    left_letter: str
    right_letter: str
    top_letter: str
    bottom_letter: str
    caption: str


@dataclass(frozen=True, slots=True)
class FlagEntry:
    """One flag in full. ``trail``: index in the ledger and what happened, in order. ``votes``: by round and reader."""

    label: str
    suspicion: str
    subject: str
    state: str
    outcome: str
    probability: Decimal
    rounds: int
    place: str
    image_number: str
    reason: str
    identifiers: tuple[Fact, ...]
    votes: tuple[VoteRow, ...]
    decision: str
    correction: CorrectionRow | None
    trail: tuple[tuple[str, str], ...]
    picture: Picture | None
    picture_missing: str


@dataclass(frozen=True, slots=True)
class Deviation:
    """Something that did not go as planned, or that limits what may be concluded."""

    subject: str
    description: str


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart as SVG. ``alternative`` says in words what it shows; ``caption`` stands beneath it."""

    svg: bytes
    alternative: str
    caption: str


@dataclass(frozen=True, slots=True)
class ModelCard:
    """Facts about one QA model, how it was measured to do here, and the whole text of its card."""

    title: str
    facts: tuple[Fact, ...]
    text: str
    fitness: tuple[Fact, ...] = ()
    charts: tuple[Chart, ...] = ()


@dataclass(frozen=True, slots=True)
class Software:
    """What computed the results."""

    components: tuple[Fact, ...]
    models: tuple[ModelCard, ...]


@dataclass(frozen=True, slots=True)
class ActorRow:
    """How many events one actor caused in the project, by role."""

    name: str
    role: str
    simulated: bool
    events: int


@dataclass(frozen=True, slots=True)
class Audit:
    """The record in short: events by type and person, ledger size and head, and how to verify them."""

    events_by_type: tuple[tuple[str, int], ...]
    events_by_actor: tuple[ActorRow, ...]
    ledger_size: int
    ledger_head: str
    how_to_verify: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ReportDocument:
    """The whole report."""

    identity: Identity
    synopsis: Synopsis
    scope: Scope
    provenance: Provenance
    truthing: Truthing
    agreement: Agreement
    label_errors: LabelErrors
    reader_effect: ReaderEffect
    corrections: tuple[CorrectionRow, ...]
    flags: tuple[FlagEntry, ...]
    deviations: tuple[Deviation, ...]
    software: Software
    audit: Audit


def plain(value: object) -> object:
    """Return ``value`` as JSON-able data: decimals and UTC times as strings, pictures' bytes as their SHA-256.

    Raises TypeError for anything that a report document does not hold, floats among it: their printed form differs
    between programs, so figures are decimals here.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, tuple | list):
        return [plain(member) for member in value]
    if isinstance(value, Mapping):
        return {str(key): plain(member) for key, member in value.items()}
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    if isinstance(value, bytes):
        return hashlib.sha256(value).hexdigest()
    if value is None or isinstance(value, str | bool | int):
        return value
    raise TypeError(f"a report document cannot hold {type(value).__name__}")
