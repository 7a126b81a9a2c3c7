"""How the checks turn evidence into a score in [0, 1]: reasoned formulas, stated here once.

None of them is calibrated yet. They are built so that 0.5 means "as likely wrong as right" under their stated
assumptions, and every issue says ``"score_basis": SCORE_BASIS`` in its evidence until scores are fitted to known truth.
"""

from __future__ import annotations

import math

from scipy import special

SCORE_BASIS = "reasoned formula, not calibrated on known truth"

BROKEN_RULE = 0.97
"""Score where a rule without measurement error is broken; the rest is the chance that the file was misread."""

# Jeffreys' prior for a share: as little as possible said beforehand, half a reader on either side.
_JEFFREYS = 0.5
_EDGE = 1e-6


def majority_would_mark(*, marked: float, silent: float, model_probability: float | None, model_weight: float) -> float:
    """Return the probability that more than half of all readers would mark this place as a nodule.

    The share of readers who would has a beta posterior: Jeffreys' prior plus one count for each reader who marked it
    or read the case and did not (the suspect among them, whose silence is evidence too). The model, where it spoke,
    takes the place of the prior: its calibrated probability q enters as ``model_weight`` readers, a share q of whom
    marked it. Readers are held to be exchangeable; that they overlook the same subtle lesions is why votes enter as
    counts of a share and not as independent likelihoods, which would make four silent readers beat any model.
    """
    alpha, beta = _prior(model_probability, model_weight)
    return _clip(float(special.betaincc(alpha + marked, beta + silent, 0.5)))


def fewer_than_a_quarter_would_mark(
    *, marked: float, silent: float, model_probability: float | None, model_weight: float
) -> float:
    """Return the probability that fewer than one reader in four would mark this place, given the votes.

    The posterior is that of ``majority_would_mark``, so a model that sees the place too speaks for the mark.
    The border is a quarter and not a half because a lesion that one expert in four marks is disagreement, not error:
    such a mark is in doubt only if even that share is luck.
    """
    alpha, beta = _prior(model_probability, model_weight)
    return _clip(float(special.betainc(alpha + marked, beta + silent, 0.25)))


def spurious(
    *,
    prior: float,
    model_sensitivity: float,
    whisper: float | None,
    confirming_readers: int,
    reader_sensitivity: float,
    reader_false_mark: float,
) -> float:
    """Return the probability that a label marks nothing real, given that the model did not report it.

    Bayes' rule on the odds ``prior / (1 - prior)``. The model's silence is 1 / (1 - sensitivity at this size) times
    likelier where there is nothing (its specificity at one given place is taken as 1); where it whispered, with a
    calibrated probability below its threshold, the odds move by no more than (1 - whisper) / whisper. Each other
    reader who marked the place divides the odds by how much likelier readers mark nodules than other places. Other
    readers' silence is left out on purpose: that evidence belongs to the check on disagreement.
    """
    silence = 1.0 / max(1.0 - model_sensitivity, 0.01)
    if whisper is not None:
        bounded = min(max(whisper, _EDGE), 1 - _EDGE)
        silence = min(silence, (1 - bounded) / bounded)
    odds = prior / (1 - prior) * silence
    odds *= (reader_false_mark / reader_sensitivity) ** confirming_readers
    return _clip(odds / (1 + odds))


def beyond_tolerance(*, deviation: float, tolerance: float, spread: float) -> float:
    """Return the probability that a deviation measured with normal error ``spread`` truly exceeds ``tolerance``."""
    return _clip(float(special.ndtr((deviation - tolerance) / spread)))


def pool(*, opinions: tuple[tuple[float, float], ...]) -> float:
    """Return one probability from several (probability, weight) by adding their weighted log-odds.

    0.5 is neutral; a weight below 1 holds an opinion back towards neutral. Opinions that contradict each other cancel.
    """
    total = sum(weight * float(special.logit(_clip(probability))) for probability, weight in opinions)
    return _clip(float(special.expit(total)))


def _prior(model_probability: float | None, model_weight: float) -> tuple[float, float]:
    if model_probability is None:
        return _JEFFREYS, _JEFFREYS
    bounded = min(max(model_probability, 0.01), 0.99)
    return model_weight * bounded, model_weight * (1 - bounded)


def _clip(value: float) -> float:
    if math.isnan(value):
        raise ValueError("a score came out as not a number")
    return min(max(value, _EDGE), 1 - _EDGE)
