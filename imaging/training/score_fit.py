"""Fitting a check's probability to known truth: a ridge logistic model with signs that must hold, and what it is worth.

Whole scans are held out together (grouped cross-validation), since the issues of one scan are anything but independent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

from imaging.evaluation.calibration import ReliabilityRow, brier_score, expected_calibration_error, reliability_table
from imaging.scoring.calibrator import CheckModel, FeatureTerm, logit

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

FOLDS = 5
BINS = 10
STRENGTHS = (1.0, 4.0, 16.0, 64.0)
"""How hard weights are held at nothing; the one with the smallest cross-validated loss is taken."""

SLOPE_STRENGTH = 1.0
"""How hard the slope on the check's own log-odds is held at 1."""

LEAST_EXAMPLES = 40
"""Fewer teach nothing: the check keeps its reasoned score."""

LEAST_OF_EACH = 12
"""With fewer right or fewer wrong ones only the score itself is recalibrated: features could teach nothing."""

INTERCEPT_STRENGTH = 0.05
"""Holds the intercept where all examples are alike; what so few can show at most is bounded beside it."""

LEAST_PRESENT = 0.05
"""A feature that fewer of a check's examples have than this is left out."""

MONOTONE = {
    "deviation_mm": 1,
    "model_deviation_mm": 1,
    "others_deviation_mm": 1,
    "confirming_readers": -1,
    "displaced_overlap": 1,
    "displaced_agreement": 1,
}
"""Numbers that may only raise (1) or lower (-1) the probability, for every check: otherwise nobody could explain it."""

MONOTONE_OF = {
    ("missing_nodule", "model_probability"): 1,
    ("spurious_label", "model_probability"): -1,
    ("spurious_label", "model_sensitivity_at_size"): 1,
}


@dataclass(frozen=True, slots=True)
class Example:
    """One issue with its truth. ``group``: the scan; ``score``: the check's own."""

    check: str
    version: str
    group: str
    score: float
    features: Mapping[str, float]
    wrong: bool


@dataclass(frozen=True, slots=True)
class Fit:
    """What was made of one check's examples, cross-validated: before (the reasoned scores) and after.

    ``model`` is None where the examples do not suffice or teach nothing; ``why`` says so. ``after`` are out-of-fold
    probabilities, in the order of the examples.
    """

    check: str
    model: CheckModel | None
    why: str
    examples: int
    wrong: int
    before: Quality | None
    after: Quality | None
    out_of_fold: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Quality:
    """How far scores may be read as probabilities: error over equal-mass bins, Brier score, log loss, the table."""

    ece: float
    brier: float
    log_loss: float
    table: tuple[ReliabilityRow, ...]


def fit_check(*, examples: Sequence[Example], rests_on_model: bool) -> Fit:
    """Return the model of one check and version, with its cross-validated quality.

    Raises ValueError for examples of several checks or versions.
    """
    kinds = {(one.check, one.version) for one in examples}
    if len(kinds) != 1:
        raise ValueError(f"one check at one version is fitted at a time, not {sorted(kinds)}")
    check, version = kinds.pop()
    wrong = np.array([one.wrong for one in examples], dtype=np.bool_)
    raw = np.array([one.score for one in examples], dtype=np.float64)
    groups = [one.group for one in examples]
    before = quality(scores=raw, truths=wrong)
    least = min(int(wrong.sum()), int((~wrong).sum()))
    if len(examples) < LEAST_EXAMPLES or len(set(groups)) < FOLDS:
        why = f"{len(examples)} examples, {int(wrong.sum())} of them wrong, are too few"
        return Fit(check, None, why, len(examples), int(wrong.sum()), before, None, tuple(map(float, raw)))
    tried = []
    choices = [_names(examples), []] if least >= LEAST_OF_EACH else [[]]
    for strength in STRENGTHS:
        for names in choices:
            held_out = _out_of_fold(examples, groups, names, strength, rests_on_model)
            tried.append((quality(scores=held_out, truths=wrong).log_loss, strength, names, held_out))
    loss, strength, names, held_out = min(tried, key=lambda one: (one[0], -one[1], len(one[2])))
    after = quality(scores=held_out, truths=wrong)
    if loss >= before.log_loss:
        why = "no fit was better than the reasoned score on held-out scans"
        return Fit(check, None, why, len(examples), int(wrong.sum()), before, after, tuple(map(float, raw)))
    model = _model(examples, names, strength, check, version, rests_on_model)
    return Fit(check, model, "", len(examples), int(wrong.sum()), before, after, tuple(map(float, held_out)))


def quality(*, scores: FloatArray, truths: BoolArray) -> Quality:
    """Return how far scores may be read as probabilities."""
    bounded = np.clip(scores, 1e-4, 1 - 1e-4)
    loss = -np.mean(np.where(truths, np.log(bounded), np.log1p(-bounded)))
    return Quality(
        ece=expected_calibration_error(scores=scores, truths=truths, bins=BINS),
        brier=brier_score(scores=scores, truths=truths),
        log_loss=float(loss),
        table=reliability_table(scores=scores, truths=truths, bins=BINS),
    )


def fit_support_gain(*, odds: FloatArray, further: FloatArray, truths: BoolArray, groups: Sequence[str]) -> float:
    """Return what each further source of evidence adds in log-odds; nothing where held-out scans do not gain by it.

    ``odds``: (n,) log-odds of the surest check of each merged issue; ``further``: (n,) how many other sources speak.
    """
    if not np.any(further > 0) or len(set(groups)) < FOLDS:
        return 0.0
    gained = plain = 0.0
    for train, test in _folds(groups):
        gain = _gain(odds[train], further[train], truths[train])
        gained += _loss(odds[test] + gain * further[test], truths[test])
        plain += _loss(odds[test], truths[test])
    return round(_gain(odds, further, truths), 4) if gained < plain else 0.0


def _gain(odds: FloatArray, further: FloatArray, truths: BoolArray) -> float:
    found = optimize.minimize_scalar(
        lambda gain: _loss(odds + gain * further, truths) + gain**2 / 2, bounds=(0.0, 3.0), method="bounded"
    )
    return float(found.x)


def _loss(linear: FloatArray, truths: BoolArray) -> float:
    return float(np.sum(np.logaddexp(0.0, linear) - truths * linear))


def _names(examples: Sequence[Example]) -> list[str]:
    """Return the features that are worth fitting: measured often enough, and not all alike."""
    found = []
    for name in sorted({name for one in examples for name in one.features} - {"score"}):
        values = [one.features[name] for one in examples if name in one.features]
        if len(values) >= max(LEAST_OF_EACH, LEAST_PRESENT * len(examples)) and (
            max(values) > min(values) or len(values) < len(examples)
        ):
            found.append(name)
    return found


def _out_of_fold(
    examples: Sequence[Example], groups: Sequence[str], names: Sequence[str], strength: float, rests_on_model: bool
) -> FloatArray:
    held_out = np.empty(len(examples), dtype=np.float64)
    for train, test in _folds(groups):
        kept = [examples[place] for place in train]
        model = _model(kept, names, strength, kept[0].check, kept[0].version, rests_on_model)
        held_out[test] = [
            model.probability(score=examples[place].score, features=examples[place].features) for place in test
        ]
    return held_out


def _folds(groups: Sequence[str]) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    from sklearn.model_selection import GroupKFold

    splitter = GroupKFold(n_splits=FOLDS)
    return list(splitter.split(np.zeros((len(groups), 1)), groups=list(groups)))


def _model(
    examples: Sequence[Example],
    names: Sequence[str],
    strength: float,
    check: str,
    version: str,
    rests_on_model: bool,
) -> CheckModel:
    blank = [_blank_term(examples, name, check) for name in names]
    design = _design(examples, blank)
    wrong = np.array([one.wrong for one in examples], dtype=np.float64)
    weights = _weights(design, wrong, blank, strength)
    count = len(blank)
    terms = tuple(
        FeatureTerm(
            name=term.name,
            centre=term.centre,
            scale=term.scale,
            low=term.low,
            high=term.high,
            weight=round(float(weights[2 + place]), 6) + 0.0,
            missing=round(float(weights[2 + count + place]), 6) + 0.0,
            monotone=term.monotone,
        )
        for place, term in enumerate(blank)
    )
    edge = 1 / (len(examples) + 2)
    return CheckModel(
        check=check,
        version=version,
        intercept=round(float(weights[0]), 6),
        slope=round(float(weights[1]), 6),
        terms=terms,
        floor=round(edge, 6),
        ceiling=round(1 - edge, 6),
        examples=len(examples),
        wrong=int(wrong.sum()),
        rests_on_model=rests_on_model,
    )


def _blank_term(examples: Sequence[Example], name: str, check: str) -> FeatureTerm:
    values = np.array([one.features[name] for one in examples if name in one.features], dtype=np.float64)
    if len(values) == 0:
        # A fold may have none of a rare number.
        values = np.zeros(1)
    # The outermost hundredths are outliers more often than knowledge.
    low, high = (float(value) for value in np.quantile(values, [0.01, 0.99]))
    clipped = np.clip(values, low, high)
    scale = float(clipped.std()) or 1.0
    monotone = MONOTONE_OF.get((check, name), MONOTONE.get(name, 0))
    return FeatureTerm(name, round(float(clipped.mean()), 6), round(max(scale, 1e-6), 6), low, high, 0.0, 0.0, monotone)


def _design(examples: Sequence[Example], terms: Sequence[FeatureTerm]) -> FloatArray:
    """(n, 2 + 2 terms): one, log-odds, standardised values (0 where absent), indicators of absence."""
    rows = np.zeros((len(examples), 2 + 2 * len(terms)), dtype=np.float64)
    for row, one in zip(rows, examples, strict=True):
        row[0], row[1] = 1.0, logit(one.score)
        for place, term in enumerate(terms):
            value = one.features.get(term.name)
            if value is None:
                row[2 + len(terms) + place] = 1.0
            else:
                row[2 + place] = (min(max(value, term.low), term.high) - term.centre) / term.scale
    return rows


def _weights(design: FloatArray, wrong: FloatArray, terms: Sequence[FeatureTerm], strength: float) -> FloatArray:
    count = len(terms)
    pull = np.concatenate([[INTERCEPT_STRENGTH, SLOPE_STRENGTH], np.full(2 * count, strength)])
    target = np.concatenate([[0.0, 1.0], np.zeros(2 * count)])

    def loss(weights: FloatArray) -> tuple[float, FloatArray]:
        linear = design @ weights
        value = float(np.sum(np.logaddexp(0.0, linear) - wrong * linear))
        value += float(np.sum(pull * (weights - target) ** 2) / 2)
        gradient = design.T @ (special.expit(linear) - wrong) + pull * (weights - target)
        return value, gradient

    signs: list[tuple[float | None, float | None]] = [(None, None), (0.0, None)]
    for term in terms:
        signs.append((0.0 if term.monotone > 0 else None, 0.0 if term.monotone < 0 else None))
    signs += [(None, None)] * count
    options = {"maxiter": 2000, "ftol": 1e-12, "gtol": 1e-7}
    fit = optimize.minimize(loss, x0=target, jac=True, method="L-BFGS-B", bounds=signs, options=options)
    return np.asarray(fit.x, dtype=np.float64)
