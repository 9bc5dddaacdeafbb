"""The tree of a trace, whatever its spans say about their parents. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from agentmesh.traces.model import Span, Trace


@dataclass(frozen=True, slots=True)
class Placed:
    """A span where it stands in the tree."""

    span: Span
    depth: int
    """0 for a root."""
    is_last: bool
    """Whether no sibling follows."""
    is_torn_off: bool
    """Whether it stands at the top although it names a parent: that is missing, or the span itself is above it."""


def walk(trace: Trace) -> Iterator[Placed]:
    """Give every span once, each before its children, siblings by their beginning.

    A span whose parent is missing is a root. Of spans whose parents go in a circle the one that began first is.
    """
    below: dict[str, list[Span]] = {}
    ids = {span.span_id for span in trace.spans}
    tops: list[Span] = []
    for span in trace.spans:
        if span.parent_id in ids:
            below.setdefault(span.parent_id, []).append(span)
        else:
            tops.append(span)
    tops += _tops_of_circles(trace, tops, below)
    waiting = [Placed(span, 0, is_last=span is tops[-1], is_torn_off=bool(span.parent_id)) for span in reversed(tops)]
    seen: set[str] = set()
    while waiting:  # no recursion: a trace may be thousands of spans deep
        placed = waiting.pop()
        seen.add(placed.span.span_id)
        yield placed
        children = [child for child in below.get(placed.span.span_id, ()) if child.span_id not in seen]
        waiting += [
            Placed(child, placed.depth + 1, is_last=child is children[-1], is_torn_off=False)
            for child in reversed(children)
        ]


def _tops_of_circles(trace: Trace, tops: list[Span], below: dict[str, list[Span]]) -> list[Span]:
    reached: set[str] = set()
    found: list[Span] = []
    for span in (*tops, *trace.spans):
        if span.span_id in reached:
            continue
        if span not in tops:
            found.append(span)
        waiting = [span]
        while waiting:
            one = waiting.pop()
            if one.span_id not in reached:
                reached.add(one.span_id)
                waiting += below.get(one.span_id, ())
    return found
