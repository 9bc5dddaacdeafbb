"""A trace: spans of several processes under one id. Plain data, whoever recorded it. Pure.

What comes from other processes may be wrong in every way: parents that are not there, spans that end before they
begin, parents in a circle. All of that is kept as it came; `agentmesh.traces.tree` makes a tree of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from agentmesh.jsonvalues import Json, JsonObject

NANOSECONDS: Final = 1_000_000_000
SERVICE_NAME: Final = "service.name"


class SpanKind(StrEnum):
    """Which side of what a span is."""

    UNSPECIFIED = "UNSPECIFIED"
    """Also kinds that are not known here."""
    INTERNAL = "INTERNAL"
    SERVER = "SERVER"
    CLIENT = "CLIENT"
    PRODUCER = "PRODUCER"
    CONSUMER = "CONSUMER"


class SpanStatus(StrEnum):
    """How a span ended, as far as that was said."""

    UNSET = "UNSET"
    """Nothing was said: as a rule it went well."""
    OK = "OK"
    ERROR = "ERROR"


KINDS: Final = (
    SpanKind.UNSPECIFIED,
    SpanKind.INTERNAL,
    SpanKind.SERVER,
    SpanKind.CLIENT,
    SpanKind.PRODUCER,
    SpanKind.CONSUMER,
)
"""By their number in OTLP."""
STATUSES: Final = (SpanStatus.UNSET, SpanStatus.OK, SpanStatus.ERROR)
"""By their number in OTLP."""


@dataclass(frozen=True, slots=True)
class SpanEvent:
    """A moment within a span."""

    name: str
    at_ns: int
    attributes: JsonObject = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SpanLink:
    """Another span that this one depends on without being its child."""

    trace_id: str
    span_id: str
    attributes: JsonObject = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """One operation of one process; times in nanoseconds since 1970."""

    trace_id: str
    """32 hex digits, lower case."""
    span_id: str
    """16 hex digits, lower case."""
    parent_id: str = ""
    """Empty for one that has none. The parent may be missing from the trace."""
    kind: SpanKind = SpanKind.INTERNAL
    name: str
    service: str
    """`service.name` of its resource; empty if that says none."""
    scope: str = ""
    """What made it, as `agentmesh`."""
    start_ns: int
    end_ns: int
    status: SpanStatus = SpanStatus.UNSET
    status_text: str = ""
    attributes: JsonObject = field(default_factory=dict)
    events: tuple[SpanEvent, ...] = ()
    links: tuple[SpanLink, ...] = ()
    resource: JsonObject = field(default_factory=dict)
    """Attributes of the process."""

    @property
    def seconds(self) -> float:
        """How long it took; 0 if it says that it ended before it began."""
        return max(self.end_ns - self.start_ns, 0) / NANOSECONDS

    @property
    def failed(self) -> bool:
        return self.status is SpanStatus.ERROR

    def get(self, attribute: str) -> Json:
        """Return an attribute; None if it is not there."""
        return self.attributes.get(attribute)


@dataclass(frozen=True, slots=True)
class Trace:
    """Spans of one trace, by their beginning; each span id once."""

    trace_id: str
    spans: tuple[Span, ...]

    @classmethod
    def of(cls, trace_id: str, spans: Iterable[Span]) -> Trace:
        """Take those spans that belong to the trace; of several with one id the first."""
        once: dict[str, Span] = {}
        for span in spans:
            if span.trace_id == trace_id:
                once.setdefault(span.span_id, span)
        return cls(trace_id, tuple(sorted(once.values(), key=lambda span: (span.start_ns, span.span_id))))

    @property
    def start_ns(self) -> int:
        """The beginning of the first span; 0 without spans."""
        return min((span.start_ns for span in self.spans), default=0)

    @property
    def end_ns(self) -> int:
        """The end of the last span; not before `start_ns`."""
        return max((max(span.start_ns, span.end_ns) for span in self.spans), default=0)

    @property
    def seconds(self) -> float:
        return (self.end_ns - self.start_ns) / NANOSECONDS

    @property
    def services(self) -> tuple[str, ...]:
        """Each once, by their first span."""
        return tuple(dict.fromkeys(span.service for span in self.spans))

    @property
    def roots(self) -> tuple[Span, ...]:
        """Spans without a parent."""
        return tuple(span for span in self.spans if not span.parent_id)

    @property
    def orphans(self) -> tuple[Span, ...]:
        """Spans whose parent is not in the trace."""
        ids = {span.span_id for span in self.spans}
        return tuple(span for span in self.spans if span.parent_id and span.parent_id not in ids)

    def span(self, span_id: str) -> Span | None:
        return next((span for span in self.spans if span.span_id == span_id), None)

    def named(self, name: str) -> tuple[Span, ...]:
        return tuple(span for span in self.spans if span.name == name)


def calls_between(spans: Iterable[Span]) -> dict[tuple[str, str], int]:
    """Count the calls from service to service: spans whose parent is a span of another service.

    The graph of services that Jaeger draws is computed like this.
    """
    by_id = {(span.trace_id, span.span_id): span for span in spans}
    counts: dict[tuple[str, str], int] = {}
    for span in by_id.values():
        parent = by_id.get((span.trace_id, span.parent_id))
        if parent is not None and parent.service != span.service:
            pair = parent.service, span.service
            counts[pair] = counts.get(pair, 0) + 1
    return counts
