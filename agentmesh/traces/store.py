"""The latest traces, in memory: bounded in number and bytes, what is oldest goes first, and it is counted. Pure."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from agentmesh.traces.model import Span, Trace


@dataclass(frozen=True, slots=True)
class Limits:
    """What is kept at most."""

    traces: int = 5_000
    """At a question a second they are those of about the last hour."""
    spans_a_trace: int = 5_000
    """Of a larger one the spans that came first go: children end before their parents, so what stays has its root."""
    total_bytes: int = 64 * 1024 * 1024
    """Of memory, about."""


@dataclass(slots=True)
class Counts:
    """What became of the spans that came."""

    received: int = 0
    refused: int = 0
    """Their ids were none."""
    repeated: int = 0
    """Came before: an exporter that got no answer sends again."""
    dropped: int = 0
    """Had to go for others."""


@dataclass(slots=True)
class _Kept:
    spans: OrderedDict[str, tuple[Span, int]] = field(default_factory=OrderedDict)
    size_bytes: int = 0


class TraceStore:
    """Spans by trace; for one thread."""

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._traces: OrderedDict[str, _Kept] = OrderedDict()
        self._size_bytes = 0
        self.counts = Counts()

    def __len__(self) -> int:
        return len(self._traces)

    def add(self, span: Span, size_bytes: int) -> None:
        """Keep a span; what has become too much goes."""
        self.counts.received += 1
        kept = self._traces.setdefault(span.trace_id, _Kept())
        if span.span_id in kept.spans:
            self.counts.repeated += 1
            return
        kept.spans[span.span_id] = span, size_bytes
        kept.size_bytes += size_bytes
        self._size_bytes += size_bytes
        if len(kept.spans) > self._limits.spans_a_trace:
            _, (_, gone_bytes) = kept.spans.popitem(last=False)
            kept.size_bytes -= gone_bytes
            self._size_bytes -= gone_bytes
            self.counts.dropped += 1
        while len(self._traces) > self._limits.traces or self._size_bytes > self._limits.total_bytes:
            _, gone = self._traces.popitem(last=False)
            self._size_bytes -= gone.size_bytes
            self.counts.dropped += len(gone.spans)

    def refuse(self, count: int) -> None:
        """Count spans that are none."""
        self.counts.received += count
        self.counts.refused += count

    def trace(self, trace_id: str) -> Trace | None:
        """Return what has come of a trace; None if nothing has, or no more is kept."""
        kept = self._traces.get(trace_id)
        return None if kept is None else Trace.of(trace_id, _spans(kept))

    def traces(self) -> Iterator[Trace]:
        """Give every trace, the latest first."""
        for trace_id in reversed(self._traces):
            yield Trace.of(trace_id, _spans(self._traces[trace_id]))

    def spans(self) -> Iterator[Span]:
        """Give every span."""
        for kept in self._traces.values():
            yield from _spans(kept)


def _spans(kept: _Kept) -> Iterable[Span]:
    return (span for span, _ in kept.spans.values())
