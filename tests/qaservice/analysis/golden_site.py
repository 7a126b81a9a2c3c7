"""A small project with two scans, a reader, and a detector whose predictions came with them."""

from __future__ import annotations

from pathlib import Path

from compliance.recording import SYSTEM
from qaservice.analysis.golden import add_golden_case
from qaservice.analysis.models import GoldenCase
from qaservice.labels.models import AnnotationSet, SetKind
from qaservice.projects.models import Project
from qaservice.projects.services import set_policies
from tests.imaging.readers.label_makers import CENTRE_MM, OTHER_SERIES, luna16, predictions_json
from tests.qaservice.studies.deliveries import ingest, outcomes, series_files, written_to

WHY = {"actor": SYSTEM, "reason": "a test"}
THRESHOLD = {
    "least_sensitivity": "0.5",
    "most_false_positives": "1",
    "smallest_mm": "3",
    "least_nodules": "2",
    "judged_on": "estimate",
}


def deliver(project: Project, folder: Path, *, detector_x_mm: float = CENTRE_MM[0]) -> None:
    """Deliver two scans with one reader's nodule each and a detector's finding on both, at that place."""
    wide = {"count": 6, "PixelSpacing": [2, 2]}
    files = {**series_files(**wide), **series_files(series=OTHER_SERIES, **wide)}
    files["nodules.csv"] = luna16() + luna16(series=OTHER_SERIES).partition(b"\n")[2]
    files["detector.json"] = predictions_json(x=detector_x_mm)
    files["detector-too.json"] = predictions_json(series=OTHER_SERIES, x=detector_x_mm)
    done = ingest(project, written_to(folder, files))
    assert outcomes(done)["detector.json"] == ("stored", "")


def reader_sets(project: Project) -> list[AnnotationSet]:
    """The reader's sets, by series."""
    rows = AnnotationSet.objects.filter(project=project, kind=SetKind.READER).select_related("series__project")
    return list(rows.order_by("series__series_instance_uid"))


def make_golden(project: Project) -> list[GoldenCase]:
    """Take both scans into the golden set with the reader's labels as the truth."""
    return [
        add_golden_case(series=row.series, annotation_set=row, synthetic=False, **WHY) for row in reader_sets(project)
    ]


def ask_of_models(project: Project, **terms: str) -> Project:
    """Set the fitness threshold: ``THRESHOLD`` with these terms instead."""
    return set_policies(project=project, policies={"fitness_threshold": THRESHOLD | terms}, **WHY)
