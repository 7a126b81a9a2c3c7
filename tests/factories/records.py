"""Rows for tests of review, analysis and API, written through the same services and changes as in production."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field

from compliance.recording import SYSTEM, change
from qaservice.accounts.models import User, UserKind
from qaservice.accounts.services import create_user
from qaservice.analysis.models import AnalysisRun, Flag, FlagObservation, QAModel, RunState
from qaservice.labels.models import AnnotationSet, DatasetVersion, Finding, FindingRevision
from qaservice.labels.services import fix_dataset_version, publish_guideline
from qaservice.projects.models import Project, Role
from qaservice.projects.services import create_project, grant
from qaservice.review.models import Assignment
from qaservice.review.services import assign
from qaservice.studies.models import Series, Study

PASSWORD = "correct-horse-battery"
GRID = {
    "shape": [20, 64, 64],
    # Slices run feet to head 2.5 mm apart; rows to the back, columns to the patient's left, 0.75 mm.
    "affine": [
        ["0.0", "0.0", "0.75", "-24.0"],
        ["0.0", "0.75", "0.0", "-24.0"],
        ["2.5", "0.0", "0.0", "-100.0"],
        ["0.0", "0.0", "0.0", "1.0"],
    ],
    "frame_of_reference_uid": "2.25.7",
    "sop_instance_uids": [f"2.25.10{index}" for index in range(20)],
    "instance_numbers": list(range(1, 21)),
    "slice_thickness_mm": "2.5",
}
PLACE = (1.5, -3.0, -75.0)
PROPOSALS = [
    {
        "id": "p1",
        "action": "add",
        "origin": "the other readers' majority",
        "category": "nodule >= 3 mm",
        "mask": None,
        "centre_mm": list(PLACE),
        "diameter_mm": 7.0,
    },
    {
        "id": "p2",
        "action": "add",
        "origin": "the model's outline",
        "category": "nodule >= 3 mm",
        "mask": None,
        "centre_mm": [2.0, -3.0, -75.0],
        "diameter_mm": 8.0,
    },
]


@dataclass
class Site:
    """One project with its people, one series, two original readers and as many flags as asked for."""

    project: Project
    lead: User
    readers: list[User]
    series: Series
    sets: list[AnnotationSet]
    findings: list[Finding]
    run: AnalysisRun
    flags: list[Flag] = field(default_factory=list)


def make_user(name: str, *, kind: str = UserKind.PERSON, is_administrator: bool = False) -> User:
    """Open an account whose password is ``PASSWORD``."""
    return create_user(
        username=name,
        display_name=name.title(),
        password=PASSWORD,
        kind=kind,
        actor=SYSTEM,
        reason="needed by a test",
        is_administrator=is_administrator,
    )


def make_site(*, key: str = "lung", flags: int = 1, kind: str = UserKind.PERSON, required: int = 3) -> Site:
    """Build a project with a QA lead, four readers, a series read by two annotators, and open flags."""
    project = create_project(
        key=key, title="Lung nodules", actor=SYSTEM, reason="needed by a test", required_votes=required
    )
    lead = make_user(f"{key}-lead")
    grant(project=project, user=lead, role=Role.QA_LEAD, actor=SYSTEM, reason="leads the test")
    readers = [make_user(f"{key}-reader-{number}", kind=kind) for number in range(1, 5)]
    for reader in readers:
        grant(project=project, user=reader, role=Role.READER, actor=SYSTEM, reason="reads in the test")
    publish_guideline(project=project, title="Lung nodules", text="As LIDC.", actor=SYSTEM, reason="needed by a test")
    series = _series(project)
    sets, findings = _sets(project, series)
    version = fix_dataset_version(project=project, note="for a test", actor=SYSTEM, reason="needed by a test")
    run = make_run(project=project, version=version, number=1, sha256="ab" * 32)
    site = Site(project, lead, readers, series, sets, findings, run)
    for number in range(1, flags + 1):
        site.flags.append(make_flag(site=site, number=number))
    return site


def make_run(*, project: Project, version: DatasetVersion, number: int, sha256: str) -> AnalysisRun:
    """Register a model with that digest and a completed run of it."""
    with change("run.requested", actor=SYSTEM, reason="for a test", subject=("run", "test"), project_key=project.key):
        model = QAModel.objects.filter(bundle_sha256=sha256).first()
        if model is None:
            model = QAModel(name="test model", version=str(number), bundle_sha256=sha256, metadata={}, model_card="")
            model.save()
        run = AnalysisRun(
            project=project,
            number=number,
            dataset_version=version,
            model=model,
            parameters={},
            software={},
            state=RunState.COMPLETED,
        )
        run.save()
    return run


def make_flag(*, site: Site, number: int, finding: Finding | None = None, score: float = 0.8) -> Flag:
    """Raise a flag on the first annotator: a missing nodule, or a suspicion against ``finding``."""
    x, y, z = PLACE
    flag = Flag(
        project=site.project,
        number=number,
        series=site.series,
        check_name="missing_nodule" if finding is None else "boundary",
        annotation_set=site.sets[0],
        finding=finding,
        x_mm=x + number - 1,
        y_mm=y,
        z_mm=z,
        radius_mm=3.5,
        score=score,
    )
    with change(
        "flag.raised",
        actor=SYSTEM,
        reason="for a test",
        subject=("flag", str(flag.pk)),
        project_key=site.project.key,
    ):
        flag.save()
        FlagObservation(
            flag=flag,
            run=site.run,
            check_version="1",
            score=score,
            blind_reason="This place may deserve a second look.",
            reason="The model gives 94 % for a 7 mm nodule here; this reader marked nothing.",
            evidence={"model_probability": 0.94},
            implicated_sets=[str(site.sets[0].pk)],
            proposals=PROPOSALS,
            model_sha256=site.run.model.bundle_sha256,
            input_sha256="cd" * 32,
            threshold=0.5,
        ).save()
    return flag


def assign_first_three(site: Site, flag: Flag) -> list[Assignment]:
    """Ask the first three readers to look at ``flag``."""
    return [
        assign(flag=flag, reader=reader, actor=site.lead.as_actor(role="qa_lead"), reason="first reads")
        for reader in site.readers[:3]
    ]


def _series(project: Project) -> Series:
    with change("study.registered", actor=SYSTEM, reason="for a test", subject=("study", "test")):
        study = Study(project=project, study_instance_uid=f"2.25.{uuid.uuid4().int}", patient_key="TEST-1")
        study.save()
        series = Series(
            study=study,
            project=project,
            series_instance_uid=f"2.25.{uuid.uuid4().int}",
            modality="CT",
            frame_of_reference_uid="2.25.7",
            state="accepted",
            verdict=[],
            instance_count=20,
            grid=GRID,
            input_digest="ef" * 32,
        )
        series.save()
    return series


def _sets(project: Project, series: Series) -> tuple[list[AnnotationSet], list[Finding]]:
    sets: list[AnnotationSet] = []
    findings: list[Finding] = []
    x, y, z = PLACE
    with change("annotations.imported", actor=SYSTEM, reason="for a test", subject=("series", str(series.pk))):
        for number in (1, 2):
            one = AnnotationSet(
                project=project,
                series=series,
                kind="reader",
                reader_label=f"annotator {number}",
                read=True,
                source_format="test",
            )
            one.save()
            sets.append(one)
            finding = Finding(
                annotation_set=one, tracking_uid=f"2.25.{uuid.uuid4().int}", source_label=f"Nodule {number}"
            )
            finding.save()
            findings.append(finding)
            FindingRevision(
                finding=finding,
                number=1,
                category="nodule >= 3 mm",
                shape="sphere",
                x_mm=x + 20 * number,
                y_mm=y,
                z_mm=z,
                diameter_mm=6.0,
                origin="drawn by the annotator",
            ).save()
    return sets, findings
