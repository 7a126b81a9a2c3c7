"""Fitting a check's probability to known truth: additive, with effects that may bend and signs that must hold.

Each number's effect is made of straight pieces between quantiles; whether pieces are worth having, and how hard they
are held at nothing, is decided on held-out scans. Whole scans are held out together (grouped cross-validation), since
the issues of one scan are anything but independent.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

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

STRAIGHT = (0.01, 0.99)
BENT = (0.01, 0.2, 0.4, 0.6, 0.8, 0.99)
"""Quantiles between which an effect is straight. The outermost hundredths are outliers more often than knowledge."""

LEAST_BENT = 200
"""With fewer examples effects are straight: pieces of so few would follow chance."""

INTERCEPT_STRENGTH = 0.05
"""Holds the intercept where all examples are alike; what so few can show at most is bounded beside it."""

LEAST_PRESENT = 0.05
"""A feature that fewer of a check's examples have than this is left out."""

MONOTONE = {
    "score": 1,
    "deviation_mm": 1,
    "model_deviation_mm": 1,
    "others_deviation_mm": 1,
    "agreed_shift_mm": 1,
    "agreed_over_mm": 1,
    "agreed_under_mm": 1,
    "edge_shift_mm": 1,
    "edge_left_mm": 1,
    "goes_on": 1,
    "agreed_missing_mm": 1,
    "others_surprise": 1,
    "alone_gap": 1,
    "habit_surprise": 1,
    "own_gap": 1,
    "texture_gap": 1,
    "confirming_readers": -1,
    "displaced_overlap": 1,
    "displaced_agreement": 1,
}
"""Numbers that may only raise (1) or lower (-1) the probability, for every check: otherwise nobody could explain it."""

MONOTONE_OF = {
    # Where nothing but the candidate is known, the order of the flags is that of the candidates.
    ("missing_nodule", "model_probability"): 1,
    ("missing_nodule", "model_rank"): -1,
    ("missing_nodule", "place_probability"): 1,
    ("missing_nodule", "marking_readers"): 1,
    ("spurious_label", "place_probability"): -1,
    ("spurious_label", "candidate_probability"): -1,
    ("spurious_label", "model_sensitivity"): 1,
    ("merged_lesions", "second_probability"): 1,
    ("merged_lesions", "readers_with_two"): 1,
    ("merged_lesions", "second_place_probability"): 1,
    ("merged_lesions", "readers_with_one"): -1,
    ("merged_lesions", "lobe_thickness"): 1,
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
    table = _Table.of(examples)
    tried = []
    for shape in _shapes(table, least):
        for strength in STRENGTHS if shape.names else STRENGTHS[:1]:
            held_out = _out_of_fold(table, groups, shape, strength)
            tried.append((quality(scores=held_out, truths=wrong).log_loss, strength, shape, held_out))
    loss, strength, shape, held_out = min(tried, key=lambda one: (one[0], -one[1], one[2].size))
    after = quality(scores=held_out, truths=wrong)
    if loss >= before.log_loss:
        why = "no fit was better than the reasoned score on held-out scans"
        return Fit(check, None, why, len(examples), int(wrong.sum()), before, after, tuple(map(float, raw)))
    every = np.arange(len(examples))
    terms, weights = _learnt(table, every, shape, strength)
    edge = 1 / (len(examples) + 2)
    model = CheckModel(
        check=check,
        version=version,
        intercept=round(float(weights[0]), 6),
        slope=round(float(weights[1]), 6),
        terms=tuple(_rounded(terms, weights)),
        floor=round(edge, 6),
        ceiling=round(1 - edge, 6),
        examples=len(examples),
        wrong=int(wrong.sum()),
        rests_on_model=rests_on_model,
    )
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


@dataclass(frozen=True, slots=True)
class _Shape:
    """Which numbers take part, and between which quantiles their effects are straight."""

    names: tuple[str, ...]
    quantiles: tuple[float, ...]

    @property
    def size(self) -> int:
        return len(self.names) * len(self.quantiles)


@dataclass(frozen=True, slots=True, eq=False)
class _Table:
    """Examples of one check as columns, (n,) each: NaN where a number is absent. ``odds``: of the check's own score."""

    check: str
    odds: FloatArray
    wrong: FloatArray
    columns: Mapping[str, FloatArray]

    @classmethod
    def of(cls, examples: Sequence[Example]) -> _Table:
        names = sorted({name for one in examples for name in one.features})
        columns = {name: np.array([one.features.get(name, np.nan) for one in examples]) for name in names}
        return cls(
            examples[0].check,
            np.array([logit(one.score) for one in examples]),
            np.array([one.wrong for one in examples], dtype=np.float64),
            columns,
        )


def _shapes(table: _Table, least: int) -> list[_Shape]:
    nothing = _Shape((), STRAIGHT)
    if least < LEAST_OF_EACH:
        return [nothing]
    names = _names(table)
    straight = [_Shape(tuple(name for name in names if name != "score"), STRAIGHT), nothing]
    return [_Shape(names, BENT), *straight] if len(table.odds) >= LEAST_BENT else straight


def _names(table: _Table) -> tuple[str, ...]:
    """Return the numbers that are worth fitting: measured often enough, and not all alike."""
    found = []
    for name, column in table.columns.items():
        values = column[np.isfinite(column)]
        if len(values) >= max(LEAST_OF_EACH, LEAST_PRESENT * len(column)) and (
            float(np.ptp(values)) > 0 or len(values) < len(column)
        ):
            found.append(name)
    return tuple(found)


def _out_of_fold(table: _Table, groups: Sequence[str], shape: _Shape, strength: float) -> FloatArray:
    held_out = np.empty(len(groups), dtype=np.float64)
    for train, test in _folds(groups):
        terms, weights = _learnt(table, train, shape, strength)
        edge = 1 / (len(train) + 2)
        held_out[test] = np.clip(special.expit(_design(table, test, terms) @ weights), edge, 1 - edge)
    return held_out


def _folds(groups: Sequence[str]) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    from sklearn.model_selection import GroupKFold

    splitter = GroupKFold(n_splits=FOLDS)
    return list(splitter.split(np.zeros((len(groups), 1)), groups=list(groups)))


def _learnt(
    table: _Table, rows: NDArray[np.int64], shape: _Shape, strength: float
) -> tuple[list[FeatureTerm], FloatArray]:
    """Return the terms, still without steps, and the weights: intercept, slope, every term's pieces and absence."""
    terms = [_blank_term(table.columns[name][rows], name, table.check, shape.quantiles) for name in shape.names]
    return terms, _weights(_design(table, rows, terms), table.wrong[rows], terms, strength)


def _blank_term(column: FloatArray, name: str, check: str, quantiles: tuple[float, ...]) -> FeatureTerm:
    values = column[np.isfinite(column)]
    # A fold may have none of a rare number, or only one value of it.
    spread = np.unique(np.round(np.quantile(values, quantiles), 6)) if len(values) else np.zeros(1)
    knots = spread if len(spread) > 1 else np.array([spread[0], spread[0] + 1.0])
    monotone = MONOTONE_OF.get((check, name), MONOTONE.get(name, 0))
    return FeatureTerm(name, tuple(float(knot) for knot in knots), (0.0,) * (len(knots) - 1), 0.0, monotone)


def _design(table: _Table, rows: NDArray[np.int64], terms: Sequence[FeatureTerm]) -> FloatArray:
    """(n, 2 + pieces and one absence for each term): one, log-odds, how far along each piece, whether absent."""
    parts = [np.ones(len(rows)), table.odds[rows]]
    for term in terms:
        values = table.columns[term.name][rows]
        there = np.isfinite(values)
        for low, high in pairwise(term.knots):
            parts.append(np.where(there, np.clip((values - low) / (high - low), 0.0, 1.0), 0.0))
        parts.append((~there).astype(np.float64))
    return np.column_stack(parts)


def _weights(design: FloatArray, wrong: FloatArray, terms: Sequence[FeatureTerm], strength: float) -> FloatArray:
    count = design.shape[1] - 2
    pull = np.concatenate([[INTERCEPT_STRENGTH, SLOPE_STRENGTH], np.full(count, strength)])
    target = np.concatenate([[0.0, 1.0], np.zeros(count)])

    def loss(weights: FloatArray) -> tuple[float, FloatArray]:
        linear = design @ weights
        value = float(np.sum(np.logaddexp(0.0, linear) - wrong * linear))
        value += float(np.sum(pull * (weights - target) ** 2) / 2)
        gradient = design.T @ (special.expit(linear) - wrong) + pull * (weights - target)
        return value, gradient

    signs: list[tuple[float | None, float | None]] = [(None, None), (0.0, None)]
    for term in terms:
        piece = (0.0 if term.monotone > 0 else None, 0.0 if term.monotone < 0 else None)
        signs += [piece] * len(term.steps) + [(None, None)]
    options = {"maxiter": 500, "ftol": 1e-9, "gtol": 1e-6}
    fit = optimize.minimize(loss, x0=target, jac=True, method="L-BFGS-B", bounds=signs, options=options)
    return np.asarray(fit.x, dtype=np.float64)


def _rounded(terms: Sequence[FeatureTerm], weights: FloatArray) -> Iterator[FeatureTerm]:
    place = 2
    for term in terms:
        own = [round(float(weight), 6) + 0.0 for weight in weights[place : place + len(term.steps) + 1]]
        place += len(own)
        yield replace(term, steps=tuple(own[:-1]), missing=own[-1])
