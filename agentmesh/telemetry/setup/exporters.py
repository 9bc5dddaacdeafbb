"""The OTLP/gRPC exporters of OpenTelemetry, told everything by our settings, and reporting how they fare."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, TypedDict

import grpc
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics.export import MetricExportResult, MetricsData
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from agentmesh.telemetry.setup.report import Report
from agentmesh.telemetry.setup.settings import Collector, Traces


class _Arguments(TypedDict):
    """Of both exporters; what is not given they would read from the environment, less strictly."""

    endpoint: str
    insecure: bool
    credentials: grpc.ChannelCredentials | None
    headers: tuple[tuple[str, str], ...]
    timeout: float
    compression: grpc.Compression


def _arguments(collector: Collector) -> _Arguments:
    return _Arguments(
        endpoint=collector.target,
        insecure=collector.plaintext,
        credentials=None if collector.plaintext else _credentials(collector),
        headers=collector.headers,
        timeout=collector.timeout_seconds,
        compression=grpc.Compression.Gzip if collector.gzip else grpc.Compression.NoCompression,
    )


def _credentials(collector: Collector) -> grpc.ChannelCredentials:
    def content(path: str | None) -> bytes | None:
        return None if path is None else Path(path).read_bytes()

    return grpc.ssl_channel_credentials(
        content(collector.root_certificates), content(collector.client_key), content(collector.client_certificate)
    )


class ReportingSpanExporter(OTLPSpanExporter):
    """Exports spans, and says how that goes."""

    def __init__(self, collector: Collector, report: Report) -> None:
        super().__init__(**_arguments(collector))
        self._report: Final = report

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        with self._report.exporting(len(spans)):
            result = super().export(spans)
        if result is SpanExportResult.SUCCESS:
            self._report.succeeded(len(spans))
        else:
            self._report.failed(len(spans))
        return result


class ReportingMetricExporter(OTLPMetricExporter):
    """Exports metrics, and says how that goes. They are sums since the start, so that a lost export loses nothing."""

    def __init__(self, collector: Collector, report: Report) -> None:
        super().__init__(**_arguments(collector))
        self._report: Final = report

    def export(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **more: Any) -> MetricExportResult:  # noqa: ANN401 - as its base
        with self._report.exporting():
            result = super().export(metrics_data, timeout_millis, **more)
        if result is MetricExportResult.SUCCESS:
            self._report.succeeded()
        return result


class CountingProcessor(BatchSpanProcessor):
    """Queues and batches spans, and counts what comes to it."""

    def __init__(self, exporter: SpanExporter, traces: Traces, report: Report) -> None:
        super().__init__(
            exporter,
            max_queue_size=traces.queue_spans,
            schedule_delay_millis=traces.delay_milliseconds,
            max_export_batch_size=traces.batch_spans,
        )
        self._report: Final = report

    def on_end(self, span: ReadableSpan) -> None:
        if span.context is not None and span.context.trace_flags.sampled:
            self._report.ended()
        super().on_end(span)
