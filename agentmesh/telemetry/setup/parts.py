"""Builds the providers of OpenTelemetry, makes them those of the process, and knows how to end each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

import structlog
from opentelemetry import metrics as metrics_api
from opentelemetry import trace as trace_api
from opentelemetry.sdk import metrics as metrics_sdk
from opentelemetry.sdk import trace as trace_sdk
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import sampling

from agentmesh.telemetry.setup.exporters import CountingProcessor, ReportingMetricExporter, ReportingSpanExporter
from agentmesh.telemetry.setup.report import Report, take_over_lines
from agentmesh.telemetry.setup.settings import Limits, Metrics, TelemetrySettings, Traces

if TYPE_CHECKING:
    from agentmesh.telemetry.setup.pull import PullEndpoint

_SAMPLERS: Final[Mapping[str, sampling.Sampler]] = {
    "always_on": sampling.ALWAYS_ON,
    "always_off": sampling.ALWAYS_OFF,
    "parentbased_always_on": sampling.DEFAULT_ON,
    "parentbased_always_off": sampling.DEFAULT_OFF,
}
_EXEMPLARS: Final[Mapping[str, metrics_sdk.ExemplarFilter]] = {
    "trace_based": metrics_sdk.TraceBasedExemplarFilter(),
    "always_on": metrics_sdk.AlwaysOnExemplarFilter(),
    "always_off": metrics_sdk.AlwaysOffExemplarFilter(),
}
_log: Final = structlog.get_logger(scope="agentmesh.telemetry")


class Part(Protocol):
    """Something that runs until the end of the process."""

    def finish(self) -> None:
        """Export what is left, and end; takes as long as the collector lets it."""

    def cut_off(self) -> None:
        """Let a `finish` that hangs come to its end; what was not exported is lost."""

    def closed(self) -> None:
        """Neither of the two is waited for any more."""


def build(settings: TelemetrySettings, attributes: Mapping[str, str]) -> Sequence[Part]:
    """Start exporting what the settings ask for, for the whole process."""
    take_over_lines()
    resource = Resource.create({**attributes, **dict(settings.resource)})
    parts: list[Part] = []
    if settings.metrics is not None:  # first: what counts the spans of the SDK is a metric
        parts += _metrics(settings.metrics, resource)
    if settings.traces is not None:
        parts.append(_traces(settings.traces, resource))
    return parts


@dataclass(frozen=True, slots=True)
class _Exported:
    """A signal that goes to a collector."""

    source: trace_sdk.TracerProvider | PeriodicExportingMetricReader
    exporter: ReportingSpanExporter | ReportingMetricExporter
    report: Report

    def finish(self) -> None:
        self.source.shutdown()

    def cut_off(self) -> None:
        self.report.closing()
        self.exporter.shutdown()

    def closed(self) -> None:
        self.report.closed()


def _traces(traces: Traces, resource: Resource) -> Part:
    target = traces.collector.target
    report = Report("traces", target, waiting=traces.queue_spans)
    exporter = ReportingSpanExporter(traces.collector, report)
    provider = trace_sdk.TracerProvider(
        sampler=_sampler(traces), resource=resource, shutdown_on_exit=False, span_limits=_limits(traces.limits)
    )
    provider.add_span_processor(CountingProcessor(exporter, traces, report))
    trace_api.set_tracer_provider(provider)
    _log.info("traces are exported", target=target, tls=not traces.collector.plaintext)
    return _Exported(provider, exporter, report)


def _sampler(traces: Traces) -> sampling.Sampler:
    match traces.sampler:
        case "traceidratio":
            return sampling.TraceIdRatioBased(traces.ratio)
        case "parentbased_traceidratio":
            return sampling.ParentBasedTraceIdRatio(traces.ratio)
        case name:
            return _SAMPLERS[name]


def _limits(limits: Limits) -> trace_sdk.SpanLimits:
    return trace_sdk.SpanLimits(
        max_attributes=limits.attributes,
        max_events=limits.events,
        max_links=limits.links,
        max_span_attributes=limits.attributes,
        max_event_attributes=limits.event_attributes,
        max_link_attributes=limits.link_attributes,
        max_attribute_length=limits.value_characters,
        max_span_attribute_length=limits.value_characters,
    )


def _metrics(metrics: Metrics, resource: Resource) -> Sequence[Part]:
    parts: list[Part] = []
    readers: list[MetricReader] = []
    endpoint: PullEndpoint | None = None
    if metrics.pull is not None:
        from agentmesh.telemetry.setup.pull import PullEndpoint  # noqa: PLC0415 - comes with an extra

        endpoint = PullEndpoint(metrics.pull)
        parts.append(endpoint)
        readers.append(endpoint.reader)
    if metrics.collector is not None:
        report = Report("metrics", metrics.collector.target)
        exporter = ReportingMetricExporter(metrics.collector, report)
        reader = PeriodicExportingMetricReader(exporter, metrics.interval_milliseconds)
        parts.append(_Exported(reader, exporter, report))
        readers.append(reader)
        _log.info("metrics are exported", target=metrics.collector.target, tls=not metrics.collector.plaintext)
    exemplars = _EXEMPLARS[metrics.exemplars]
    metrics_api.set_meter_provider(
        metrics_sdk.MeterProvider(readers, resource, exemplar_filter=exemplars, shutdown_on_exit=False)
    )
    if endpoint is not None:
        endpoint.serve()
    return parts
