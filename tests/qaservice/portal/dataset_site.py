"""A made-up cohort in a project: its series with facts, and what the dataset checks say of it."""

from __future__ import annotations

import uuid
from dataclasses import asdict, replace

from compliance.recording import SYSTEM, change
from imaging.checks.dataset import CHEST_CT_DATASET
from imaging.dataset_pipeline import analyse_dataset
from imaging.facts.types import DatasetFacts
from qaservice.analysis.concerns import store_concerns
from qaservice.analysis.dataset_models import DatasetPass
from qaservice.analysis.facts import keep_facts, written_facts
from qaservice.analysis.models import AnalysisRun
from qaservice.projects.label_rules import current_rules, rule_set
from qaservice.projects.models import Project
from qaservice.studies.models import Series, Study
from tests.factories.facts import cohort, copied_hashes, with_series

RULES = """rules:
  - id: small-is-small
    version: "1"
    severity: impossible
    about: finding
    message: A nodule under 3 mm cannot be this large.
    where: {field: category, is: "nodule < 3 mm"}
    must: {field: diameter_mm, at_most: 2.2}
  - id: three-readers
    version: "2"
    severity: doubtful
    about: series
    message: Every scan is read by three readers.
    must: {field: readers, at_least: 3}
"""


def troubled_cohort(*, series: int) -> DatasetFacts:
    """A cohort in which one scan is held twice and one was read by a single reader."""
    facts = cohort(seed=11, series=series)
    first, second, third = facts.series[0], facts.series[1], facts.series[2]
    twin = replace(second, slice_hashes=copied_hashes(first.slice_hashes, bits=2, seed=3))
    alone = replace(third, findings=tuple(one for one in third.findings if one.reader_label == "Reader 1"))
    return with_series(facts, twin, alone)


def keep_cohort(*, project: Project, run: AnalysisRun, facts: DatasetFacts) -> None:
    """Store series and facts as if a run had looked at them; series that the project holds are left as they are."""
    for number, one in enumerate(facts.series):
        written = written_facts(one)
        with change("study.registered", actor=SYSTEM, reason="for a test", subject=("study", "test")):
            row = Series.objects.filter(project=project, series_instance_uid=one.series_instance_uid).first()
            if row is None:
                study = Study(
                    project=project,
                    study_instance_uid=f"2.25.{uuid.uuid4().int}",
                    patient_key=f"MADE-{number:02d}",
                )
                study.save()
                row = Series(
                    study=study,
                    project=project,
                    series_instance_uid=one.series_instance_uid,
                    modality="CT",
                    frame_of_reference_uid="2.25.7",
                    state="refused",
                    verdict=[{"code": "made-up", "message": "This series has facts and no image."}],
                    instance_count=40,
                )
                row.save()
            keep_facts(run=run, series=row, written=written)


def look_at_dataset(*, run: AnalysisRun, facts: DatasetFacts) -> None:
    """Keep how the dataset checks and the project's rules ended over these facts, and their concerns."""
    rules = current_rules(project=run.project)
    outcome = analyse_dataset(facts=facts, parameters=CHEST_CT_DATASET, rules=rule_set(rules))
    with change(
        "dataset.checked",
        actor=SYSTEM,
        reason="for a test",
        subject=("run", str(run.pk)),
        project_key=run.project.key,
    ):
        DatasetPass(
            run=run,
            parameters=asdict(CHEST_CT_DATASET),
            rules=rules,
            checks=[asdict(one) for one in outcome.checks],
        ).save()
        store_concerns(run=run, found=outcome.concerns)
