"""Spans that tests make by hand, and ways to send some."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1 import trace_pb2

from agentmesh.jsonvalues import Json, JsonObject
from agentmesh.telemetry import names
from agentmesh.traces.model import KINDS, STATUSES, Span, SpanKind, SpanStatus, Trace

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
MILLISECOND = 1_000_000
BEGAN_NS = 1_769_000_000_000 * MILLISECOND


def span(
    number: int,
    name: str = "work",
    *,
    parent: int = 0,
    service: str = "orchestrator",
    kind: SpanKind = SpanKind.INTERNAL,
    at_ms: float = 0,
    ms: float = 10,
    trace_id: str = TRACE_ID,
    status: SpanStatus = SpanStatus.UNSET,
    attributes: dict[str, Json] | None = None,
    **others: Any,  # noqa: ANN401 - further fields of a span
) -> Span:
    """The numbers are ids; times are from the beginning of the trace."""
    start_ns = BEGAN_NS + round(at_ms * MILLISECOND)
    return Span(
        trace_id=trace_id,
        span_id=f"{number:016x}",
        parent_id=f"{parent:016x}" if parent else "",
        kind=kind,
        name=name,
        service=service,
        start_ns=start_ns,
        end_ns=start_ns + round(ms * MILLISECOND),
        status=status,
        attributes=attributes or {},
        **others,
    )


def trace(*spans: Span, trace_id: str = TRACE_ID) -> Trace:
    return Trace.of(trace_id, spans)


def rpc(
    number: int,
    method: str = "agentmesh.v1.Agent/Execute",
    *,
    code: str = "OK",
    attempt: int = 1,
    **fields: Any,  # noqa: ANN401
) -> Span:
    """A side of an rpc."""
    attributes: dict[str, Json] = {
        names.RPC_SYSTEM: "grpc",
        names.RPC_METHOD: method,
        names.RPC_STATUS_CODE: code,
        names.ATTEMPT: attempt,
    }
    return span(number, method, attributes=attributes, **fields)


def message(one: Span, **changes: bytes | int) -> trace_pb2.Span:
    """As it is exported; `changes` make it wrong."""
    fields: dict[str, Any] = {
        "trace_id": bytes.fromhex(one.trace_id),
        "span_id": bytes.fromhex(one.span_id),
        "parent_span_id": bytes.fromhex(one.parent_id),
        "kind": KINDS.index(one.kind),
        "name": one.name,
        "start_time_unix_nano": one.start_ns,
        "end_time_unix_nano": one.end_ns,
        "attributes": _attributes(one.attributes),
        "status": {"code": STATUSES.index(one.status), "message": one.status_text},
        "events": [
            {"name": event.name, "time_unix_nano": event.at_ns, "attributes": _attributes(event.attributes)}
            for event in one.events
        ],
        "links": [
            {"trace_id": bytes.fromhex(link.trace_id), "span_id": bytes.fromhex(link.span_id)} for link in one.links
        ],
    }
    return trace_pb2.Span(**{**fields, **changes})


def _attributes(attributes: JsonObject) -> list[KeyValue]:
    """Texts and numbers."""
    kinds = {str: "string_value", bool: "bool_value", int: "int_value", float: "double_value"}
    return [
        KeyValue(key=key, value=AnyValue(**{kinds[type(value)]: value}))  # type: ignore[arg-type]
        for key, value in attributes.items()
    ]


def request(*messages: trace_pb2.Span, service: str = "orchestrator") -> trace_service_pb2.ExportTraceServiceRequest:
    made = trace_service_pb2.ExportTraceServiceRequest()
    resource = made.resource_spans.add()
    resource.resource.attributes.add(key="service.name").value.string_value = service
    resource.scope_spans.add(spans=messages)
    return made


@contextmanager
def exporter(address: str, service: str = "trace.v1.TraceService") -> Iterator[Any]:
    """Give the rpc as bytes in, bytes out."""
    with grpc.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)]) as channel:
        yield channel.unary_unary(f"/opentelemetry.proto.collector.{service}/Export")


def send_all(address: str, spans: Iterable[Span]) -> None:
    """Export spans, each by its service."""
    for one in spans:
        send(address, message(one), service=one.service)


def send(address: str, *messages: trace_pb2.Span, service: str = "orchestrator") -> Any:  # noqa: ANN401
    """Export spans in one request; gives its answer."""
    with exporter(address) as export:
        answer = export(request(*messages, service=service).SerializeToString(), timeout=10)
    return trace_service_pb2.ExportTraceServiceResponse.FromString(answer)
