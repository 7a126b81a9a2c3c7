"""How unlike its population something is, and how much that is worth: pure statistics for checks over a dataset."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.spatial.distance import cdist

PRIOR_SOMETHING_WRONG = 0.1
"""Share of datasets held to have something of one kind wrong with them before it is looked at."""

_CHUNK = 512


def posterior_of_p(*, p_value: float) -> float:
    """Return the probability that something is wrong, given how improbable what is seen would be if nothing were.

    By the bound of Sellke, Bayarri and Berger (The American Statistician 55, 2001): the odds for "nothing is wrong"
    shrink at most by -e p ln p. With ``PRIOR_SOMETHING_WRONG`` before, p = 0.05 over the whole family of questions
    gives 0.21, 0.001 gives 0.86. At p >= 1/e nothing has been learnt. The bound favours the suspicion, the prior
    speaks against it; both are stated, neither is fitted.
    """
    if p_value >= 1.0 / math.e:
        return PRIOR_SOMETHING_WRONG
    p = max(p_value, 1e-12)
    factor = -math.e * p * math.log(p)
    odds = PRIOR_SOMETHING_WRONG / (1.0 - PRIOR_SOMETHING_WRONG) / factor
    return odds / (1.0 + odds)


def robustly_scaled(*, values: NDArray[np.float64], least_spread: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """Return (n, d) values less their median, in robust standard deviations (1.4826 x MAD) by column.

    ``least_spread``: the least deviation that counts as one, so that a column in which nearly all agree does not make
    a trifle enormous. NaN stays NaN.
    """
    centre = np.nanmedian(values, axis=0)
    spread = 1.4826 * np.nanmedian(np.abs(values - centre), axis=0)
    return np.asarray((values - centre) / np.maximum(spread, least_spread))


def neighbour_distances(*, values: NDArray[np.float64], groups: Sequence[str], neighbours: int) -> NDArray[np.float64]:
    """Return, for each row, the mean Euclidean distance to its nearest rows of other groups.

    ``values``: (n, d) without NaN. ``groups``: what belongs together (a patient): copies of oneself are no company.
    NaN where there are fewer than ``neighbours`` rows of other groups. Memory stays below ``_CHUNK`` x n.
    """
    codes = np.unique(np.asarray(groups), return_inverse=True)[1]
    found = np.full(len(values), np.nan)
    for start in range(0, len(values), _CHUNK):
        rows = slice(start, start + _CHUNK)
        apart = cdist(values[rows], values)
        apart[codes[rows][:, None] == codes[None, :]] = np.inf
        if apart.shape[1] < neighbours:
            continue
        nearest = np.partition(apart, neighbours - 1, axis=1)[:, :neighbours].mean(axis=1)
        found[rows] = np.where(np.isfinite(nearest), nearest, np.nan)
    return found


def tail_probabilities(*, distances: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return, for each distance, how probable one as large is in this population: an upper tail, conservative.

    Logarithms of distances are taken as a location and a spread with a Student tail: the spread is the larger of the
    robust deviation and the one that the upper quarter shows; the tail has few degrees of freedom where there are few
    members, for a spread learnt from twelve is itself uncertain. An empirical rank alone could never be rarer than
    1 / n, and every population has its most distant member. NaN stays NaN.
    """
    known = distances[np.isfinite(distances)]
    result = np.full(len(distances), np.nan)
    if len(known) < 3:
        return result
    logs = np.log(np.maximum(known, 1e-9))
    centre, upper = np.percentile(logs, [50, 84.13])
    spread = max(1.4826 * float(np.median(np.abs(logs - centre))), float(upper - centre), _LEAST_LOG_SPREAD)
    z = (np.log(np.maximum(distances, 1e-9)) - centre) / (spread * math.sqrt(1.0 + 1.0 / len(known)))
    result[:] = stats.t.sf(z, df=degrees_of_freedom(count=len(known)))
    return result


_LEAST_LOG_SPREAD = 0.1
"""Distances that agree to a tenth are never told apart."""


def degrees_of_freedom(*, count: int) -> float:
    """Return the degrees of freedom of a tail that was learnt from ``count`` members: a quarter of them, 3 to 30."""
    return min(30.0, max(3.0, count / 4.0))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected for the number of questions asked (Holm 1979), in their order."""
    order = np.argsort(p_values)
    corrected = [1.0] * len(p_values)
    highest = 0.0
    for rank, index in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * float(p_values[index])))
        corrected[int(index)] = highest
    return corrected


def false_discovery_rates(p_values: Sequence[float]) -> list[float]:
    """Return q-values (Benjamini and Hochberg 1995), in their order: where nothing is wrong at all, the chance that
    anything has q below 0.05 is at most 0.05; where much is, none hides behind the others."""
    values = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(values)
    ranked = values[order] * len(values) / np.arange(1, len(values) + 1)
    lowest = np.minimum.accumulate(ranked[::-1])[::-1]
    result = np.empty(len(values))
    result[order] = np.minimum(lowest, 1.0)
    return [float(value) for value in result]
