"""Agreement among raters: for ratings of given units, and for marks in free response.

Kappa needs a fixed list of units that everyone judged. Free-response marks have none, since the places where nobody
marked anything are not countable: use the index of specific agreement there.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from imaging.errors import NotApplicable

FloatArray = NDArray[np.float64]


def fleiss_kappa(*, counts: NDArray[np.int64]) -> float:
    """Return Fleiss' kappa (1971) for ``counts`` (units, categories): how many raters chose each category.

    Every unit needs the same number of raters, at least two (ValueError otherwise). Raises NotApplicable when all
    ratings fall into one category: chance agreement is then perfect and kappa is undefined.
    """
    raters = counts.sum(axis=1)
    if counts.shape[0] == 0 or raters[0] < 2 or not np.all(raters == raters[0]):
        raise ValueError("Fleiss' kappa needs the same number of raters, at least two, for every unit")
    number = float(raters[0])
    observed = float(((counts * (counts - 1)).sum(axis=1) / (number * (number - 1))).mean())
    shares = counts.sum(axis=0) / counts.sum()
    chance = float((shares**2).sum())
    if chance >= 1.0:
        raise NotApplicable("one-category", "every rating is the same category; kappa is undefined")
    return (observed - chance) / (1 - chance)


def cohen_kappa(*, first: NDArray[np.int64], second: NDArray[np.int64]) -> float:
    """Return Cohen's kappa (1960) of two raters' categories, (units,) each, coded as whole numbers.

    Raises NotApplicable with no units or when both always chose the one same category.
    """
    if first.shape != second.shape or first.size == 0:
        raise NotApplicable("no-units", "kappa needs units that both raters judged")
    categories = np.union1d(first, second)
    observed = float(np.mean(first == second))
    chance = float(sum(np.mean(first == category) * np.mean(second == category) for category in categories))
    if chance >= 1.0:
        raise NotApplicable("one-category", "both raters always chose the same category; kappa is undefined")
    return (observed - chance) / (1 - chance)


def krippendorff_alpha_nominal(*, ratings: FloatArray) -> float:
    """Return Krippendorff's alpha for unordered categories; ``ratings`` is (raters, units), NaN where missing."""
    return _alpha(ratings, lambda values, _: (values[:, None] != values[None, :]).astype(np.float64))


def krippendorff_alpha_ordinal(*, ratings: FloatArray) -> float:
    """Return Krippendorff's alpha for ranks; ``ratings`` is (raters, units), NaN where missing."""

    def distance(values: FloatArray, marginals: FloatArray) -> FloatArray:
        # Sum of marginals from one value to the other, less half of both ends (Krippendorff 2011, ordinal metric).
        cumulated = np.concatenate([[0.0], np.cumsum(marginals)])
        size = len(values)
        result = np.zeros((size, size))
        for low, high in combinations(range(size), 2):
            between = cumulated[high + 1] - cumulated[low] - (marginals[low] + marginals[high]) / 2
            result[low, high] = result[high, low] = between**2
        return result

    return _alpha(ratings, distance)


def krippendorff_alpha_interval(*, ratings: FloatArray) -> float:
    """Return Krippendorff's alpha for numbers (squared differences); ``ratings`` is (raters, units), NaN missing."""
    return _alpha(ratings, lambda values, _: (values[:, None] - values[None, :]) ** 2)


def specific_agreement(*, marked: NDArray[np.bool_], read: NDArray[np.bool_]) -> float:
    """Return the index of specific agreement on free-response marks: the chance that another reader marked it too.

    ``marked`` and ``read`` are (lesions, readers): whether the reader marked the lesion, and whether that reader read
    the case at all. For two readers it is 2a / (2a + b + c), the share of marks that the other confirms; for more it
    pools all pairs of readers who both read the case. Raises NotApplicable when no pair has a mark.
    Source: specific positive agreement (Cicchetti and Feinstein 1990), pooled over pairs.
    """
    both_marked, either = _pair_counts(marked & read, read)
    if either == 0:
        raise NotApplicable("no-marks", "no pair of readers marked anything; agreement on marks has no value")
    return 2 * both_marked / either


def pairwise_specific_agreement(*, marked: NDArray[np.bool_], read: NDArray[np.bool_]) -> dict[tuple[int, int], float]:
    """Return the index of specific agreement of each pair of columns; pairs without any mark are left out."""
    result: dict[tuple[int, int], float] = {}
    for first, second in combinations(range(marked.shape[1]), 2):
        columns = [first, second]
        both_marked, either = _pair_counts(marked[:, columns] & read[:, columns], read[:, columns])
        if either:
            result[(first, second)] = 2 * both_marked / either
    return result


def _pair_counts(marks: NDArray[np.bool_], read: NDArray[np.bool_]) -> tuple[int, int]:
    # Per lesion with n readers and k marks: k (k - 1) / 2 agreeing pairs, k (n - 1) marks that had a partner.
    readers = np.count_nonzero(read, axis=1)
    positive = np.count_nonzero(marks, axis=1)
    agreeing = int((positive * (positive - 1) // 2).sum())
    chances = int((positive * np.maximum(readers - 1, 0)).sum())
    return agreeing, chances


def _alpha(ratings: FloatArray, distance: Callable[[FloatArray, FloatArray], FloatArray]) -> float:
    present = ~np.isnan(ratings)
    pairable = present.sum(axis=0) >= 2
    if not pairable.any():
        raise NotApplicable("no-pairs", "no unit has two ratings; agreement has no value")
    used = ratings[:, pairable]
    values = np.unique(used[~np.isnan(used)])
    counts = np.stack([(used == value).sum(axis=0) for value in values]).astype(np.float64)
    raters = counts.sum(axis=0)
    # Coincidence matrix: pairs of values within units, each unit weighing as many ratings as it has.
    coincidences = (counts / (raters - 1)) @ counts.T - np.diag((counts / (raters - 1)).sum(axis=1))
    marginals = coincidences.sum(axis=1)
    metric = distance(values, marginals)
    total = marginals.sum()
    expected = float((np.outer(marginals, marginals) * metric).sum() / (total - 1))
    if expected == 0.0:
        raise NotApplicable("one-category", "every rating is the same; alpha is undefined")
    return 1.0 - float((coincidences * metric).sum()) / expected
