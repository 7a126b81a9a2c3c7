"""A fabricated report: every section filled, with the awkward contents that real projects bring."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from compliance.rendering.document import (
    AccountabilityRow,
    ActorRow,
    Agreement,
    Audit,
    CorrectionRow,
    Deviation,
    Fact,
    FileRow,
    FlagEntry,
    Identity,
    LabelErrorRow,
    LabelErrors,
    Measure,
    ModelCard,
    Picture,
    Proportion,
    Provenance,
    ReaderEffect,
    ReaderRow,
    ReportDocument,
    ReviewerRow,
    Scope,
    SeriesRow,
    Software,
    Synopsis,
    Truthing,
    VoteRow,
)

MADE_AT = datetime(2026, 3, 4, 9, 5, 7, tzinfo=UTC)
SERIES_UID = "1.3.6.1.4.1.14519.5.2.1.6279.6001.179049373636438705059720603192"
DIGEST = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

Fabricate = Callable[[int], ReportDocument]


@pytest.fixture
def fabricate() -> Fabricate:
    """Return a function that makes a whole report with a given number of flags."""
    return _document


def gradient_png(side: int) -> bytes:
    """Return a square greyscale PNG, dark on the left and bright on the right."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + bytes(column * 255 // side for column in range(side)) for _ in range(side))
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")


def _vote(number: int, decision: str, *, final: bool, changed: bool) -> VoteRow:
    return VoteRow(
        reader=f"Dr Ada Example {number}",
        simulated=number == 2,
        round=1,
        final=final,
        decision=decision,
        changed=changed,
        rationale="A round opacity of about 6 mm with smooth margin stands beside the vessel on three images; "
        "the label stops one image short of it.",
        correction="Add: nodule >= 3 mm, sphere of 6.2 mm" if decision == "Label is wrong" else "",
        shown="image, label, model, other readers, proposals" if final else "image and label",
        given_at=MADE_AT - timedelta(minutes=90 - number),
    )


def _correction(label: str) -> CorrectionRow:
    return CorrectionRow(
        flag=label,
        action="Added",
        place="(-61.2, 48.9, -112.5) mm",
        before="no finding in the reference standard",
        after="nodule >= 3 mm, outline of 214 voxels, longest axis 7.4 mm",
        before_sha256="nothing stood here",
        after_sha256=DIGEST,
        dataset_version=3,
        origin="model outline, accepted by two readers",
    )


def _flag(number: int) -> FlagEntry:
    label = f"F-{number:04d}"
    settled = number % 3 != 0
    wrong = number % 3 == 1
    votes = (
        _vote(1, "Label is right", final=False, changed=False),
        _vote(1, "Label is wrong", final=True, changed=True),
        _vote(2, "Label is wrong", final=False, changed=False),
        _vote(2, "Label is wrong", final=True, changed=False),
    )
    return FlagEntry(
        label=label,
        suspicion=("Missing nodule", "Boundary", "Reader disagreement", "Geometry mismatch")[number % 4],
        subject=f"Reader {number % 4 + 1}",
        state="settled" if settled else "open",
        outcome=("Label is wrong" if wrong else "Label is right") if settled else "",
        probability=Decimal("0.83"),
        rounds=1,
        place="(-61.2, 48.9, -112.5) mm LPS: 61.2 mm to the patient's right, 48.9 mm to the back",
        image_number=str(40 + number),
        reason="The model sees a nodule of 6.2 mm here with probability 0.83, and three of four readers outlined one; "
        "this reader's label has nothing within 10 mm, although the case was read.",
        identifiers=(
            Fact("Series", SERIES_UID, exact=True),
            Fact("Image", "1.3.6.1.4.1.14519.5.2.1.6279.6001.100225287222365663678666836860", exact=True),
            Fact("Model bundle, SHA-256", DIGEST, exact=True),
        ),
        votes=votes if settled else (),
        decision="Two agreeing of three: label is wrong." if wrong else "No decision yet.",
        correction=_correction(label) if wrong else None,
        trail=(("12", "a check raised the flag"), ("80", "a consensus settled the flag")),
        picture=Picture(
            png=gradient_png(96),
            alternative=f"Axial CT around flag {label}",
            left_letter="R",
            right_letter="L",
            top_letter="A",
            bottom_letter="P",
            caption="Lung window, 64 mm wide. Solid line: the label. Dotted ring: the flag's place.",
        )
        if number % 5
        else None,
        picture_missing="No picture: the series is not a regular volume.",
    )


def _document(flag_count: int) -> ReportDocument:
    flags = tuple(_flag(number) for number in range(1, flag_count + 1))
    corrections = tuple(flag.correction for flag in flags if flag.correction is not None)
    wrong, settled = len(corrections), sum(flag.state == "settled" for flag in flags)
    errors = Proportion(
        count=wrong,
        total=settled,
        lower=Decimal("0.0760") if settled else None,
        upper=Decimal("0.4760") if settled else None,
        method="Wilson score" if settled else "no flag of this kind was settled",
    )
    return ReportDocument(
        identity=Identity(
            project_title="Lung nodule labels, first delivery, Ålesund — Đà Nẵng",
            project_key="lung-1",
            report_number=3,
            dataset_version=3,
            dataset_note="After the corrections of the first review round.",
            run_number=2,
            generated_at=MADE_AT,
            generated_by="Quentin Lead",
        ),
        synopsis=Synopsis(
            paragraphs=(f"{flag_count} flags were raised on one series read by four readers; {settled} are settled.",),
            figures=(Fact("Labels found wrong among settled flags", f"{wrong} of {settled}"),),
            acceptance="No acceptance criteria were fixed for this project, so none can be met or missed.",
        ),
        scope=Scope(
            intended_use="To show which labels of this dataset were suspected, reviewed and corrected.",
            limits=("Only flagged material was reviewed.", "The model is not for clinical use."),
            protocol=(Fact("Votes asked for each flag", "3"), Fact("Agreeing votes that settle", "2")),
            left_out=(Fact("Subgroups", "Not computed in this version of the service."),),
        ),
        provenance=Provenance(
            deliveries=(Fact("lidc-0001.zip", "completed; 135 files"),),
            accountability=(
                AccountabilityRow("Files received", 140, "every file of every delivery"),
                AccountabilityRow("Stored", 134, ""),
                AccountabilityRow("Refused", 6, "reasons below"),
            ),
            series=(
                SeriesRow(
                    series_instance_uid=SERIES_UID,
                    study_instance_uid="1.3.6.1.4.1.14519.5.2.1.6279.6001.298806137288633453246975630178",
                    patient_key="LIDC-IDRI-0001",
                    modality="CT",
                    instances=133,
                    sampling="512 x 512 x 133 voxels of 0.703 x 0.703 x 2.500 mm",
                    equipment="GE MEDICAL SYSTEMS LightSpeed Plus",
                    verdict="accepted",
                    input_sha256=DIGEST,
                ),
            ),
            refused=(
                FileRow(
                    name="derived/some-very-long-folder-name-that-nobody-shortened/seg-wrong-geometry_final_FINAL.dcm",
                    outcome="refused",
                    reason=f"The segmentation's planes lie 97.5 mm outside the image {SERIES_UID}.",
                    uid="1.2.276.0.7230010.3.1.4.0.42154.1458337731.665796",
                    sha256=DIGEST,
                ),
                FileRow(name="notes.txt", outcome="refused", reason="Not a DICOM file.", uid="", sha256=""),
            ),
            ignored=2,
        ),
        truthing=Truthing(
            guideline="LIDC reading process, version 1",
            guideline_text="Outline every nodule of at least 3 mm on every image where it is seen.",
            blinding="First verdicts are given before the model's and the other readers' opinions are shown.",
            consensus_rule="Two agreeing final verdicts of three settle a flag.",
            reference_rule="Lesions that most readers marked, with the majority outline.",
            equivocal="1 flag stays open because readers disagree.",
            readers=(ReaderRow("Reader 1", "not identified", False, 1, 3, "LIDC XML"),),
            reviewers=(
                ReviewerRow("Dr Ada Example 1", "FRCR", False, "reader", 4, 4),
                ReviewerRow("Dr Ada Example 2", "", True, "reader", 4, 4),
            ),
        ),
        agreement=Agreement(
            explanation=("Readers mark where they like, so agreement on marks is the index of specific agreement.",),
            readers=(
                Measure("Pairwise Dice", Decimal("0.81"), None, None, "", "6 pairs, 1 lesion", "median"),
                Measure("Krippendorff's alpha", None, None, None, "", "", "Not given: every rating is the same."),
            ),
            reviewers=(
                Measure(
                    "Fleiss' kappa", Decimal("0.62"), Decimal("0.31"), Decimal("0.88"), "", "12 flags", "bootstrap"
                ),
            ),
        ),
        label_errors=LabelErrors(
            explanation=("N counts settled flags only: these are errors found where a check pointed.",),
            rows=(
                LabelErrorRow(
                    kind="Missing nodule",
                    raised=flag_count,
                    open=flag_count - settled,
                    disputed=0,
                    settled=settled,
                    decisions=(("Label is wrong", wrong), ("Label is right", settled - wrong)),
                    errors=errors,
                    by_patient="Not given: one patient.",
                ),
            )
            if flag_count
            else (),
            corrections_by_action=(("Added", wrong),) if wrong else (),
        ),
        reader_effect=ReaderEffect(
            explanation="Every reader votes twice: blind, and again after the opinions are shown.",
            changes=(("Label is right", "Label is wrong", settled),) if settled else (),
            changed=errors,
            towards_model="All changes went towards the model's opinion." if settled else "Nothing to compare.",
        ),
        corrections=corrections,
        flags=flags,
        deviations=(Deviation("Run 1", "The run failed: the worker was stopped. It was run again as run 2."),),
        software=Software(
            components=(Fact("Label QA service", "0.1.0"), Fact("MONAI", "1.5.1")),
            models=(
                ModelCard(
                    title="lung_nodule_qa 0.1.0",
                    facts=(Fact("Bundle, SHA-256", DIGEST, exact=True),),
                    text="# Model card\n\nTrained on **synthetic** chest CT.\n\n- Not for clinical use\n- Small\n\n"
                    "| size | sensitivity |\n|---|---|\n| 6 mm | 0.91 |\n",
                ),
            ),
        ),
        audit=Audit(
            events_by_type=(("A check raised a flag", flag_count),),
            events_by_actor=(
                ActorRow("Label QA service", "system", False, 40),
                ActorRow("Dr Ada Example 2", "reader", True, 8),
            ),
            ledger_size=161,
            ledger_head=DIGEST,
            how_to_verify=("Unpack the evidence kit.", "Run: python -I verify.py evidence-kit.zip"),
        ),
    )
