"""What a QA model makes of one series: the one way from a registered model to its prediction."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from django.conf import settings

from imaging.errors import NotApplicable
from imaging.inference.bundle import load_bundle
from imaging.inference.predict import input_digest, predict
from imaging.types import PointMm, Prediction, Volume
from qaservice.analysis.approvals import require_runnable
from qaservice.analysis.external import external_opinion
from qaservice.analysis.foreign import foreign_result
from qaservice.analysis.models import QAModel
from qaservice.projects.models import Project
from qaservice.studies.models import Series


@dataclass(frozen=True)
class Opinion:
    """What a model made of one series: its prediction, or why it has none.

    ``how``: what more there is to know of a foreign bundle's run (confinement, what was overridden), as JSON.
    """

    model_sha256: str
    input_sha256: str
    prediction: Prediction | None = None
    abstained_because: str = ""
    how: Mapping[str, object] = field(default_factory=dict)

    @property
    def threshold(self) -> float | None:
        """The operating point of the prediction, None where the model abstained."""
        return self.prediction.threshold if self.prediction else None


def opinion_of(
    *,
    model: QAModel,
    predictions: str,
    project: Project,
    series: Series,
    volume: Volume,
    places: Sequence[PointMm],
    progress: Callable[[int, int], None],
) -> Opinion:
    """Return a model's opinion on a series; one that abstains says why.

    ``predictions`` names the algorithm whose imported predictions speak for an external model. ``places``: LPS mm,
    where outlines are wanted. ``progress`` is told (parts done, parts in all).
    """
    opinion = no_opinion(model=model, volume=volume, because="")
    if model.external:
        imported = external_opinion(project=project, model=model, name=predictions, series=series)
        if imported is None:
            return replace(opinion, abstained_because=f"no predictions of {predictions} are held for it")
        return replace(opinion, prediction=imported)
    if model.foreign:
        # Asked again at every series: an approval may have been withdrawn since the run was requested.
        require_runnable(project=project, model=model)
        result = foreign_result(
            model=model, volume=volume, places=places, progress=lambda done, total, _note: progress(done, total)
        )
        return replace(opinion, prediction=result.prediction, how=result.record)
    bundle = load_bundle(settings.MODEL_BUNDLE, expected_sha256=model.bundle_sha256)
    try:
        prediction = predict(
            volume,
            bundle,
            places=places,
            progress=progress,
            checkpoint_dir=settings.DERIVED_DIR / "tiles",
            threads=settings.INFERENCE_THREADS,
            backend=settings.INFERENCE_BACKEND,
        )
    except NotApplicable as refusal:
        # A scan without lungs in it still has labels to compare with each other.
        return replace(opinion, abstained_because=refusal.message)
    return replace(opinion, prediction=prediction)


def no_opinion(*, model: QAModel, volume: Volume, because: str) -> Opinion:
    """Return that a model says nothing of a volume, and why."""
    return Opinion(model_sha256=model.bundle_sha256, input_sha256=input_digest(volume), abstained_because=because)
