"""A reviewed project: votes that settle, correct, split and stay open, with images behind the places."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from compliance.recording import SYSTEM, Actor, change
from qaservice.analysis.models import SeriesResult
from qaservice.review.models import Assignment, Verdict
from qaservice.review.services import give_verdict, reveal
from qaservice.storage import derived
from qaservice.storage.services import store_blob
from qaservice.studies.assessment import HOUNSFIELD, HOUNSFIELD_VERSION
from qaservice.studies.models import Ingest, IngestItem, IngestState, Outcome
from tests.factories.records import Site, assign_first_three, make_flag, make_site

SHAPE = (20, 64, 64)


@dataclass(frozen=True)
class Reviewed:
    """The site and who asks for its report. Flags 1-3: settled wrong, settled right, open; 4: disputed."""

    site: Site
    lead: Actor


@pytest.fixture
def reviewed(db: None) -> Reviewed:
    """A project with four flags in every state that a flag can be in."""
    return build(flags=3, kind="person")


@pytest.fixture
def simulated(db: None) -> Reviewed:
    """The same with simulated readers."""
    return build(flags=3, kind="simulated")


def build(*, flags: int, kind: str) -> Reviewed:
    site = make_site(flags=flags, kind=kind)
    site.flags.append(make_flag(site=site, number=flags + 1, finding=site.findings[0], score=0.41))
    derived.array(input_digest=site.series.input_digest, operation=HOUNSFIELD, version=HOUNSFIELD_VERSION, make=chest)
    deliver(site)
    match_lesions(site)
    wrong, right, _, disputed = site.flags
    for assignment, blind in zip(assign_first_three(site, wrong)[:2], ("label-right", "label-wrong"), strict=True):
        vote(assignment, blind=blind, final="label-wrong", proposal="p1")
    for assignment in assign_first_three(site, right)[:2]:
        vote(assignment, blind="label-right", final="label-right")
    decisions = ("label-right", "cannot-tell", "guideline-unclear")
    for assignment, decision in zip(assign_first_three(site, disputed), decisions, strict=True):
        vote(assignment, blind=decision, final=decision)
    return Reviewed(site=site, lead=site.lead.as_actor(role="qa_lead"))


def vote(assignment: Assignment, *, blind: str, final: str, proposal: str = "") -> Verdict:
    """Give a blind verdict, have the opinions revealed, give the final one."""
    reader = assignment.reader
    give_verdict(assignment=_fresh(assignment), user=reader, decision=blind, rationale="Nothing to see on 3 images.")
    reveal(assignment=_fresh(assignment), user=reader)
    return give_verdict(
        assignment=_fresh(assignment),
        user=reader,
        decision=final,
        rationale="With the others' marks beside it: a round opacity of 7 mm.",
        proposal_id=proposal,
    )


def chest() -> NDArray[np.int16]:
    """A grey field with a bright ball near the flags' places."""
    s, r, c = np.ogrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
    ball = ((s - 10) * 2.5) ** 2 + ((r - 28) * 0.75) ** 2 + ((c - 34) * 0.75) ** 2 <= 3.5**2
    return np.where(ball, 40, -820).astype(np.int16)


def deliver(site: Site) -> None:
    """Put a delivery with one refused and one ignored file on record."""
    with change(
        "ingest.completed", actor=SYSTEM, reason="for a test", subject=("ingest", "test"), project_key=site.project.key
    ):
        ingest = Ingest(
            project=site.project,
            source_name="delivery-1.zip",
            state=IngestState.COMPLETED,
            summary={"stored": 20, "refused": 1, "ignored": 1},
        )
        ingest.save()
        for name, kind, outcome, message in (
            ("ct/1.dcm", "image", Outcome.STORED, ""),
            ("seg/wrong.dcm", "segmentation", Outcome.REFUSED, "the planes lie 97.5 mm outside the image"),
            ("notes.txt", "other", Outcome.IGNORED, "not a DICOM file"),
        ):
            IngestItem(ingest=ingest, name=name, kind=kind, outcome=outcome, message=message, sha256="12" * 32).save()


def match_lesions(site: Site) -> None:
    """Store what the run found on the series: two lesions, one of each annotator."""
    with change(
        "series.analysed",
        actor=SYSTEM,
        reason="for a test",
        subject=("series", str(site.series.pk)),
        project_key=site.project.key,
    ):
        SeriesResult(
            run=site.run,
            series=site.series,
            prediction=store_blob(data=b"{}", media_type="application/json"),
            input_sha256="cd" * 32,
            checks=[
                {"check": "missing_nodule", "version": "1", "status": "ran", "detail": "", "issue_count": 3},
                {"check": "boundary", "version": "1", "status": "ran", "detail": "", "issue_count": 1},
                {"check": "reader_disagreement", "version": "1", "status": "ran", "detail": "", "issue_count": 0},
                {
                    "check": "geometry_mismatch",
                    "version": "1",
                    "status": "not-applicable",
                    "detail": "no label names an image",
                    "issue_count": 0,
                },
            ],
            lesions=[
                {"id": f"L{number}", "centre_mm": [0.0, 0.0, 0.0], "members": [[str(one.pk), str(finding.pk)]]}
                for number, (one, finding) in enumerate(zip(site.sets, site.findings, strict=True), start=1)
            ],
        ).save()


def _fresh(assignment: Assignment) -> Assignment:
    return Assignment.objects.select_related("flag__series__study", "project", "reader").get(pk=assignment.pk)
