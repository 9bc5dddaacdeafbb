"""Collectors for tests: one that keeps what it gets, and those that do not work."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.common.v1 import common_pb2
from opentelemetry.proto.metrics.v1 import metrics_pb2
from opentelemetry.proto.resource.v1 import resource_pb2
from opentelemetry.proto.trace.v1 import trace_pb2

PATIENCE_SECONDS = 30.0


class Collector(trace_service_pb2_grpc.TraceServiceServicer, metrics_service_pb2_grpc.MetricsServiceServicer):
    """Keeps every export and answers it; a slow one answers once it is released, a refusing one once it takes."""

    def __init__(self, *, slow: bool = False, refusing: bool = False) -> None:
        self.address = ""
        self.refused = 0
        self.resources: list[resource_pb2.Resource] = []
        self.spans: list[trace_pb2.Span] = []
        self.metrics: list[metrics_pb2.Metric] = []
        self.metadata: list[dict[str, str | bytes]] = []
        """Of every export."""
        self._refusing = refusing
        self._changed = threading.Condition()
        self._released = threading.Event()
        if not slow:
            self._released.set()

    def release(self) -> None:
        """Answer, what waits and what comes."""
        self._released.set()

    def take(self) -> None:
        """Refuse no more."""
        self._refusing = False

    def until(self, satisfied: Callable[[], bool]) -> None:
        """Wait for what exports make true."""
        with self._changed:
            assert self._changed.wait_for(satisfied, PATIENCE_SECONDS), f"{len(self.spans)} spans, {self.metrics}"

    def Export(
        self,
        request: trace_service_pb2.ExportTraceServiceRequest | metrics_service_pb2.ExportMetricsServiceRequest,
        context: grpc.ServicerContext,
    ) -> trace_service_pb2.ExportTraceServiceResponse | metrics_service_pb2.ExportMetricsServiceResponse:
        if self._refusing:
            with self._changed:
                self.refused += 1
                self._changed.notify_all()
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "not now")
        with self._changed:
            self.metadata.append(dict(context.invocation_metadata()))
            if isinstance(request, trace_service_pb2.ExportTraceServiceRequest):
                for spans in request.resource_spans:
                    self.resources.append(spans.resource)
                    self.spans += [span for scope in spans.scope_spans for span in scope.spans]
            else:
                for metrics in request.resource_metrics:
                    self.resources.append(metrics.resource)
                    self.metrics += [metric for scope in metrics.scope_metrics for metric in scope.metrics]
            self._changed.notify_all()
        self._released.wait()
        if isinstance(request, trace_service_pb2.ExportTraceServiceRequest):
            return trace_service_pb2.ExportTraceServiceResponse()
        return metrics_service_pb2.ExportMetricsServiceResponse()


@contextmanager
def collecting(collector: Collector) -> Iterator[Collector]:
    """Serve a collector at a port of its own."""
    with ThreadPoolExecutor(8) as threads:
        server = grpc.server(threads, options=[("grpc.so_reuseport", 0)])
        trace_service_pb2_grpc.add_TraceServiceServicer_to_server(collector, server)  # type: ignore[no-untyped-call]
        metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server(collector, server)  # type: ignore[no-untyped-call]
        collector.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        server.start()
        try:
            yield collector
        finally:
            collector.release()
            server.stop(None).wait()


@contextmanager
def closed_port() -> Iterator[str]:
    """An address where every connection is refused: it is bound, and nobody listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{bound.getsockname()[1]}"


@contextmanager
def black_hole() -> Iterator[str]:
    """An address that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"127.0.0.1:{listening.getsockname()[1]}"


@contextmanager
def slow_collector() -> Iterator[str]:
    """The address of a collector that takes every export, and answers none before the end."""
    with collecting(Collector(slow=True)) as collector:
        yield collector.address


def attributes(of: list[common_pb2.KeyValue]) -> dict[str, str]:
    """Attributes that are text."""
    return {pair.key: pair.value.string_value for pair in of}
