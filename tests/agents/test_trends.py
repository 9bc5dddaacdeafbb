"""Statistics and anomalies of windows, and what is said of names that do not exist."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from agent_svcs.analytics_agent.history import CONTEXT_SECONDS, History
from agent_svcs.analytics_agent.metrics import METRICS
from agent_svcs.analytics_agent.recordings import Recording
from agent_svcs.analytics_agent.robust import Values
from agent_svcs.analytics_agent.series import Key, Series
from agent_svcs.analytics_agent.store import Store
from agent_svcs.analytics_agent.trends import MOST_ANOMALIES, build_trends
from agent_svcs.components import COMPONENTS
from agentmesh import errors

SECONDS = 600


def _noise(seed: int, level: float, sigma: float) -> Values:
    return level + sigma * np.random.default_rng(seed).standard_normal(SECONDS)


def _history(values: Mapping[Key, Values]) -> History:
    at = 1_000_000.0 + np.arange(SECONDS, dtype=np.float64)
    series = {key: Series(*key, at[-one.size :], one) for key, one in values.items()}
    recording = Recording({"started": "1970-01-12T13:46:40Z"}, float(at[0]), float(at[-1]), series)
    return History(Store(None, 3600.0), recording, 5.0)


def _ordinary() -> dict[Key, Values]:
    """Around 100 times the smallest change that matters of each metric, with noise far below it."""
    metrics = [(component, one) for component in COMPONENTS for one in METRICS[component].values()]
    return {
        (component, one.name): _noise(number, level=100.0 * one.resolution, sigma=0.1 * one.resolution)
        for number, (component, one) in enumerate(metrics)
    }


def test_the_host_covers_every_component_and_an_anomaly_names_its_own() -> None:
    values = _ordinary()
    values["config_agent", "cpu_percent"][200:215] += 60.0
    values["data_agent", "open_fds"][400] += 20.0
    trends = build_trends(_history(values), "host", None, 60)
    assert trends.components == list(COMPONENTS)
    assert {(one.component, one.metric) for one in trends.metrics} == set(values)
    first, second = trends.anomalies
    assert (first.component, first.metric) == ("config_agent", "cpu_percent")
    assert (first.started_at, first.ended_at) == ("1970-01-12T13:50:00Z", "1970-01-12T13:50:14Z")
    assert first.started_at <= first.at <= first.ended_at
    assert first.value == pytest.approx(560.0, abs=3.0)
    assert first.expected == pytest.approx(500.0, abs=3.0)
    assert (second.component, second.metric) == ("data_agent", "open_fds")
    assert first.score > second.score > 3.0
    assert trends.anomaly_count == 2


def test_one_component_covers_itself_alone() -> None:
    values = _ordinary()
    values["config_agent", "cpu_percent"][200:215] += 60.0
    trends = build_trends(_history(values), "data_agent", None, 60)
    assert (trends.entity, trends.components, trends.anomalies) == ("data_agent", ["data_agent"], [])
    assert {one.component for one in trends.metrics} == {"data_agent"}


def test_one_metric_is_looked_at_in_every_component_that_has_it() -> None:
    trends = build_trends(_history(_ordinary()), "host", "cpu_percent", 60)
    assert [(one.component, one.metric) for one in trends.metrics] == [(one, "cpu_percent") for one in COMPONENTS]
    only_host = build_trends(_history(_ordinary()), "host", "load_1m", 60)
    assert [one.component for one in only_host.metrics] == ["host"]


def test_the_statistics_are_those_of_the_window() -> None:
    values = np.arange(SECONDS, dtype=np.float64)
    trends = build_trends(_history({("host", "load_1m"): values}), "host", "load_1m", 1)
    (one,) = trends.metrics
    assert (one.count, one.min, one.max, one.mean, one.median, one.last) == (61, 539.0, 599.0, 569.0, 569.0, 599.0)
    assert one.p95 == 596.0
    assert one.slope_per_hour == 3600.0
    assert one.unit == "runnable processes, average of a minute"
    assert (trends.window_start, trends.window_end) == ("1970-01-12T13:55:39Z", "1970-01-12T13:56:39Z")


def test_what_is_ordinary_is_learnt_from_before_the_window_too_and_anomalies_are_those_of_the_window() -> None:
    assert CONTEXT_SECONDS > SECONDS
    values = _noise(1, 100.0, 1.0)
    values[[100, 590]] += 50.0
    trends = build_trends(_history({("host", "load_1m"): values}), "host", "load_1m", 1)
    assert [one.at for one in trends.anomalies] == ["1970-01-12T13:56:30Z"]


def test_a_source_without_samples_of_a_component_says_so() -> None:
    history = _history({("host", "load_1m"): np.ones(SECONDS)})
    trends = build_trends(history, "orchestrator", None, 60)
    assert (trends.metrics, trends.anomalies) == ([], [])
    assert "No samples of orchestrator" in trends.note
    assert trends.source == "recording"
    assert "recording" in trends.note


def test_the_fifty_strongest_anomalies_are_told_and_all_are_counted() -> None:
    values = _ordinary()
    for one in values.values():
        one[50::100] *= 1.8
    trends = build_trends(_history(values), "host", None, 60)
    assert (len(trends.anomalies), trends.anomaly_count) == (MOST_ANOMALIES, 6 * len(values))
    scores = [one.score for one in trends.anomalies]
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize(
    ("entity", "metric", "message"),
    [
        ("data-agent", None, "no component named 'data-agent'; did you mean data_agent?"),
        ("postgres", None, "no component named 'postgres'; there is analytics_agent, config_agent"),
        ("host", "cpu", "no metric of host named 'cpu'"),
        ("host", "memory", "did you mean memory_bytes or memory_percent?"),
        ("data_agent", "load_1m", "no metric of data_agent named 'load_1m'"),
    ],
)
def test_unknown_names_are_not_found_and_the_nearest_is_named(entity: str, metric: str | None, message: str) -> None:
    with pytest.raises(errors.NotFound) as raised:
        build_trends(_history(_ordinary()), entity, metric, 60)
    assert message in raised.value.message


def test_numbers_from_a_thousand_on_are_whole() -> None:
    """An expectation of 87232733.411 bytes would claim what nobody knows, and fill a table with it."""
    memory = 2_000_000.0 * np.arange(SECONDS) + _noise(1, level=87_232_733.3, sigma=1_000.0)
    memory[300] *= 2.0
    trends = build_trends(_history({("data_agent", "memory_bytes"): memory}), "data_agent", "memory_bytes", 60)
    (anomaly,), (metric,) = trends.anomalies, trends.metrics
    for value in (anomaly.value, anomaly.expected, metric.mean, metric.p95, metric.slope_per_hour):
        assert value == round(value)
