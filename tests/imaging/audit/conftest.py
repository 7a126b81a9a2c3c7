"""One synthetic study with its readers' labels on disk, and an audit of it made once."""

from __future__ import annotations

import json
import math
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from imaging.audit.result import Audit
from imaging.audit.run import AuditRequest, audit
from imaging.masks.measure import centroid
from imaging.phantom.chest import PhantomCase, chest_phantom
from imaging.phantom.dicom import write_series
from imaging.phantom.lidc_xml import write_lidc_xml
from imaging.phantom.simulated_readers import simulated_readers
from tests.imaging.inference.conftest import make_bundle


@dataclass(frozen=True)
class Study:
    """``ct`` is a folder of DICOM, ``zipped`` the same as an archive; ``labels``, ``predictions`` are label files."""

    phantom: PhantomCase
    ct: Path
    zipped: Path
    labels: Path
    predictions: Path
    missed_mm: tuple[float, float, float]


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Four readers of one scan, one of whom overlooked a nodule, which an algorithm elsewhere reports."""
    folder = tmp_path_factory.mktemp("study")
    phantom = chest_phantom(seed=11, shape=(48, 160, 160), spacing_mm=(3.0, 2.0, 2.0), nodule_count=4)
    paths = write_series(case=phantom, directory=folder / "ct")
    zipped = folder / "ct.zip"
    with zipfile.ZipFile(zipped, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in paths:
            archive.write(path, f"scan/{path.name}")
    sets = list(simulated_readers(case=phantom, seed=2, count=4))
    large = max(phantom.nodules, key=lambda nodule: nodule.diameter_mm)
    kept = tuple(
        finding
        for finding in sets[3].findings
        if finding.mask is None or math.dist(centroid(finding.mask), large.centre_mm) > large.diameter_mm
    )
    assert len(kept) < len(sets[3].findings)
    sets[3] = type(sets[3])(sets[3].set_id, sets[3].reader_label, sets[3].kind, True, kept)
    labels = folder / "readers.xml"
    write_lidc_xml(case=phantom, annotation_sets=tuple(sets), path=labels)
    predictions = folder / "predictions.json"
    shape = {
        "shape": "sphere",
        "position_mm": list(large.centre_mm),
        "diameter_mm": min(large.diameter_mm, 28.0),
        "label": "nodule",
        "confidence": 0.97,
    }
    case = {"series_instance_uid": phantom.volume.series_instance_uid, "predictions": [shape]}
    case["class_probabilities"] = {"malignant": 0.31}
    document = {
        "format": "label-qa-predictions",
        "version": 1,
        "algorithm": {"name": "detector-of-site-4", "version": "2.1"},
        "cases": [case],
    }
    predictions.write_text(json.dumps(document))
    return Study(phantom, folder / "ct", zipped, labels, predictions, large.centre_mm)


def audited(study: Study, *labels: Path, ct: Path | None = None, nodule_names: tuple[str, ...] = ()) -> Audit:
    """An audit without a model."""
    request = AuditRequest(
        ct=ct or study.ct,
        labels=labels,
        bundle=None,
        nodule_names=nodule_names,
        threads=1,
        backend="auto",
        made_at="2026-01-01 00:00",
    )
    return audit(request=request, progress=lambda message: None)


@pytest.fixture(scope="session")
def outcome(study: Study) -> Audit:
    """The audit of the readers' labels with the predictions."""
    return audited(study, study.labels, study.predictions)


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained model, enough to test that one is asked."""
    return make_bundle(tmp_path_factory.mktemp("model"))
