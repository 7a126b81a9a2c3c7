"""Where the dataset comes from, what became of every file, how labels were made, and who reviewed them."""

from __future__ import annotations

from collections import Counter

from compliance.rendering.document import (
    AccountabilityRow,
    Fact,
    FileRow,
    Provenance,
    ReaderRow,
    ReviewerRow,
    SeriesRow,
    Truthing,
)
from imaging.types import Grid
from qaservice.accounts.models import User
from qaservice.analysis.models import FlagState
from qaservice.projects.rules import PERMISSIONS
from qaservice.reports import words
from qaservice.reports.evidence import Evidence
from qaservice.review.models import Decision, Phase
from qaservice.studies.models import Outcome, Series, SeriesState
from qaservice.studies.selectors import grid_of

EQUIPMENT = (
    ("manufacturer", "{}"),
    ("model", "{}"),
    ("software", "software {}"),
    ("kernel", "kernel {}"),
    ("kvp", "{} kVp"),
)

BLINDING = (
    "A reviewer first decides seeing the image, the label under review and a neutral pointer to the place. The check, "
    "its score, the model's opinion, the other readers' labels and other reviewers' verdicts are withheld by the "
    "server until that verdict is stored. After the reveal the reviewer decides again. Both verdicts stay. Other "
    "reviewers' verdicts are shown only after the round has closed. Nobody reviews a label of their own."
)
REFERENCE = (
    "The reference standard is derived and begins as the lesions that most of the readers of a case marked, with the "
    "outline that most of them drew. A consensus that a label is wrong changes the reference standard, never a "
    "reader's own record."
)


def provenance(evidence: Evidence) -> Provenance:
    """Return deliveries, the account of files, the series, and everything refused with its reason."""
    return Provenance(
        deliveries=tuple(
            Fact(
                label=delivery.source_name,
                text=words.sentence(
                    f"{delivery.get_state_display()}"
                    + (f": {delivery.failure}" if delivery.failure else "")
                    + (f"; {_summary(delivery.summary)}" if delivery.summary else "")
                ),
            )
            for delivery in evidence.deliveries
        ),
        accountability=tuple(_accountability(evidence)),
        series=tuple(_series(evidence, one) for one in evidence.series),
        refused=tuple(_set_apart(evidence)),
        ignored=evidence.items_by_outcome.get(Outcome.IGNORED, 0),
    )


def truthing(evidence: Evidence) -> Truthing:
    """Return how labels were made and reviewed: guideline, readers, blinding, consensus rule, equivocal cases."""
    project = evidence.project
    disputed = [str(flag) for flag in evidence.flags if flag.state == FlagState.DISPUTED]
    undecided = Counter(
        flag.outcome for flag in evidence.flags if flag.outcome in {Decision.CANNOT_TELL, Decision.GUIDELINE_UNCLEAR}
    )
    equivocal = [
        f"{words.counted(len(disputed), 'flag')} on which all reviewers asked have voted and disagree: "
        f"{', '.join(disputed)}"
        if disputed
        else "no flag on which all reviewers asked have voted without agreeing"
    ]
    equivocal += [
        f"{words.counted(number, 'flag')} settled as “{words.decision(outcome).lower()}”"
        for outcome, number in sorted(undecided.items())
    ]
    return Truthing(
        guideline=f"{evidence.guideline.title}, version {evidence.guideline.number}",
        guideline_text=evidence.guideline.text,
        blinding=BLINDING,
        consensus_rule=f"{project.agreeing_votes} agreeing final verdicts of {project.required_votes} settle a flag. "
        "Two verdicts that a label is wrong agree only if their corrections would do the same thing. Where all "
        "reviewers asked have voted without agreeing, the flag stays open and is shown as disputed.",
        reference_rule=REFERENCE,
        equivocal=words.sentence("; ".join(equivocal)),
        readers=tuple(_readers(evidence)),
        reviewers=tuple(_reviewers(evidence)),
    )


def _summary(summary: dict[str, int]) -> str:
    parts = [f"{number} {Outcome(name).label}" for name, number in summary.items() if name in Outcome.values and number]
    return words.listed(parts) + " (files)" if parts else ""


def _accountability(evidence: Evidence) -> list[AccountabilityRow]:
    items = evidence.items_by_outcome
    received = sum(items.values())
    accepted = [one for one in evidence.series if one.state != SeriesState.REFUSED]
    warned = sum(one.state == SeriesState.WARNED for one in accepted)
    patients = {study.patient_key for study in evidence.studies.values()}
    analysed = len(evidence.results)
    return [
        AccountabilityRow("Files received", received, "every file of every delivery"),
        AccountabilityRow("Stored", items.get(Outcome.STORED, 0), "images and label files"),
        AccountabilityRow("Already held", items.get(Outcome.DUPLICATE, 0), "same identifier and same bytes"),
        AccountabilityRow("Kept apart", items.get(Outcome.QUARANTINED, 0), "listed below"),
        AccountabilityRow("Refused", items.get(Outcome.REFUSED, 0), "listed below"),
        AccountabilityRow("Left aside", items.get(Outcome.IGNORED, 0), "not part of a study"),
        AccountabilityRow("Patients", len(patients), "by patient identifier as received"),
        AccountabilityRow("Studies", len(evidence.studies), ""),
        AccountabilityRow("Series", len(evidence.series), ""),
        AccountabilityRow(
            "Series accepted by the geometry gate", len(accepted), f"{warned} of them with a warning" if warned else ""
        ),
        AccountabilityRow(
            "Series analysed",
            analysed,
            f"run {evidence.run.number} on dataset version {evidence.run.dataset_version.number}"
            if evidence.run
            else "no run has been completed",
        ),
    ]


def _series(evidence: Evidence, series: Series) -> SeriesRow:
    study = evidence.studies[series.study_id]
    verdict = str(SeriesState(series.state).label)
    reasons = [str(finding["message"]) for finding in series.verdict]
    return SeriesRow(
        series_instance_uid=series.series_instance_uid,
        study_instance_uid=study.study_instance_uid,
        patient_key=study.patient_key or "not stated",
        modality=series.modality,
        instances=series.instance_count,
        sampling=sampling(grid_of(series)) if series.grid is not None else "no regular volume",
        equipment=", ".join(
            form.format(series.acquisition[name]) for name, form in EQUIPMENT if series.acquisition.get(name)
        )
        or "not stated",
        verdict=words.sentence(f"{verdict}: {' '.join(reasons)}" if reasons else verdict),
        input_sha256=series.input_digest,
    )


def sampling(grid: Grid) -> str:
    """Return the size of a volume in words: columns, rows and slices, and the distances between voxel centres."""
    slices, rows, columns = grid.shape
    between_slices, between_rows, between_columns = (words.decimal(step, 3) for step in grid.spacing_mm)
    return f"{columns} x {rows} x {slices} voxels of {between_columns} x {between_rows} x {between_slices} mm"


def _set_apart(evidence: Evidence) -> list[FileRow]:
    rows = [
        FileRow(
            name=item.name,
            outcome=item.get_outcome_display(),
            reason=words.sentence(item.message) or "No reason is on record.",
            uid=item.uid,
            sha256=item.sha256,
        )
        for item in evidence.items_set_apart
    ]
    told = {row.reason for row in rows}
    for one in evidence.sets:
        for rejection in one.rejections:
            reason = words.sentence(str(rejection["message"]))
            if reason in told:
                # The whole file was refused for it, and stands above under its own name.
                continue
            rows.append(
                FileRow(
                    name=f"{one.reader_label}, {one.source_format}",
                    outcome="part not taken",
                    reason=reason,
                    uid=", ".join(str(subject) for subject in rejection.get("subjects", [])[:3]),
                    sha256="",
                )
            )
    return rows


def _readers(evidence: Evidence) -> list[ReaderRow]:
    rows: dict[tuple[str, str], ReaderRow] = {}
    for one in evidence.reader_sets:
        key = (one.reader_label, one.source_format)
        identity = evidence.identities.get(one.reader_label)
        known = rows.get(key)
        rows[key] = ReaderRow(
            name=one.reader_label,
            identified_as=str(identity.user) if identity else "not identified",
            simulated=one.simulated,
            cases_read=(known.cases_read if known else 0) + int(one.read),
            findings=(known.findings if known else 0) + len(evidence.findings_of_set.get(one.pk, ())),
            source=one.source_format,
        )
    return [rows[key] for key in sorted(rows)]


def _reviewers(evidence: Evidence) -> list[ReviewerRow]:
    people: dict[object, User] = {
        one.user_id: one.user for one in evidence.memberships if one.role in PERMISSIONS["review"]
    }
    counts: Counter[tuple[object, str]] = Counter()
    for verdict in evidence.all_verdicts():
        people[verdict.reader_id] = verdict.reader
        counts[(verdict.reader_id, verdict.phase)] += 1
    roles: dict[object, list[str]] = {}
    for one in evidence.memberships:
        if one.role in PERMISSIONS["review"]:
            roles.setdefault(one.user_id, []).append(words.role(one.role) + ("" if one.active else " (withdrawn)"))
    return [
        ReviewerRow(
            name=person.display_name,
            qualifications=person.credentials or ("machine" if person.is_simulated else "not on record"),
            simulated=person.is_simulated,
            roles=words.listed(roles.get(key, ["no longer a member"])),
            blind_verdicts=counts[(key, Phase.BLIND)],
            final_verdicts=counts[(key, Phase.FINAL)],
        )
        for key, person in sorted(people.items(), key=lambda item: (item[1].display_name, str(item[0])))
    ]
