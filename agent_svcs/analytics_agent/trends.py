"""From samples to statements: statistics of the window, and what was unusual in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

import numpy as np

from agent_svcs.analytics_agent.detector import detect
from agent_svcs.analytics_agent.history import History, Window
from agent_svcs.analytics_agent.metrics import METRICS, covered
from agent_svcs.analytics_agent.model import Anomaly, MetricTrend, Trends
from agent_svcs.analytics_agent.robust import theil_sen
from agent_svcs.analytics_agent.series import Key, Series
from agent_svcs.components import COMPONENTS
from agent_svcs.instants import iso
from agent_svcs.unknown import check_name, unknown

MOST_ANOMALIES: Final = 50
MOST_SAMPLES: Final = 720
"""Of one series for the detector: an hour at the default interval. Longer ones are averaged down to it."""


Progress: TypeAlias = Callable[[float, str], object]
"""Takes the share of the work that is done, and what is looked at next."""


def _to_nobody(_share: float, _text: str) -> None:
    """Where nobody watches."""


def build_trends(
    history: History,
    entity: str,
    metric: str | None,
    window_minutes: int,
    progress: Progress = _to_nobody,
) -> Trends:
    """What the last `window_minutes` show of one metric, or of all, of every component that the entity covers.

    `progress` is called before each metric of a component is looked at.

    Raises errors.NotFound naming the nearest for an unknown entity, or a metric that it does not have.
    """
    keys = _keys(entity, metric)
    window = history.window(keys, 60.0 * window_minutes)
    inside = [series.since(window.start) for series in window.series]
    anomalies: list[Anomaly] = []
    metrics: list[MetricTrend] = []
    for done, (series, recent) in enumerate(zip(window.series, inside, strict=True)):
        progress(done / len(inside), f"{series.metric} of {series.component}")
        anomalies += _anomalies(series, window)
        if recent.values.size:
            metrics.append(_statistics(recent))
    anomalies.sort(key=lambda one: (-one.score, one.component, one.metric, one.at))
    return Trends(
        entity=entity,
        components=list(dict.fromkeys(component for component, _ in keys)),
        source=window.source,
        window_start=iso(window.start),
        window_end=iso(window.end),
        note=_note(window, inside),
        anomalies=anomalies[:MOST_ANOMALIES],
        anomaly_count=len(anomalies),
        metrics=metrics,
    )


def _keys(entity: str, metric: str | None) -> list[Key]:
    check_name("entity", entity)
    if entity not in COMPONENTS:
        raise unknown("component", entity, COMPONENTS)
    keys = [(component, name) for component in covered(entity) for name in METRICS[component]]
    if metric is None:
        return keys
    check_name("metric", metric)
    if metric not in {name for _, name in keys}:
        raise unknown(f"metric of {entity}", metric, [name for _, name in keys])
    return [key for key in keys if key[1] == metric]


def _note(window: Window, inside: list[Series]) -> str:
    sampled = {series.component for series in inside if series.values.size}
    silent = list(dict.fromkeys(series.component for series in inside if series.component not in sampled))
    if not silent:
        return window.note
    return f"{window.note} No samples of {', '.join(silent)}: not running on this machine in the window."


def _anomalies(series: Series, window: Window) -> list[Anomaly]:
    series = series.thinned(MOST_SAMPLES)
    resolution = METRICS[series.component][series.metric].resolution
    return [
        Anomaly(
            component=series.component,
            metric=series.metric,
            at=iso(series.at[one.index]),
            value=_rounded(one.value),
            expected=_rounded(one.expected),
            score=_rounded(one.score),
            started_at=iso(series.at[one.start]),
            ended_at=iso(series.at[one.end]),
        )
        for one in detect(series.values, resolution)
        if series.at[one.index] >= window.start
    ]


def _statistics(series: Series) -> MetricTrend:
    values = series.values
    return MetricTrend(
        component=series.component,
        metric=series.metric,
        last=_rounded(values[-1]),
        slope_per_hour=_rounded(theil_sen(series.at / 3600.0, values)),
        mean=_rounded(values.mean()),
        min=_rounded(values.min()),
        max=_rounded(values.max()),
        median=_rounded(np.median(values)),
        p95=_rounded(np.percentile(values, 95.0)),
        count=int(values.size),
        unit=METRICS[series.component][series.metric].unit,
    )


def _rounded(value: float | np.floating) -> float:
    """Three decimals; none from a thousand on: an expectation of 87232733.411 bytes is not known to the thousandth."""
    number = float(value)
    return round(number, 0 if abs(number) >= 1000 else 3)
