"""A trace as people read it, and as programs do."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from agentmesh.cli.draw_trace import plain_waterfall, waterfall
from agentmesh.cli.output import Line, Output
from agentmesh.cli.trace_view import totals
from agentmesh.jsonvalues import Json, JsonObject
from agentmesh.traces.model import NANOSECONDS, Span, Trace
from agentmesh.traces.settling import Settled

_MOST_ROWS: Final = 300
"""In a terminal; a pipe gets all."""
_MOST_MISSING: Final = 5


def show_trace(output: Output, found: Settled, *, ui_url: str = "") -> None:
    """Draw it."""
    trace = found.trace
    output.heading("trace", trace.trace_id)
    output.line("  ", totals(trace))
    for missing in found.missing[:_MOST_MISSING]:
        output.line("  ", ("incomplete: ", "yellow"), f"{missing}")
    if (more := len(found.missing) - _MOST_MISSING) > 0:
        output.line("  ", ("incomplete: ", "yellow"), f"and {more} more are missing")
    output.line()
    if output.columns:
        _write_cut(output, list(waterfall(trace, output.columns, marks=output.marks)), trace.trace_id)
    else:
        for line in plain_waterfall(trace):
            output.line(*line)
    if ui_url:
        output.line()
        output.line(page_of(trace.trace_id, ui_url))


def page_of(trace_id: str, ui_url: str) -> str:
    """Return where the pages of a Jaeger show it."""
    return f"{ui_url.rstrip('/')}/trace/{trace_id}"


def trace_document(found: Settled) -> JsonObject:
    """Return the spans by their beginning, times in nanoseconds from that of the trace."""
    trace = found.trace
    return {
        "traceId": trace.trace_id,
        "complete": found.complete,
        "missing": [*found.missing],
        "startTime": _rfc3339(trace.start_ns),
        "durationNs": trace.end_ns - trace.start_ns,
        "services": [*trace.services],
        "spans": [_span(span, trace) for span in trace.spans],
    }


def _write_cut(output: Output, lines: Sequence[Line], trace_id: str) -> None:
    for line in lines[:_MOST_ROWS]:
        output.line(*line)
    if (more := len(lines) - _MOST_ROWS) > 0:
        output.line((f"... and {more} more lines; all of them: agentmesh trace {trace_id} | less", "dim"))


def _span(span: Span, trace: Trace) -> JsonObject:
    events: list[Json] = [
        {"name": event.name, "offsetNs": event.at_ns - trace.start_ns, "attributes": event.attributes}
        for event in span.events
    ]
    links: list[Json] = [
        {"traceId": link.trace_id, "spanId": link.span_id, "attributes": link.attributes} for link in span.links
    ]
    return {
        "spanId": span.span_id,
        "parentSpanId": span.parent_id,
        "name": span.name,
        "kind": span.kind,
        "service": span.service,
        "offsetNs": span.start_ns - trace.start_ns,
        "durationNs": max(span.end_ns - span.start_ns, 0),
        "status": span.status,
        "statusMessage": span.status_text,
        "attributes": span.attributes,
        "events": events,
        "links": links,
    }


def _rfc3339(at_ns: int) -> str:
    """With nanoseconds, which `datetime` does not have; empty for what no calendar has."""
    try:
        whole = datetime.fromtimestamp(at_ns // NANOSECONDS, UTC)
    except (ValueError, OverflowError, OSError):
        return ""
    return f"{whole:%Y-%m-%dT%H:%M:%S}.{at_ns % NANOSECONDS:09d}Z"
