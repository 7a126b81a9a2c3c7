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
_SURE = 1e-4


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
    place_probability: float | None,
    model_sensitivity: float | None,
    candidate_probability: float | None,
    contrast_hu: float | None,
    least_contrast_hu: float,
    nothing_there_odds: float,
    confirming_readers: int,
    silent_readers: int,
    silence_weight: float,
    reader_sensitivity: float,
    reader_share_spread: float,
    reader_false_mark: float,
) -> float:
    """Return the probability that a label marks nothing real, by Bayes' rule on the odds ``prior / (1 - prior)``.

    What each witness multiplies the odds by:

    *The model asked at this very place* (``place_probability`` p, calibrated; None where it was not asked): its odds
    against, (1 - p) / p. It answered about these voxels and no others, so it is the strongest.
    *The model searching the scan*: where it reported nothing here, 1 / (1 - ``model_sensitivity``) at this size (its
    specificity at one given place is taken as 1; None where none is stated, and then silence is nothing); where it
    gave a candidate with calibrated probability q, (1 - q) / q, silence or not the lesser of the two where it was below
    its threshold. Where it was asked at the place too, only the square root counts: the same network saw the same
    voxels twice.
    *The image*: ``nothing_there_odds`` where the label is no denser than the lung around it, falling to 1 with
    contrast above ``least_contrast_hu``.
    *Readers who marked it too*: ``reader_false_mark / reader_sensitivity`` each.
    *Readers who read the case and did not*: for a true nodule the share of readers who mark it varies from nodule to
    nodule, as a beta distribution with mean ``reader_sensitivity`` and ``reader_share_spread`` as the sum of its
    parameters; so the silence of three is much weaker evidence than three times that of one. ``silence_weight`` in
    [0, 1] holds it back for what readers are not asked to find.
    """
    odds = prior / (1 - prior)
    found = _search_factor(model_sensitivity, candidate_probability)
    if place_probability is not None:
        bounded = min(max(place_probability, 0.01), 0.99)
        odds *= (1 - bounded) / bounded
        found = math.sqrt(found)
    odds *= found
    if contrast_hu is not None:
        nothing = float(special.expit((least_contrast_hu - contrast_hu) / (least_contrast_hu / 3)))
        odds *= 1 + (nothing_there_odds - 1) * nothing
    odds *= (reader_false_mark / reader_sensitivity) ** confirming_readers
    if silent_readers:
        alpha = reader_sensitivity * reader_share_spread
        beta = reader_share_spread - alpha
        overlooked = math.exp(float(special.betaln(alpha, beta + silent_readers) - special.betaln(alpha, beta)))
        odds *= ((1 - reader_false_mark) ** silent_readers / overlooked) ** silence_weight
    return _clip(odds / (1 + odds))


def _search_factor(sensitivity: float | None, candidate: float | None) -> float:
    silence = 1.0 if sensitivity is None else 1.0 / max(1.0 - sensitivity, 0.01)
    if candidate is None:
        return silence
    bounded = min(max(candidate, 0.01), 0.99)
    return min(silence, (1 - bounded) / bounded)


def all_elsewhere(*, labels: int, prior_one: float, prior_set: float) -> float:
    """Return the probability that a set belongs to another image, given that each of its labels marks nothing here.

    Either the set as a whole is astray (``prior_set``), or each label for itself (``prior_one``, independently).
    """
    odds = prior_set / (1 - prior_set) / prior_one**labels
    return _clip(odds / (1 + odds))


def from_log_odds(*, prior: float, weights: tuple[float, ...]) -> float:
    """Return the probability after adding each witness's log-odds to those of ``prior``."""
    return _clip(float(special.expit(special.logit(_clip(prior)) + sum(weights))))


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
    # Near to certain, and still in order: two candidates of 99.1 and 99.9 % are not one as good as the other.
    bounded = min(max(model_probability, _SURE), 1 - _SURE)
    return model_weight * bounded, model_weight * (1 - bounded)


def _clip(value: float) -> float:
    if math.isnan(value):
        raise ValueError("a score came out as not a number")
    return min(max(value, _EDGE), 1 - _EDGE)
