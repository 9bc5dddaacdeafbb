"""What analytics_agent answers. Plans refer to these fields."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from pydantic import ConfigDict

_DOCUMENTED = ConfigDict(use_attribute_docstrings=True)
"""The texts under the fields become the descriptions in the output schema."""


@dataclass(frozen=True, slots=True)
class MetricTrend:
    """Statistics of one metric of one component over the window."""

    __pydantic_config__: ClassVar[ConfigDict] = _DOCUMENTED

    component: str
    metric: str
    last: float
    slope_per_hour: float
    """Median slope (Theil-Sen), in the unit of the metric per hour; a few wild values do not move it."""
    mean: float
    min: float
    max: float
    median: float
    p95: float
    count: int
    """Samples in the window."""
    unit: str


@dataclass(frozen=True, slots=True)
class Anomaly:
    """One unusual event: a spike, a plateau, or the beginning of a lasting new level."""

    __pydantic_config__: ClassVar[ConfigDict] = _DOCUMENTED

    component: str
    """Where it was seen; the other agents know it by the same name."""
    metric: str
    at: str
    """ISO 8601, UTC: its most unusual moment, or the first of a new level."""
    value: float
    expected: float
    """What the ordinary course of the metric would have given."""
    score: float
    """Distance between the two in standard deviations of the ordinary noise."""
    started_at: str
    ended_at: str
    """The same as started_at for a new level that lasts."""


@dataclass(frozen=True, slots=True)
class Trends:
    """What a window of the history shows."""

    __pydantic_config__: ClassVar[ConfigDict] = _DOCUMENTED

    entity: str
    components: list[str]
    """The components that the entity covers."""
    source: Literal["live", "recording"]
    """recording: shipped with the agent, used until there are 60 rounds of live samples."""
    window_start: str
    """ISO 8601, UTC."""
    window_end: str
    """ISO 8601, UTC: the newest sample."""
    note: str
    anomalies: list[Anomaly]
    """Strongest first, at most 50; empty if nothing is unusual."""
    anomaly_count: int
    """Also those beyond the 50."""
    metrics: list[MetricTrend]
    """Of every metric with samples in the window."""
