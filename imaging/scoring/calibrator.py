"""From a check's reasoned score and what it rests on to the calibrated probability that the label is wrong.

One additive model a check, on the log-odds of its own score and the named numbers in ``evidence["features"]``, each of
which may bend, fitted to labels that were spoilt on purpose (``imaging.training.fit_scores``). The coefficients ship
with the package and say where they come from. A check without a model for its very version, or whose model was fitted
with the predictions of another QA model, keeps its reasoned score, and the evidence says so.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from itertools import pairwise

from imaging.checks.probability import SCORE_BASIS
from imaging.types import LabelIssue

FORMAT = 2
EDGE = 1e-6
CALIBRATED = "calibrated on known truth"


@dataclass(frozen=True, slots=True)
class FeatureTerm:
    """What one named number adds to the log-odds: straight pieces between knots, level beyond the outermost.

    ``knots``: rising values of the number; ``steps``: what is added on the way from each to the next, one less than
    there are knots. Nothing is extrapolated beyond the range that was fitted. ``missing``: what is added where the
    number is absent. ``monotone``: 1 where more may never make the label less suspect, -1 for the opposite, 0 where
    either may be.
    """

    name: str
    knots: tuple[float, ...]
    steps: tuple[float, ...]
    missing: float
    monotone: int

    def effect(self, value: float | None) -> float:
        """Return the log-odds that a value adds; None and what is not finite count as absent."""
        if value is None or not math.isfinite(value):
            return self.missing
        return sum(step * part for step, part in zip(self.steps, parts_of(value, self.knots), strict=True))


@dataclass(frozen=True, slots=True)
class CheckModel:
    """The model of one check at one version.

    ``slope``, on the log-odds of the check's own score, is never negative: a surer check never gives a smaller
    probability. ``floor`` and ``ceiling`` bound the result to what so many examples can show. ``rests_on_model``: the
    examples contained a QA model's opinion.
    """

    check: str
    version: str
    intercept: float
    slope: float
    terms: tuple[FeatureTerm, ...]
    floor: float
    ceiling: float
    examples: int
    wrong: int
    rests_on_model: bool

    def probability(self, *, score: float, features: Mapping[str, float]) -> float:
        """Return the calibrated probability that the label is wrong, never decreasing in ``score``."""
        odds = self.intercept + self.slope * logit(score)
        odds += sum(term.effect(features.get(term.name)) for term in self.terms)
        return min(max(expit(odds), self.floor), self.ceiling)


@dataclass(frozen=True, slots=True)
class Calibration:
    """Every check's model, what further independent support is worth, and where all of it comes from.

    ``support_gain``: log-odds that each further kind of evidence adds to the surest one (``scoring.merge``).
    ``provenance``: seeds, code version, bundle, number of examples, date; recorded with every run.
    """

    models: Mapping[str, CheckModel]
    support_gain: float
    provenance: Mapping[str, object]

    def model_for(self, *, issue: LabelIssue, weights_sha256: str | None) -> CheckModel | None:
        """Return the model that may speak about an issue, None where there is none.

        ``weights_sha256``: digest of the weights of the QA model that was heard, None where none was.
        """
        model = self.models.get(issue.check)
        if model is None or model.version != issue.check_version:
            return None
        if model.rests_on_model and weights_sha256 != self.provenance.get("weights_sha256"):
            return None
        return model


UNCALIBRATED = Calibration(models={}, support_gain=0.0, provenance={})
"""No model for any check: every score stays the check's own."""


def calibrated(*, issue: LabelIssue, calibration: Calibration, weights_sha256: str | None) -> LabelIssue:
    """Return the issue with its calibrated probability as score.

    Its evidence keeps the check's own score as ``raw_score`` and says under ``score_basis`` what the new one is.
    """
    model = calibration.model_for(issue=issue, weights_sha256=weights_sha256)
    if model is None:
        basis = _why_not(issue, calibration)
        return replace(issue, evidence={**issue.evidence, "raw_score": issue.score, "score_basis": basis})
    probability = model.probability(score=issue.score, features=features_of(issue))
    basis = (
        f"{CALIBRATED}: {model.examples} sightings of labels spoilt on purpose and of honest ones "
        f"({calibration.provenance.get('date', 'no date')})"
    )
    return replace(
        issue, score=probability, evidence={**issue.evidence, "raw_score": issue.score, "score_basis": basis}
    )


def features_of(issue: LabelIssue) -> dict[str, float]:
    """Return the finite numbers among what the issue's score rests on, by name."""
    features = issue.evidence.get("features")
    if not isinstance(features, Mapping):
        return {}
    return {
        str(name): float(value)
        for name, value in features.items()
        if isinstance(value, int | float) and math.isfinite(value)
    }


@cache
def shipped_calibration() -> Calibration:
    """Return the calibration that ships with the package."""
    return read_calibration(resources.files("imaging.scoring").joinpath("calibration.json").read_text("utf-8"))


def read_calibration(text: str) -> Calibration:
    """Return a calibration from its JSON. Raises ValueError, saying where, if it is not one or breaks a promise."""
    content = json.loads(text)
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError(f"a calibration of format {FORMAT} is expected")
    models = {}
    for check, one in content["checks"].items():
        terms = tuple(
            FeatureTerm(**{**term, "knots": tuple(term["knots"]), "steps": tuple(term["steps"])})
            for term in one["terms"]
        )
        model = CheckModel(**{**one, "check": check, "terms": terms})
        _require_sound(model)
        models[check] = model
    return Calibration(models, float(content["support_gain"]), dict(content["provenance"]))


def calibration_as_json(calibration: Calibration) -> str:
    """Return a calibration as JSON, the same text for the same calibration."""
    checks = {}
    for name, model in sorted(calibration.models.items()):
        checks[name] = {
            "version": model.version,
            "intercept": model.intercept,
            "slope": model.slope,
            "floor": model.floor,
            "ceiling": model.ceiling,
            "examples": model.examples,
            "wrong": model.wrong,
            "rests_on_model": model.rests_on_model,
            "terms": [
                {field: getattr(term, field) for field in FeatureTerm.__dataclass_fields__} for term in model.terms
            ],
        }
    content = {
        "format": FORMAT,
        "provenance": dict(calibration.provenance),
        "support_gain": calibration.support_gain,
        "checks": checks,
    }
    return json.dumps(content, indent=2, sort_keys=True) + "\n"


def parts_of(value: float, knots: Sequence[float]) -> list[float]:
    """Return how much of the way from each knot to the next a value has gone, in [0, 1] each."""
    return [min(max((value - low) / (high - low), 0.0), 1.0) for low, high in pairwise(knots)]


def logit(probability: float) -> float:
    """Return the log-odds of a probability, held within 1e-6 of 0 and 1."""
    bounded = min(max(probability, EDGE), 1 - EDGE)
    return math.log(bounded / (1 - bounded))


def expit(odds: float) -> float:
    """Return the probability of log-odds."""
    return 1 / (1 + math.exp(-odds)) if odds >= 0 else math.exp(odds) / (1 + math.exp(odds))


def _why_not(issue: LabelIssue, calibration: Calibration) -> str:
    model = calibration.models.get(issue.check)
    if model is None:
        return SCORE_BASIS
    if model.version != issue.check_version:
        return f"{SCORE_BASIS} for version {issue.check_version} of this check"
    return f"{SCORE_BASIS} with the QA model that was heard here"


def _require_sound(model: CheckModel) -> None:
    if model.slope < 0:
        raise ValueError(f"the slope of {model.check} is negative: a surer check would give a smaller probability")
    if not 0 <= model.floor <= model.ceiling <= 1:
        raise ValueError(f"the bounds of {model.check} are no probabilities")
    for term in model.terms:
        if len(term.steps) != len(term.knots) - 1 or any(low >= high for low, high in pairwise(term.knots)):
            raise ValueError(f"the knots of {term.name} in {model.check} do not rise, or have not a step between each")
        if any(term.monotone * step < 0 for step in term.steps):
            raise ValueError(f"a step of {term.name} in {model.check} points against what it must mean")
