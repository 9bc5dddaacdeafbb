"""Reads the standard variables of OpenTelemetry (OTEL_*), strictly: what cannot be used is a problem, not a default.

    https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
    https://opentelemetry.io/docs/specs/otel/protocol/exporter/

Milliseconds as the specification has them, also for OTEL_EXPORTER_OTLP_TIMEOUT, which the SDK of Python takes for
seconds. What is exported is what is asked for: with an endpoint, or an exporter by name; else nothing is. Logs go to
standard output, so OTEL_LOGS_* is not read.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Final
from urllib.parse import unquote

from agentmesh.env import Environment
from agentmesh.telemetry.setup.reading_otlp import read_collector
from agentmesh.telemetry.setup.settings import NOTHING, Collector, Limits, Metrics, Pull, TelemetrySettings, Traces

_ENDPOINT: Final = "OTEL_EXPORTER_OTLP_ENDPOINT"
_TRACES: Final = ("otlp", "none")
_METRICS: Final = ("otlp", "prometheus", "none")
_SAMPLERS: Final = tuple(
    prefix + name for prefix in ("", "parentbased_") for name in ("always_on", "always_off", "traceidratio")
)
_EXEMPLARS: Final = ("trace_based", "always_on", "always_off")
_MAX_MILLISECONDS: Final = 86_400_000.0
_MAX_SPANS: Final = 1_000_000
_MAX_PORT: Final = 65535


def read_telemetry_settings(environment: Mapping[str, str]) -> TelemetrySettings:
    """Read OTEL_* by itself.

    Raises:
        EnvironmentInvalid: With every problem.
    """
    env = Environment(environment)
    settings = read_telemetry(env)
    env.check()
    return settings


def read_telemetry(env: Environment) -> TelemetrySettings:
    """Read OTEL_*; `env` remembers the problems."""
    _check_propagators(env)
    if env.flag("OTEL_SDK_DISABLED"):
        return NOTHING
    traces = _exporters(env, "TRACES", _TRACES)
    metrics = _exporters(env, "METRICS", _METRICS)
    return TelemetrySettings(
        traces=_traces(env) if "otlp" in traces else None,
        metrics=_metrics(env, metrics) if metrics else None,
        resource=_resource(env) if traces or metrics else (),
    )


def _exporters(env: Environment, signal: str, known: tuple[str, ...]) -> frozenset[str]:
    """Which exporters of a signal are asked for; several have commas between them."""
    name = f"OTEL_{signal}_EXPORTER"
    endpoint = env.text(f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT") or env.text(_ENDPOINT)
    given = env.text(name, "otlp" if endpoint else "none").lower()
    exporters = {part.strip() for part in given.split(",")}
    for exporter in sorted(exporters.difference(known)):
        env.problem(name, f"{exporter!r} is none of {', '.join(known)}")
    return frozenset(exporters.intersection(known) - {"none"})


def _traces(env: Environment) -> Traces:
    queue = env.integer("OTEL_BSP_MAX_QUEUE_SIZE", Traces.queue_spans, at_least=1, at_most=_MAX_SPANS)
    batch = env.integer("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", min(queue, Traces.batch_spans), at_least=1)
    if batch > queue:
        env.problem("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", f"{batch} is more than OTEL_BSP_MAX_QUEUE_SIZE, {queue}")
    return Traces(
        collector=read_collector(env, "TRACES", export_timeout="OTEL_BSP_EXPORT_TIMEOUT"),
        sampler=env.choice("OTEL_TRACES_SAMPLER", Traces.sampler, _SAMPLERS),
        ratio=env.number("OTEL_TRACES_SAMPLER_ARG", Traces.ratio, at_least=0, at_most=1),
        queue_spans=queue,
        batch_spans=batch,
        delay_milliseconds=_milliseconds(env, "OTEL_BSP_SCHEDULE_DELAY", Traces.delay_milliseconds),
        limits=_limits(env),
    )


def _limits(env: Environment) -> Limits:
    def count(name: str, default: int) -> int:
        return env.integer(name, default, at_least=0)

    characters = count("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", Limits.value_characters)
    attributes = count("OTEL_ATTRIBUTE_COUNT_LIMIT", Limits.attributes)
    return Limits(
        value_characters=count("OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", characters),
        attributes=count("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", attributes),
        events=count("OTEL_SPAN_EVENT_COUNT_LIMIT", Limits.events),
        event_attributes=count("OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT", attributes),
        links=count("OTEL_SPAN_LINK_COUNT_LIMIT", Limits.links),
        link_attributes=count("OTEL_LINK_ATTRIBUTE_COUNT_LIMIT", attributes),
    )


def _metrics(env: Environment, exporters: frozenset[str]) -> Metrics:
    return Metrics(
        collector=_metrics_collector(env) if "otlp" in exporters else None,
        pull=_pull(env) if "prometheus" in exporters else None,
        interval_milliseconds=_milliseconds(env, "OTEL_METRIC_EXPORT_INTERVAL", Metrics.interval_milliseconds),
        exemplars=env.choice("OTEL_METRICS_EXEMPLAR_FILTER", Metrics.exemplars, _EXEMPLARS),
    )


def _metrics_collector(env: Environment) -> Collector:
    return read_collector(env, "METRICS", export_timeout="OTEL_METRIC_EXPORT_TIMEOUT")


def _pull(env: Environment) -> Pull:
    if importlib.util.find_spec("prometheus_client") is None:
        env.problem("OTEL_METRICS_EXPORTER", "prometheus needs an extra: pip install 'agentmesh[prometheus]'")
    return Pull(
        host=env.text("OTEL_EXPORTER_PROMETHEUS_HOST", Pull.host),
        port=env.integer("OTEL_EXPORTER_PROMETHEUS_PORT", Pull.port, at_least=0, at_most=_MAX_PORT),
    )


def _resource(env: Environment) -> tuple[tuple[str, str], ...]:
    attributes: dict[str, str] = {}
    for pair in filter(None, map(str.strip, env.text("OTEL_RESOURCE_ATTRIBUTES").split(","))):
        key, equals, value = pair.partition("=")
        if not key.strip() or not equals:
            env.problem("OTEL_RESOURCE_ATTRIBUTES", f"{pair!r} is no key=value")
        attributes[unquote(key.strip())] = unquote(value.strip())
    if name := env.text("OTEL_SERVICE_NAME"):
        attributes["service.name"] = name
    return tuple(attributes.items())


def _check_propagators(env: Environment) -> None:
    """Look at what the API of OpenTelemetry reads itself when it is imported, which then fails if one is not there."""
    for name in filter(None, map(str.strip, env.text("OTEL_PROPAGATORS").split(","))):
        if name.lower() != "none" and not entry_points(group="opentelemetry_propagator", name=name):
            env.problem("OTEL_PROPAGATORS", f"{name!r} is not installed; there are tracecontext, baggage and none")


def _milliseconds(env: Environment, name: str, default: float) -> float:
    return env.number(name, default, at_least=1, at_most=_MAX_MILLISECONDS)
