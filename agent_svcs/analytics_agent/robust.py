"""Statistics that a few wild values cannot move: medians, spreads, slopes. numpy only; every input is finite."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

MAD_TO_SIGMA = 1.4826
"""The median absolute deviation of normal noise is its standard deviation divided by this."""
MEAN_DEVIATION_TO_SIGMA = 1.2533
DECILES_TO_SIGMA = 1.0 / 2.5631
"""Between the first and the last decile of normal noise lie 2.5631 standard deviations."""


def spread(residuals: Values) -> float:
    """Standard deviation of the ordinary part of `residuals`, whose centre is 0; 0 only when all are 0.

    The larger of the estimates from the median absolute deviation and from the deciles: equal for normal noise, but
    noise with long tails, such as the CPU use of a mostly idle process, is seen by the deciles alone. Where more than
    half of the values are equal and both are 0, the mean deviation decides (Iglewicz and Hoaglin, 1993).
    """
    if residuals.size == 0:
        return 0.0
    absolute = np.abs(residuals)
    low, high = np.percentile(residuals, (10.0, 90.0))
    estimate = max(MAD_TO_SIGMA * float(np.median(absolute)), DECILES_TO_SIGMA * float(high - low))
    return estimate or MEAN_DEVIATION_TO_SIGMA * float(absolute.mean())


def local_spread(residuals: Values, half_window: int) -> Values:
    """MAD-based standard deviation around each sample, over `half_window` samples to both sides."""
    absolute = np.abs(residuals)
    padded = np.pad(absolute, half_window, constant_values=np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * half_window + 1)
    return MAD_TO_SIGMA * _medians(windows)


def medians_before(values: Values, length: int, least: int) -> Values:
    """For each sample the median of the `length` samples before it; NaN where fewer than `least` exist."""
    padded = np.concatenate([np.full(length, np.nan), values[:-1]])
    windows = np.lib.stride_tricks.sliding_window_view(padded, length)
    result = np.full(values.size, np.nan)
    result[least:] = _medians(windows[least:])
    return result


def medians_after(values: Values, length: int, least: int) -> Values:
    """For each sample the median of the `length` samples after it; NaN where fewer than `least` exist."""
    return medians_before(values[::-1], length, least)[::-1]


def _medians(windows: Values) -> Values:
    """Median of each row, not counting its NaNs; each row has a number. Twenty times as fast as numpy's nanmedian."""
    ordered = np.sort(windows, axis=1)  # NaNs come last
    counts = windows.shape[1] - np.isnan(ordered).sum(axis=1)
    rows = np.arange(windows.shape[0])
    return np.asarray((ordered[rows, (counts - 1) // 2] + ordered[rows, counts // 2]) / 2.0)


def drift(values: Values) -> float:
    """Slope a sample: the median of the slopes over one lag, an eighth of the series.

    Unlike the median over all pairs, a lasting step in the middle changes few of these and so hardly tilts it.
    """
    lag = max(1, values.size // 8)
    return float(np.median(values[lag:] - values[:-lag])) / lag


def theil_sen(at: Values, values: Values) -> float:
    """Median slope over all pairs of points with different `at`, in units of values per unit of `at`.

    0 with fewer than two such points. At most `MOST_POINTS` points are used, medians of equal runs of a longer series.
    """
    if values.size > MOST_POINTS:
        runs = np.array_split(np.arange(values.size), MOST_POINTS)
        at = np.array([np.median(at[run]) for run in runs])
        values = np.array([np.median(values[run]) for run in runs])
    first, second = np.triu_indices(values.size, k=1)
    apart = at[second] - at[first]
    usable = apart > 0.0
    if not usable.any():
        return 0.0
    return float(np.median((values[second] - values[first])[usable] / apart[usable]))


MOST_POINTS = 300
"""Points of a Theil-Sen slope: 45 thousand pairs, a few milliseconds."""
