"""Finds a repeating pattern in a series and takes it out."""

from __future__ import annotations

import numpy as np

from agent_svcs.analytics_agent.robust import Values, medians_after, medians_before, spread

SHORTEST_PERIOD = 4
"""Samples."""
LEAST_CYCLES = 3
"""A pattern that was not seen this often is no season."""
LEAST_CORRELATION = 0.3
"""Of the series with itself one period later; pure noise of 300 samples stays under 0.2."""
MOST_LEFT = 0.85
"""Of the median deviation, once the season is out: a few lasting steps also correlate, but explain little."""
MOST_HARMONICS = 8
ROUNDS = 3
"""Fits, each on values clipped around the one before, so that spikes do not bend the pattern."""
CLIP_SIGMA = 2.5


def seasonal_part(values: Values) -> Values:
    """The repeating part of `values`, around 0; all zeros where there is none. The trend is taken out before."""
    flat = values - _slow_part(values)
    noise = spread(flat)
    if noise == 0.0:
        return np.zeros_like(values)
    clipped = np.clip(flat, -3.0 * noise, 3.0 * noise)
    period = _period(clipped)
    if period is None:
        return np.zeros_like(values)
    fitted = _fit(values, flat, period)
    left = values - fitted
    explained = np.median(np.abs(left - _slow_part(left))) <= MOST_LEFT * np.median(np.abs(flat))
    return fitted if explained else np.zeros_like(values)


def _slow_part(values: Values) -> Values:
    """Level around each sample, from an eighth of the series on either side: follows lasting steps, not a season."""
    length = max(SHORTEST_PERIOD, values.size // 8)
    before, after = medians_before(values, length, 1), medians_after(values, length, 1)
    return np.asarray(np.nanmean([before, after], axis=0))


def _period(values: Values) -> float | None:
    """Length of the season in samples, or None. From the highest peak of the autocorrelation after its first dip."""
    longest = values.size // LEAST_CYCLES
    correlation = _autocorrelation(values)[: longest + 2]
    negative = np.flatnonzero(correlation < 0.0)
    if negative.size == 0:
        return None
    peaks = [
        lag
        for lag in range(max(SHORTEST_PERIOD, int(negative[0])), min(longest + 1, correlation.size - 1))
        if correlation[lag - 1] < correlation[lag] >= correlation[lag + 1]
    ]
    best = max((correlation[lag] for lag in peaks), default=0.0)
    if best < LEAST_CORRELATION:
        return None
    # The first of nearly equal peaks: the others are its multiples.
    return float(next(lag for lag in peaks if correlation[lag] >= 0.85 * best))


def _autocorrelation(values: Values) -> Values:
    centred = values - values.mean()
    size = 2 * values.size
    spectrum = np.fft.rfft(centred, size)
    products = np.fft.irfft(spectrum * spectrum.conj(), size)[: values.size]
    overlap = np.arange(values.size, 0, -1)
    variance = products[0] / values.size
    return np.asarray(products / overlap / variance) if variance > 0.0 else np.zeros(values.size)


def _fit(values: Values, flat: Values, period: float) -> Values:
    """Harmonics of the best period near `period`; each round takes the slow part of what the last one left."""
    noise = spread(flat)
    target = np.clip(flat, -3.0 * noise, 3.0 * noise)
    width = period * period / values.size  # a period off by this much is a whole cycle off at the end of the series
    fitted = np.zeros_like(values)
    for _ in range(ROUNDS):
        for step in (width / 10.0, width / 100.0):
            period = _best_period(target, period, step)
        fitted = _best_harmonics(target, period)
        left = values - fitted
        left = left - _slow_part(left)
        noise = spread(left)
        target = fitted + np.clip(left, -CLIP_SIGMA * noise, CLIP_SIGMA * noise)
    return fitted


def _best_period(values: Values, period: float, step: float) -> float:
    few = min(2, int(period // 2))
    candidates = [period + step * offset for offset in range(-12, 13)]
    return min(candidates, key=lambda one: _loss(values, _harmonics(values, one, few)))


def _best_harmonics(values: Values, period: float) -> Values:
    """As many harmonics as pay for themselves (Bayesian information criterion)."""
    best, best_cost = np.zeros_like(values), np.inf
    for count in range(1, min(MOST_HARMONICS, int(period // 2)) + 1):
        fitted = _harmonics(values, period, count)
        cost = values.size * np.log(_loss(values, fitted) + 1e-300) + 2.0 * count * np.log(values.size)
        if cost < best_cost:
            best, best_cost = fitted, cost
    return best


def _harmonics(values: Values, period: float, count: int) -> Values:
    phase = 2.0 * np.pi * np.arange(values.size) / period
    waves = np.outer(phase, np.arange(1, count + 1))
    basis = np.column_stack([np.ones(values.size), np.sin(waves), np.cos(waves)])
    # The ridge keeps a wave that is zero at every sample (half the period is two samples) from being singular.
    ridge = 1e-9 * values.size * np.eye(basis.shape[1])
    weights = np.linalg.solve(basis.T @ basis + ridge, basis.T @ values)
    return np.asarray(basis[:, 1:] @ weights[1:])


def _loss(values: Values, fitted: Values) -> float:
    return float(np.mean((values - values.mean() - fitted) ** 2))
