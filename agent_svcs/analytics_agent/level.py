"""The level around each sample of a series, and how noisy it is there: what is ordinary for the detector."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from agent_svcs.analytics_agent.robust import Values, local_spread, medians_after, medians_before, spread

REACH = 10
"""Samples before and after that make the local level."""
LEAST_SIDE = 4
"""Samples that a side needs to have a level of its own, near the ends of the series."""
SPREAD_REACH = 30
"""Samples to both sides that make the local noise."""
LOCAL_SHARE = 0.75
"""Of the local noise; it counts only where it is clearly larger than elsewhere, being estimated from few samples."""
SPIKE_SIGMA = 3.3
"""At least; normal noise is further out in 1 of 1,000 samples."""
FALSE_ALARMS = 0.35
"""Samples of normal noise that may pass for spikes in one series; a long one gets a higher threshold for that."""


@dataclass(frozen=True, slots=True)
class Level:
    """All arrays have one element a sample."""

    values: Values
    """Without drift and season."""
    before: Values
    """Median of the samples before, or of those after where there are too few."""
    after: Values
    scale: Values
    """Standard deviation of the ordinary noise."""

    @property
    def threshold(self) -> float:
        """Of spikes, in standard deviations."""
        return _threshold(self.values.size)

    def expected(self) -> Values:
        """Between the levels of the two sides where they agree, else the one that is nearer."""
        middle = (self.before + self.after) / 2.0
        to_before, to_after = self.values - self.before, self.values - self.after
        nearer = np.where(np.abs(to_before) <= np.abs(to_after), self.before, self.after)
        apart = np.abs(self.before - self.after) > 1.5 * self.scale
        return np.where(apart, np.where(to_before * to_after <= 0.0, self.values, nearer), middle)


def level_of(values: Values, resolution: float) -> Level:
    """The level of a series that settles between its changes; `values` have neither drift nor season."""
    before, after = medians_before(values, REACH, LEAST_SIDE), medians_after(values, REACH, LEAST_SIDE)
    before, after = np.where(np.isnan(before), after, before), np.where(np.isnan(after), before, after)
    least = resolution / _threshold(values.size)
    around = values - (before + after) / 2.0
    rough = Level(values, before, after, np.full(values.size, max(spread(around), least)))
    around = values - rough.expected()
    scale = np.maximum(np.maximum(spread(around), LOCAL_SHARE * local_spread(around, SPREAD_REACH)), least)
    return Level(values, before, after, scale)


def restless(level: Level, resolution: float) -> Level:
    """One level for the whole series, and noise as wide as all but the last hundredths of its values."""
    values = level.values
    middle = np.full(values.size, np.median(values))
    low, high = np.percentile(values, (2.5, 97.5))
    scale = max(spread(values - middle), (high - low) / 3.92, resolution / _threshold(values.size))
    return Level(values, middle, middle, np.full(values.size, scale))


def _threshold(samples: int) -> float:
    return max(SPIKE_SIGMA, NormalDist().inv_cdf(1.0 - FALSE_ALARMS / (2.0 * samples)))
