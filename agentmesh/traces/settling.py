"""Waits until a trace is whole: its processes export each for itself, and a moment after the work is done."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from agentmesh.telemetry import names
from agentmesh.traces.model import NANOSECONDS, Span, SpanKind, Trace
from agentmesh.traces.reader import TraceReader, TraceUnknown

_POLL_SECONDS: Final = 0.1
_QUIET_SECONDS: Final = 0.3
"""Longer than an exporter of `agentmesh up` waits for more spans (200 ms)."""
_LONG_AGO_SECONDS: Final = 15.0
"""After so long nothing comes any more: exporters wait 5 s by default."""

_GRPC: Final = "grpc"
_ANSWERED: Final = "OK"
_OF_AGENTS: Final = "agentmesh.v1.Agent/"


@dataclass(frozen=True, slots=True)
class Settled:
    """A trace and what is known to be missing from it."""

    trace: Trace
    missing: tuple[str, ...]
    """What and why, one text each; empty if the trace is whole."""

    @property
    def complete(self) -> bool:
        return not self.missing


def settled(reader: TraceReader, trace_id: str, *, timeout_seconds: float = 5.0) -> Settled:
    """Read a trace again and again until it is whole and nothing new has come for a moment.

    Args:
        reader: Where it is.
        trace_id: Which.
        timeout_seconds: At most so long; then what is there, and what is missing.

    Raises:
        TraceUnknown: Nothing of it came.
        TracesUnreadable: No traces can be read there.
    """
    until = time.monotonic() + timeout_seconds
    count, unchanged_since = -1, 0.0
    while True:
        trace = _read(reader, trace_id)
        now = time.monotonic()
        if len(trace.spans) != count:
            count, unchanged_since = len(trace.spans), now
        missing = tuple(missing_from(trace))
        is_whole = not missing and now - unchanged_since >= _QUIET_SECONDS
        if is_whole or _ended_long_ago(trace) or now >= until:
            if not trace.spans:
                raise TraceUnknown(f"there is no trace {trace_id} at {reader.url}")
            return Settled(trace, missing)
        time.sleep(min(_POLL_SECONDS, max(until - now, 0)))


def missing_from(trace: Trace) -> Iterator[str]:
    """Say what a trace lacks, as far as it shows: a parent, a root, what a server made of a call that it answered.

    The parent of its first span may be missing: a caller has a trace of its own, and exports it somewhere else.
    """
    strays = [span for span in trace.orphans if not may_be_called_from_elsewhere(span, trace)]
    for span in strays:
        yield f"the parent of {_said(span)}"
    if not trace.orphans and not trace.roots:
        yield "the span that everything began with"
    answered = {span.parent_id for span in trace.spans if span.kind is SpanKind.SERVER}
    for span in trace.spans:
        if _was_answered(span) and span.span_id not in answered:
            yield f"what the server made of {_said(span)}; it may export no spans"


def _read(reader: TraceReader, trace_id: str) -> Trace:
    try:
        return reader.trace(trace_id)
    except TraceUnknown:
        return Trace(trace_id, ())


def may_be_called_from_elsewhere(span: Span, trace: Trace) -> bool:
    """Whether it is no wonder that its parent is missing: a caller exports its spans to somewhere of its own.

    Not so of agents, which are called by orchestrators: their spans are still to come.
    """
    return (
        span.kind is SpanKind.SERVER
        and not trace.roots
        and not str(span.get(names.RPC_METHOD) or span.name).startswith(_OF_AGENTS)
    )


def _was_answered(span: Span) -> bool:
    """A server that was cancelled, or never reached, need not have a span."""
    return (
        span.kind is SpanKind.CLIENT
        and span.get(names.RPC_SYSTEM) == _GRPC
        and span.get(names.RPC_STATUS_CODE) == _ANSWERED
    )


def _said(span: Span) -> str:
    return f"{span.name} ({span.service or 'no service'})"


def _ended_long_ago(trace: Trace) -> bool:
    return bool(trace.spans) and time.time() - trace.end_ns / NANOSECONDS > _LONG_AGO_SECONDS
