"""Spans to and from OTLP's JSON, which Jaeger's API answers with. Pure.

Written is what the specification says: ids in hex, 64-bit integers as strings, enums as numbers. Read is besides what
generic protobuf JSON makes of it: ids in base64, enums by name, snake_case, numbers as they are.
"""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Iterable
from typing import Final, TypeVar

from agentmesh.jsonvalues import Json, JsonObject
from agentmesh.traces.model import KINDS, SERVICE_NAME, STATUSES, Span, SpanEvent, SpanKind, SpanLink, SpanStatus

_DECIMAL: Final = re.compile(r"-?[0-9]{1,20}\Z")
_HEX: Final = re.compile(r"[0-9a-fA-F]+\Z")
_SPAN_ID_DIGITS: Final = 16
_TRACE_ID_DIGITS: Final = 32
_Member = TypeVar("_Member", SpanKind, SpanStatus)
_DEEPEST: Final = 64
"""Values within values of an attribute."""


class NotOtlp(ValueError):
    """The document is no trace in OTLP's JSON; the message says where."""


def write_spans(spans: Iterable[Span]) -> JsonObject:
    """Return `{"resourceSpans": [...]}`."""
    resources: dict[tuple[int, str], tuple[JsonObject, dict[str, list[Json]]]] = {}
    for span in spans:  # spans that came together share the one object of their process
        resource = {**span.resource, SERVICE_NAME: span.service} if span.service else span.resource
        _, scopes = resources.setdefault((id(span.resource), span.service), (resource, {}))
        scopes.setdefault(span.scope, []).append(_written(span))
    return {
        "resourceSpans": [
            {
                "resource": {"attributes": _pairs(resource)},
                "scopeSpans": [{"scope": {"name": scope}, "spans": written} for scope, written in scopes.items()],
            }
            for resource, scopes in resources.values()
        ]
    }


def read_spans(document: Json) -> list[Span]:
    """Return the spans of `{"resourceSpans": [...]}`.

    Raises:
        NotOtlp: It is something else.
    """
    spans: list[Span] = []
    for one in _objects(document, "resourceSpans"):
        resource = _attributes(_member(one, "resource") or {})
        named = resource.get(SERVICE_NAME)
        service = named if isinstance(named, str) else ""
        for scoped in _objects(one, "scopeSpans"):
            scope = _text(_member(scoped, "scope") or {}, "name")
            spans += [_read(span, service, scope, resource) for span in _objects(scoped, "spans")]
    return spans


def json_number(number: float) -> Json:
    """A number as JSON has them; the others by their name."""
    if math.isfinite(number):
        return number
    return "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"


def _written(span: Span) -> JsonObject:
    written: JsonObject = {
        "traceId": span.trace_id,
        "spanId": span.span_id,
        "parentSpanId": span.parent_id,
        "name": span.name,
        "kind": KINDS.index(span.kind),
        "startTimeUnixNano": str(span.start_ns),
        "endTimeUnixNano": str(span.end_ns),
        "attributes": _pairs(span.attributes),
        "events": [
            {"timeUnixNano": str(event.at_ns), "name": event.name, "attributes": _pairs(event.attributes)}
            for event in span.events
        ],
        "links": [
            {"traceId": link.trace_id, "spanId": link.span_id, "attributes": _pairs(link.attributes)}
            for link in span.links
        ],
        "status": {"code": STATUSES.index(span.status), "message": span.status_text},
    }
    return written


def _pairs(attributes: JsonObject) -> list[Json]:
    return [{"key": key, "value": _any_value(value)} for key, value in attributes.items()]


def _any_value(value: Json) -> JsonObject:
    match value:
        case bool():
            return {"boolValue": value}
        case int():
            return {"intValue": str(value)}
        case float():
            return {"doubleValue": json_number(value)}
        case str():
            return {"stringValue": value}
        case list():
            return {"arrayValue": {"values": [_any_value(one) for one in value]}}
        case dict():
            return {"kvlistValue": {"values": _pairs(value)}}
        case _:
            return {}


def _read(span: JsonObject, service: str, scope: str, resource: JsonObject) -> Span:
    status = _member(span, "status") or {}
    return Span(
        trace_id=_id(span, "traceId", _TRACE_ID_DIGITS),
        span_id=_id(span, "spanId", _SPAN_ID_DIGITS),
        parent_id=_id(span, "parentSpanId", _SPAN_ID_DIGITS).removeprefix("0" * _SPAN_ID_DIGITS),
        kind=_enum(span, "kind", KINDS, "SPAN_KIND_"),
        name=_text(span, "name"),
        service=service,
        scope=scope,
        start_ns=_integer(span, "startTimeUnixNano"),
        end_ns=_integer(span, "endTimeUnixNano"),
        status=_enum(status, "code", STATUSES, "STATUS_CODE_"),
        status_text=_text(status, "message"),
        attributes=_attributes(span),
        events=tuple(
            SpanEvent(_text(event, "name"), _integer(event, "timeUnixNano"), _attributes(event))
            for event in _objects(span, "events")
        ),
        links=tuple(
            SpanLink(_id(link, "traceId", _TRACE_ID_DIGITS), _id(link, "spanId", _SPAN_ID_DIGITS), _attributes(link))
            for link in _objects(span, "links")
        ),
        resource=resource,
    )


def _member(holder: Json, name: str) -> Json:
    """A member by its name in camelCase or in snake_case; None if it is not there."""
    if not isinstance(holder, dict):
        raise NotOtlp(f"an object with {name} was expected")
    if name in holder:
        return holder[name]
    return holder.get(re.sub("[A-Z]", lambda found: f"_{found[0].lower()}", name))


def _objects(holder: Json, name: str) -> list[JsonObject]:
    members = _member(holder, name)
    if members is None:
        return []
    if not isinstance(members, list):
        raise NotOtlp(f"{name} is no list")
    objects = [one for one in members if isinstance(one, dict)]
    if len(objects) != len(members):
        raise NotOtlp(f"{name} has something that is no object")
    return objects


def _text(holder: Json, name: str) -> str:
    value = _member(holder, name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise NotOtlp(f"{name} is no text")
    return value


def _integer(holder: JsonObject, name: str) -> int:
    value = _member(holder, name)
    if value is None:
        return 0
    if isinstance(value, str) and _DECIMAL.match(value):
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise NotOtlp(f"{name} is no whole number")


def _id(holder: JsonObject, name: str, digits: int) -> str:
    text = _text(holder, name)
    if not text:
        return ""
    if len(text) == digits and _HEX.match(text):
        return text.lower()
    try:
        octets = base64.b64decode(text, validate=True)
    except ValueError:
        octets = b""
    if len(octets) * 2 != digits:
        raise NotOtlp(f"{name} is no id of {digits} hex digits")
    return octets.hex()


def _enum(holder: Json, name: str, members: tuple[_Member, ...], prefix: str) -> _Member:
    """By number or by name; the first, which says nothing, for what is not known."""
    value = _member(holder, name)
    if isinstance(value, str):
        return next((member for member in members if value in (member, f"{prefix}{member}")), members[0])
    if isinstance(value, int) and value in range(len(members)):
        return members[value]
    return members[0]


def _attributes(holder: Json) -> JsonObject:
    return {_text(pair, "key"): _value(_member(pair, "value")) for pair in _objects(holder, "attributes")}


def _value(value: Json, depth: int = 0) -> Json:
    if not isinstance(value, dict) or depth > _DEEPEST:
        return None
    if (array := _member(value, "arrayValue")) is not None:
        return [_value(one, depth + 1) for one in _objects(array, "values")]
    if (pairs := _member(value, "kvlistValue")) is not None:
        return {_text(one, "key"): _value(_member(one, "value"), depth + 1) for one in _objects(pairs, "values")}
    if (integer := _member(value, "intValue")) is not None:
        return _integer(value, "intValue") if isinstance(integer, str) else integer
    for name in ("stringValue", "boolValue", "doubleValue", "bytesValue"):
        if (found := _member(value, name)) is not None:
            return found
    return None
