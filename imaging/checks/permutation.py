"""A permutation test of whether the use of words differs between groups, with an effect size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

PERMUTATIONS = 999


@dataclass(frozen=True, slots=True, eq=False)
class UseOfWords:
    """How a table of groups by words departs from independence.

    ``p_value`` is of the permutation test; ``effect`` is Cramer's V with Bergsma's correction, 0 to 1. ``group``,
    ``word``: the cell that stands out most; ``share`` of the group's marks have the word, ``elsewhere`` of the others'.
    """

    p_value: float
    effect: float
    group: str
    word: str
    share: float
    elsewhere: float
    marks: int


def use_of_words(*, units: NDArray[np.int_], groups: Sequence[str], words: Sequence[str], seed: int) -> UseOfWords:
    """Return whether groups use words differently. Needs two groups and two words in use.

    ``units``: (n, words) counts, a row for each patient and group: marks of one patient are not independent, so that
    whole rows are permuted between groups and not marks. ``groups``: that of each row. The statistic is G (likelihood
    ratio); p is (1 + permutations at least as large) / (1 + permutations). Where none is, the tail is that of a
    scaled chi-square with the permutations' mean and variance (Satterthwaite), never above the permutations' own
    bound. Deterministic in ``seed``. Sources: Good, Permutation Tests (2005); Bergsma, Journal of the Korean
    Statistical Society 42 (2013).
    """
    names, codes = np.unique(np.asarray(groups), return_inverse=True)
    observed = _table(units, codes, len(names))
    statistic = _g(observed)
    generator = np.random.default_rng(seed)
    drawn = np.array([_g(_table(units, generator.permutation(codes), len(names))) for _ in range(PERMUTATIONS)])
    beyond = int(np.count_nonzero(drawn >= statistic - 1e-9))
    p_value = (1 + beyond) / (1 + PERMUTATIONS)
    if beyond == 0:
        p_value = min(p_value, _scaled_chi_square_tail(statistic, drawn))
    row, column = np.unravel_index(int(np.argmax(_residuals(observed))), observed.shape)
    others = observed.sum(axis=0) - observed[row]
    return UseOfWords(
        p_value=p_value,
        effect=_cramers_v(observed),
        group=str(names[row]),
        word=words[int(column)],
        share=float(observed[row, column] / max(1, observed[row].sum())),
        elsewhere=float(others[column] / max(1, others.sum())),
        marks=int(observed[row].sum()),
    )


def _table(units: NDArray[np.int_], codes: NDArray[np.int_], groups: int) -> NDArray[np.float64]:
    table = np.zeros((groups, units.shape[1]))
    np.add.at(table, codes, units)
    return table


def _expected(table: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum())


def _g(table: NDArray[np.float64]) -> float:
    expected = _expected(table)
    filled = table > 0
    return 2.0 * float(np.sum(table[filled] * np.log(table[filled] / expected[filled])))


def _scaled_chi_square_tail(statistic: float, drawn: NDArray[np.float64]) -> float:
    mean, variance = float(drawn.mean()), float(drawn.var())
    if mean <= 0 or variance <= 0:
        return 1.0
    scale = variance / (2.0 * mean)
    return float(stats.chi2.sf(statistic / scale, df=mean / scale))


def _residuals(table: NDArray[np.float64]) -> NDArray[np.float64]:
    """Adjusted Pearson residuals, upwards alone: a word that a group uses too much is the one that is seen."""
    expected = _expected(table)
    total = table.sum()
    loose = (1 - table.sum(axis=1, keepdims=True) / total) * (1 - table.sum(axis=0, keepdims=True) / total)
    return np.asarray((table - expected) / np.sqrt(np.maximum(expected * loose, 1e-9)))


def _cramers_v(table: NDArray[np.float64]) -> float:
    total = float(table.sum())
    used = table[table.sum(axis=1) > 0][:, table.sum(axis=0) > 0]
    rows, columns = used.shape
    if min(rows, columns) < 2 or total < 2:
        return 0.0
    expected = _expected(used)
    phi = float(((used - expected) ** 2 / expected).sum()) / total
    corrected = max(0.0, phi - (rows - 1) * (columns - 1) / (total - 1))
    limit = min(rows - (rows - 1) ** 2 / (total - 1), columns - (columns - 1) ** 2 / (total - 1)) - 1
    return min(1.0, math.sqrt(corrected / limit)) if limit > 0 else 0.0
