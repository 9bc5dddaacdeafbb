"""deploy/jaeger/config.yaml: span metrics are those of all spans, and every part that is named is there."""

from __future__ import annotations

from typing import Any

import yaml

from tests.deploy.places import JAEGER, jaeger_ports

CONFIG: dict[str, Any] = yaml.safe_load(JAEGER.read_text())
PIPELINES: dict[str, dict[str, list[str]]] = CONFIG["service"]["pipelines"]


def _ways(pipeline: str) -> list[list[str]]:
    """Processors and exporters after a pipeline's receivers, each way to its end."""
    part = PIPELINES[pipeline]
    ways = []
    for exporter in part["exporters"]:
        onward = [name for name, other in PIPELINES.items() if exporter in other["receivers"]]
        rest = [way for name in onward for way in _ways(name)] or [[]]
        ways += [[*part.get("processors", []), exporter, *way] for way in rest]
    return ways


def test_span_metrics_are_made_before_anything_is_sampled() -> None:
    ways = [way for name, part in PIPELINES.items() if "otlp" in part["receivers"] for way in _ways(name)]
    metrics = [way[: way.index("spanmetrics")] for way in ways if "spanmetrics" in way]
    assert metrics == [["memory_limiter"]]
    assert ["memory_limiter", "spanmetrics", "prometheus"] in ways
    assert ["memory_limiter", "forward", "jaeger_storage_exporter"] in ways
    assert ["memory_limiter", "prometheus"] in ways


def test_every_part_of_a_pipeline_is_configured() -> None:
    connectors = CONFIG["connectors"].keys()
    for pipeline in PIPELINES.values():
        assert set(pipeline["receivers"]) <= CONFIG["receivers"].keys() | connectors
        assert set(pipeline.get("processors", [])) <= CONFIG["processors"].keys()
        assert set(pipeline["exporters"]) <= CONFIG["exporters"].keys() | connectors
    assert set(CONFIG["service"]["extensions"]) == CONFIG["extensions"].keys()


def test_what_is_to_be_kept_of_a_sample_is_what_failed_was_partial_or_slow() -> None:
    policies = [policy["name"] for policy in CONFIG["processors"]["tail_sampling"]["policies"]]
    assert policies == ["failed", "partial", "slow", "the rest"]


def test_the_monitor_tab_asks_for_the_names_that_the_exporter_makes() -> None:
    storage = CONFIG["extensions"]["jaeger_storage"]
    assert CONFIG["extensions"]["jaeger_query"]["storage"]["metrics"] in storage["metric_backends"]
    backend = storage["metric_backends"]["span_metrics"]["prometheus"]
    assert backend["normalize_calls"]
    assert backend["normalize_duration"]


def test_it_listens_where_the_mesh_prometheus_and_people_look_for_it() -> None:
    assert {4317, 4318, 8888, 8889, 13133, 16686} <= jaeger_ports()
