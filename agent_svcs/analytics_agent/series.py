"""Samples of one metric of one component over time, as the store and the recording hand them out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from agent_svcs.analytics_agent.robust import Values

Key = tuple[str, str]
"""Component and metric."""


@dataclass(frozen=True, slots=True)
class Round:
    """What was measured at one moment; what could not be measured is left out."""

    at: float
    """Seconds since 1970."""
    readings: Mapping[Key, float]


@dataclass(frozen=True, slots=True)
class Series:
    """Oldest first; `at` rises strictly."""

    component: str
    metric: str
    at: Values
    """Seconds since 1970."""
    values: Values

    def since(self, start: float) -> Series:
        """The samples from `start` on."""
        inside = self.at >= start
        return Series(self.component, self.metric, self.at[inside], self.values[inside])

    def thinned(self, most: int) -> Series:
        """At most `most` samples: means over equal numbers of neighbours."""
        if self.values.size <= most:
            return self
        runs = np.array_split(np.arange(self.values.size), most)
        return Series(
            self.component,
            self.metric,
            np.array([self.at[run].mean() for run in runs]),
            np.array([self.values[run].mean() for run in runs]),
        )
