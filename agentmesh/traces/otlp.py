"""Spans from OTLP's protobuf messages (https://opentelemetry.io/docs/specs/otlp/)."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1 import trace_pb2

from agentmesh.jsonvalues import Json, JsonObject
from agentmesh.traces.model import KINDS, SERVICE_NAME, STATUSES, Span, SpanEvent, SpanKind, SpanLink, SpanStatus
from agentmesh.traces.otlp_json import json_number

_TRACE_ID_BYTES: Final = 16
_SPAN_ID_BYTES: Final = 8
_OBJECT_BYTES: Final = 100
"""What an attribute, an event or a link takes in memory, about, beside the bytes of its message."""


@dataclass(frozen=True, slots=True)
class Received:
    """One span of a request."""

    span: Span | None
    """None if its ids are none: 16 and 8 bytes, not all zero; a parent of 8 bytes, or none."""
    size_bytes: int
    """What it takes in memory, about, with the attributes of its process, which it alone may keep there."""


def spans_of(resources: Iterable[trace_pb2.ResourceSpans]) -> Iterator[Received]:
    """Give every span."""
    for one in resources:
        resource = attributes_of(one.resource.attributes)
        service = resource.get(SERVICE_NAME)
        shared_bytes = one.resource.ByteSize() + _OBJECT_BYTES * _objects_in(resource)
        for scoped in one.scope_spans:
            for message in scoped.spans:
                span = _span(message, service if isinstance(service, str) else "", scoped.scope.name, resource)
                own_bytes = message.ByteSize() + _OBJECT_BYTES * (0 if span is None else _objects_of(span))
                yield Received(span, own_bytes + shared_bytes + scoped.scope.ByteSize())


def attributes_of(pairs: Iterable[KeyValue]) -> JsonObject:
    return {pair.key: _value(pair.value) for pair in pairs}


def _span(message: trace_pb2.Span, service: str, scope: str, resource: JsonObject) -> Span | None:
    trace_id, span_id = _id(message.trace_id, _TRACE_ID_BYTES), _id(message.span_id, _SPAN_ID_BYTES)
    parent_id = _id(message.parent_span_id, _SPAN_ID_BYTES)
    if not trace_id or not span_id or (not parent_id and any(message.parent_span_id)):
        return None
    return Span(
        trace_id=trace_id,
        span_id=span_id,
        parent_id=parent_id,
        kind=KINDS[message.kind] if message.kind in range(len(KINDS)) else SpanKind.UNSPECIFIED,
        name=message.name,
        service=service,
        scope=scope,
        start_ns=message.start_time_unix_nano,
        end_ns=message.end_time_unix_nano,
        status=STATUSES[message.status.code] if message.status.code in range(len(STATUSES)) else SpanStatus.UNSET,
        status_text=message.status.message,
        attributes=attributes_of(message.attributes),
        events=tuple(
            SpanEvent(event.name, event.time_unix_nano, attributes_of(event.attributes)) for event in message.events
        ),
        links=tuple(
            SpanLink(link.trace_id.hex(), link.span_id.hex(), attributes_of(link.attributes))
            for link in message.links
            if _id(link.trace_id, _TRACE_ID_BYTES) and _id(link.span_id, _SPAN_ID_BYTES)  # others lead nowhere
        ),
        resource=resource,
    )


def _id(octets: bytes, length: int) -> str:
    """In hex; empty for what is no id."""
    return octets.hex() if len(octets) == length and any(octets) else ""


def _value(value: AnyValue) -> Json:
    match value.WhichOneof("value"):
        case "string_value":
            return value.string_value
        case "bool_value":
            return value.bool_value
        case "int_value":
            return value.int_value
        case "double_value":
            return json_number(value.double_value)
        case "bytes_value":
            return base64.b64encode(value.bytes_value).decode()
        case "array_value":
            return [_value(one) for one in value.array_value.values]
        case "kvlist_value":
            return attributes_of(value.kvlist_value.values)
        case _:
            return None


def _objects_of(span: Span) -> int:
    within = [span.attributes, *(event.attributes for event in span.events), *(link.attributes for link in span.links)]
    return len(span.events) + len(span.links) + sum(map(_objects_in, within))


def _objects_in(value: Json) -> int:
    """How many values there are within it, at every depth."""
    members = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return len(members) + sum(map(_objects_in, members))
