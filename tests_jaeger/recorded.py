"""What the story left behind, as the tests look at it."""

from __future__ import annotations

from dataclasses import dataclass

from agentmesh.traces.model import SpanStatus, Trace
from agentmesh.traces.reader import TraceReader
from agentmesh.traces.tree import walk
from tests_jaeger.story import TraceIds


@dataclass(frozen=True, slots=True)
class Recorded:
    """Where the traces are, and which they are."""

    reader: TraceReader
    ids: TraceIds
    metrics: str
    """What Jaeger serves to Prometheus, in the OpenMetrics format."""


def drawn(trace: Trace) -> list[str]:
    """A line a span, children indented below their parent: service, kind, name, and ERROR with its type."""
    lines = []
    for placed in walk(trace):
        span = placed.span
        error = f" ERROR {span.get('error.type')}" if span.status is SpanStatus.ERROR else ""
        lines.append(f"{'  ' * placed.depth}{span.service} {span.kind} {span.name}{error}")
    return lines
