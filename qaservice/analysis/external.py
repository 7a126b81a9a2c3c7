"""Predictions made elsewhere in the place of the QA model: which stored sets they are, pinned by what they came in."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

from compliance.recording import Actor, change
from imaging.predictions import external_prediction
from imaging.types import AnnotationSet as ImagingSet
from imaging.types import ModelIdentity, Prediction
from qaservice.analysis.models import QAModel
from qaservice.common.errors import Conflict
from qaservice.labels.models import AnnotationSet, SetKind
from qaservice.labels.selectors import algorithm_of, annotation_sets_of
from qaservice.projects.models import Project
from qaservice.studies.models import Series

OPERATING_POINT = 0.5
"""From which of its own confidences an algorithm counts as having reported something, where nobody states a point."""

CARD = """Predictions made elsewhere, imported into this project and used in the place of a QA model.

- The confidences are the algorithm's own. They were not calibrated here and say nothing about how often it is right.
- No size range in which it was validated and no sensitivity is known here: its silence is evidence of nothing, and
  checks that would need either abstain and say so.
- What it reports counts as one more reader's mark.
- Its weights were never seen here. What is pinned is the digest of the files that the predictions came in.
- Whether it was trained on the labels that it is used to check is not known here; if it was, it repeats their errors.
"""


def prediction_sets(project: Project) -> list[AnnotationSet]:
    """Return the sets of predictions that a project holds, by name, version and series."""
    rows = AnnotationSet.objects.filter(project=project, kind=SetKind.ALGORITHM, read=True).select_related("series")
    return sorted(rows, key=lambda row: (*_identity(row), row.series.series_instance_uid, str(row.pk)))


def prediction_names(project: Project) -> list[str]:
    """Return the names by which a project's predictions can be asked for: the algorithm with its version, if any."""
    return list(dict.fromkeys(_full_name(row) for row in prediction_sets(project)))


def sets_named(*, project: Project, name: str) -> list[AnnotationSet]:
    """Return the sets of the algorithm of that name (with or without its version).

    Raises Conflict ``no-such-predictions`` where there is none, ``predictions-ambiguous`` where the name alone fits
    several versions.
    """
    rows = prediction_sets(project)
    wanted = name.strip()
    found = [row for row in rows if wanted in {_full_name(row), _identity(row)[0]}]
    if not found:
        names = "; ".join(dict.fromkeys(_full_name(row) for row in rows)) or "none"
        raise Conflict(f"no predictions of that name are held here; held are: {names}", code="no-such-predictions")
    versions = list(dict.fromkeys(_full_name(row) for row in found))
    exact = [row for row in found if _full_name(row) == wanted]
    if len(versions) > 1 and not exact:
        raise Conflict(
            f"that name fits several algorithms; name one of: {'; '.join(versions)}", code="predictions-ambiguous"
        )
    return exact or found


def register_external(*, project: Project, name: str, actor: Actor, reason: str) -> QAModel:
    """Register the algorithm whose predictions are held under that name, pinned by the bytes that they came in.

    One file is pinned by its SHA-256, several by the SHA-256 of their sorted digests. Returns a known one as it is.
    Raises as ``sets_named`` does.
    """
    rows = sets_named(project=project, name=name)
    algorithm, version = _identity(rows[0])
    sources = sorted({str(row.source_id) for row in rows if row.source_id})
    # Two algorithms may come in one file: the name is part of what is pinned as soon as it is not the file alone.
    pinned = sources[0] if len(sources) == 1 else hashlib.sha256("\n".join(sources).encode()).hexdigest()
    known = QAModel.objects.filter(bundle_sha256=pinned).first()
    if known is not None and (known.name, known.version) != (algorithm[:100], version[:40]):
        pinned = hashlib.sha256("\n".join([algorithm, version, *sources]).encode()).hexdigest()
        known = QAModel.objects.filter(bundle_sha256=pinned).first()
    if known is not None:
        return known
    model = QAModel(
        name=algorithm[:100],
        version=version[:40],
        bundle_sha256=pinned,
        external=True,
        metadata={
            "description": "Predictions made elsewhere, with confidences that were not calibrated here",
            "sources": sources,
        },
        model_card=CARD,
    )
    with change(
        "model.registered",
        actor=actor,
        reason=reason,
        subject=("model", str(model.pk)),
        payload={"bundle_sha256": pinned, "name": model.name, "version": model.version, "external": True},
    ):
        model.save()
    return model


def external_opinion(*, project: Project, model: QAModel, name: str, series: Series) -> Prediction | None:
    """Return what an external algorithm predicted on a series, None where nothing of it is held there."""
    rows = [row for row in sets_named(project=project, name=name) if row.series_id == series.pk]
    # What was delivered after the model was registered is not what it is pinned by.
    rows = [row for row in rows if row.source_id in model.metadata["sources"]]
    if not rows:
        return None
    ids = {str(row.pk) for row in rows}
    sets = [one for one in annotation_sets_of(series=series, kinds=[SetKind.ALGORITHM]) if one.set_id in ids]
    said = external_prediction(
        annotation_set=_together(sets), source_sha256=model.bundle_sha256, threshold=OPERATING_POINT
    )
    identity = ModelIdentity(name=model.name, version=model.version, bundle_sha256=model.bundle_sha256)
    return replace(said, model=identity)


def _together(sets: Sequence[ImagingSet]) -> ImagingSet:
    """Return several files' predictions of one algorithm on one series as one set."""
    return replace(sets[0], findings=tuple(finding for one in sets for finding in one.findings))


def _identity(row: AnnotationSet) -> tuple[str, str]:
    algorithm = algorithm_of(row)
    if algorithm is None or not algorithm.name:
        return row.reader_label, "" if algorithm is None else algorithm.version
    return algorithm.name, algorithm.version


def _full_name(row: AnnotationSet) -> str:
    return " ".join(part for part in _identity(row) if part)
