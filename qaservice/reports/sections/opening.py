"""Identity, synopsis and scope: what the report is, what it says in short, and what it must not be used for."""

from __future__ import annotations

from compliance.rendering.document import Fact, Identity, LabelErrors, Scope, Synopsis
from qaservice.analysis.models import FlagState
from qaservice.reports import words
from qaservice.reports.evidence import Evidence
from qaservice.review.models import Decision

INTENDED_USE = (
    "This report shows which labels of one dataset version were suspected, by which check and model, how reviewers "
    "decided on each suspicion, and what was corrected, with the evidence for each step. It serves those who own the "
    "dataset and those who inspect how its labels were made."
)
LIMITS = (
    "Without a signature page on which it is approved, it is a draft and supports no release, submission or claim.",
    "Neither the labels nor the QA model are for clinical use; no patient may be managed from them.",
    "Only flagged places were reviewed. Errors that no check pointed to are not counted.",
    "Figures describe this dataset version, this model and these reviewers; they do not carry over to others.",
)
LEFT_OUT = (
    ("Signatures", "They stand on a signature page of their own: signing changes no byte of this document."),
    ("Acceptance criteria", "No validation plan with criteria fixed beforehand was recorded."),
    ("Random audit and residual error", "Unflagged material was not sampled, so no residual error is estimated."),
    ("Independence of partitions", "The service does not know how the dataset is split for training and testing."),
    ("Performance of the QA model", "It stands in the model card, not here; it was not measured on this dataset."),
    (
        "Before and after remediation",
        "Effects of the corrections on a model trained on these labels were not measured.",
    ),
    ("Subgroups", "Figures by sex, age, site, equipment and nodule type are not computed."),
    ("Qualification of the installation", "Installation and operational qualification records are kept apart."),
)


def identity(evidence: Evidence, *, number: int, made_by: str) -> Identity:
    """Return which report this is; its time is the time of the look at the database."""
    return Identity(
        project_title=evidence.project.title,
        project_key=evidence.project.key,
        report_number=number,
        dataset_version=evidence.dataset_version.number,
        dataset_note=words.sentence(evidence.dataset_version.note),
        run_number=evidence.run.number if evidence.run else None,
        generated_at=evidence.taken_at,
        generated_by=made_by,
    )


def synopsis(evidence: Evidence, errors: LabelErrors) -> Synopsis:
    """Return the report in short; every number in it stands in a table further on."""
    readers = {one.reader_label for one in evidence.reader_sets}
    patients = {study.patient_key for study in evidence.studies.values()}
    raised = len(evidence.flags)
    settled = sum(flag.state == FlagState.SETTLED for flag in evidence.flags)
    wrong = sum(flag.outcome == Decision.LABEL_WRONG for flag in evidence.flags)
    disputed = sum(flag.state == FlagState.DISPUTED for flag in evidence.flags)
    findings = sum(len(evidence.findings_of_set.get(one.pk, ())) for one in evidence.reader_sets)
    dataset = (
        f"The dataset holds {words.counted(len(evidence.series), 'series', 'series')} of "
        f"{words.counted(len(patients), 'patient')} with {words.counted(findings, 'finding')} by "
        f"{words.counted(len(readers), 'reader')}."
    )
    if evidence.run is None:
        review = "No analysis has been completed, so no flag was raised and no label was reviewed."
    else:
        review = (
            f"{words.counted(raised, 'flag')} {'was' if raised == 1 else 'were'} raised up to run "
            f"{evidence.run.number}. {settled} {'is' if settled == 1 else 'are'} settled, {disputed} disputed, "
            f"{raised - settled - disputed} open."
        )
    return Synopsis(
        paragraphs=(dataset, review),
        figures=(
            Fact("Settled flags on which the label is wrong", f"{wrong} of {settled}"),
            Fact("Corrections of the reference standard", str(len(evidence.corrections))),
            *(
                Fact(
                    f"{row.kind}: label wrong among settled flags",
                    f"{row.errors.count} of {row.errors.total}",
                )
                for row in errors.rows
                if row.settled
            ),
        ),
        acceptance="No acceptance criteria were fixed before the review, so there are none to be met or missed. This "
        "report describes; it does not conclude.",
    )


def scope(evidence: Evidence) -> Scope:
    """Return intended use, limits, the project's protocol, and what this report leaves out."""
    project = evidence.project
    return Scope(
        intended_use=INTENDED_USE,
        limits=LIMITS,
        protocol=(
            Fact("Project state", str(project.get_state_display())),
            Fact("Regulated project", "yes" if project.regulated else "no"),
            Fact("Reviewers asked for each flag", str(project.required_votes)),
            Fact("Agreeing final verdicts that settle a flag", str(project.agreeing_votes)),
            Fact("Convention for sizes", project.size_convention),
        ),
        left_out=tuple(Fact(title, text) for title, text in LEFT_OUT),
    )
