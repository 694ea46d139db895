"""The few tests the analyses need, many at a time: variance, Welch's, Spearman's correlation.

SciPy has them all, one at a time, and nothing else here needs SciPy. The incomplete beta function
is the continued fraction of Abramowitz and Stegun 26.5.8, evaluated by Lentz's method.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

__all__ = ["anova", "correlations", "spearman", "two_groups", "welch"]

_TINY: Final = 1e-300
_STEPS: Final = 400


def _incomplete_beta(a: float, b: float, x: Array) -> Array:
    """Return the regularised incomplete beta function of each x from 0 to 1."""
    import numpy as np

    found = np.full(x.shape, np.nan)
    known = ~np.isnan(x)
    # On the other side of the mode the fraction converges for the complement.
    turned = known & (x > (a + 1) / (a + b + 2))
    straight = known & ~turned
    found[straight] = _fraction(a, b, x[straight])
    found[turned] = 1 - _fraction(b, a, 1 - x[turned])
    return found


def _fraction(a: float, b: float, x: Array) -> Array:
    import numpy as np

    with np.errstate(divide="ignore", under="ignore"):
        lead = a * np.log(x) + b * np.log1p(-x)
        front = np.exp(lead + math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)) / a
    c = np.ones_like(x)
    d = 1 - (a + b) * x / (a + 1)
    d = 1 / np.where(np.abs(d) < _TINY, _TINY, d)
    total = d.copy()
    for m in range(1, _STEPS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            d = 1 + term * d
            d = 1 / np.where(np.abs(d) < _TINY, _TINY, d)
            c = 1 + term / c
            c = np.where(np.abs(c) < _TINY, _TINY, c)
            step = c * d
            total *= step
        if not len(x) or float(np.abs(step - 1).max()) < 1e-16:
            break
    found: Array = front * total
    return found


def _of_f(f: Array, between: float, within: float) -> Array:
    """Return the probability of a larger F; 0 of an infinite one."""
    import numpy as np

    with np.errstate(invalid="ignore"):
        x = np.where(np.isinf(f), 0.0, within / (within + between * f))
    return _incomplete_beta(within / 2, between / 2, x)


def two_groups(first: Array, second: Array) -> Array:
    """Return the p value of an analysis of variance of two groups, row by row.

    NaN where a row has a NaN, where both groups are one and the same number throughout, or have
    the same mean to the last digit; 0 where they are two different numbers throughout.
    """
    import numpy as np

    count = first.shape[1], second.shape[1]
    total = sum(count)
    if min(count) == 0 or total < 3:
        return np.full(len(first), np.nan)
    every = np.concatenate([first, second], axis=1)
    offset = every.mean(axis=1)[:, None]
    a, b = first - offset, second - offset
    between = a.sum(axis=1) ** 2 / count[0] + b.sum(axis=1) ** 2 / count[1]
    between -= (every - offset).sum(axis=1) ** 2 / total
    within = ((a - a.mean(axis=1)[:, None]) ** 2).sum(axis=1)
    within += ((b - b.mean(axis=1)[:, None]) ** 2).sum(axis=1)
    flat = (np.ptp(first, axis=1) == 0) & (np.ptp(second, axis=1) == 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        f = between / (within / (total - 2))
    f[flat] = np.inf
    f[flat & (first[:, 0] == second[:, 0])] = np.nan
    # Means that are equal to the last digit: what is left is rounding, and SciPy has no p for it.
    f[f < 0] = np.nan
    return _of_f(f, 1, total - 2)


def anova(groups: Sequence[Array]) -> float:
    """Return the p value of an analysis of variance; groups without a value are left out."""
    import numpy as np

    there = [each - 0.0 for each in groups if len(each)]
    total = sum(map(len, there))
    if len(there) < 2 or total <= len(there):
        return math.nan
    offset = sum(float(each.sum()) for each in there) / total
    means = [float((each - offset).mean()) for each in there]
    between = sum(len(each) * mean**2 for each, mean in zip(there, means, strict=True))
    within = sum(
        float((((each - offset) - mean) ** 2).sum())
        for each, mean in zip(there, means, strict=True)
    )
    if all(np.ptp(each) == 0 for each in there):
        return math.nan if np.ptp(np.concatenate(there)) == 0 else 0.0
    k = len(there)
    f = np.array([(between / (k - 1)) / (within / (total - k))])
    return float(_of_f(f, k - 1, total - k)[0])


def _of_t(t: Array, freedom: float) -> Array:
    """Return the probability of a t that is farther from 0 on either side."""
    import numpy as np

    with np.errstate(invalid="ignore"):
        x = np.where(np.isinf(t), 0.0, freedom / (freedom + t**2))
    return _incomplete_beta(freedom / 2, 0.5, x)


def welch(first: Array, second: Array) -> float:
    """Return the p value of Welch's test: two means, without equal variances."""
    import numpy as np

    if min(len(first), len(second)) < 2:
        return math.nan
    a, b = first.var(ddof=1) / len(first), second.var(ddof=1) / len(second)
    with np.errstate(divide="ignore", invalid="ignore"):
        freedom = (a + b) ** 2 / (a**2 / (len(first) - 1) + b**2 / (len(second) - 1))
        t = np.array([(first.mean() - second.mean()) / np.sqrt(a + b)])
    return float(_of_t(t, float(freedom))[0]) if freedom > 0 else math.nan


def correlations(rows: Array) -> Array:
    """Return Pearson's correlation of each pair of rows, one pair after another."""
    import numpy as np

    if len(rows) < 2:
        return np.empty(0)
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Array = np.corrcoef(rows)[np.triu_indices(len(rows), 1)]
    return found


def spearman(columns: Array) -> tuple[Array, Array]:
    """Return Spearman's correlation of each pair of columns, and its p value.

    Without more than two rows there is no p value: NaN. Of one row there is no correlation either.
    """
    import numpy as np

    if len(columns) < 2:
        none = np.full((columns.shape[1],) * 2, np.nan)
        return none, none.copy()
    ranks = np.stack([_ranks(column) for column in columns.T], axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Array = np.atleast_2d(np.corrcoef(ranks, rowvar=False))
        freedom = len(columns) - 2
        if freedom < 1:
            return found, np.full(found.shape, np.nan)
        t = found * np.sqrt((freedom / ((found + 1) * (1 - found))).clip(0))
    return found, _of_t(t, freedom)


def _ranks(values: Array) -> Array:
    """Return ranks from 1, equal values by the mean of theirs; all NaN where one is."""
    import numpy as np

    if np.isnan(values).any():
        return np.full(len(values), np.nan)
    _, code, count = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    found: Array = (last - (count - 1) / 2)[code.ravel()]
    return found
