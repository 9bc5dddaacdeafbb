"""Spans as a text that is read like the trees in docs/observability.md, and compared as a whole.

    [S] agentmesh.v1.Agent/Execute  ERROR NOT_FOUND     kind, name, status; nothing where that is UNSET
        rpc.status_code=NOT_FOUND                       attributes
        * agentmesh.retry: agentmesh.attempt=1          events
        -> invoke_agent data_agent (scan)               links
      [I] execute_tool get_report                       children, in the order in which they began

Left out is `rpc.method`, which must be the name of the span. What differs from run to run is replaced by what it is.
"""

from __future__ import annotations

import difflib
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext, StatusCode

from agentmesh.telemetry import names

TREES = Path(__file__).parent / "trees"
"""The trees that are a contract."""

_COLUMNS = 112
_VOLATILE = {
    names.RUN_ID: "<id>",
    names.PLAN_HASH: "<digest>",
    names.CATALOG_FINGERPRINT: "<digest>",
    names.SERVER_PORT: "<port>",
    names.RETRY_PAUSE_SECONDS: "<seconds>",
    names.GEN_AI_RESPONSE_TIME_TO_FIRST_CHUNK: "<seconds>",
    names.PROMPT_VERSION: "<digest>",
    names.EXCEPTION_STACKTRACE: "<lines>",
}


_HOW_IT_ENDED = (names.RPC_STATUS_CODE, names.STEP_OUTCOME, names.OUTCOME, names.PLAN_SOURCE)
_OF_EVENTS = (names.STEP_ID, names.STEP_REASON, names.EXCEPTION_TYPE)

_Draw: TypeAlias = Callable[[ReadableSpan, Mapping[int, ReadableSpan], int], Iterable[str]]


def tree(spans: Iterable[ReadableSpan]) -> str:
    """Draw the spans with all that they have; one whose parent is not among them stands at the top."""
    return "\n".join(_drawn(spans, _lines)) + "\n"


def outline(spans: Iterable[ReadableSpan]) -> str:
    """Draw the spans, one line each: its name, how it ended, its events and where its links lead."""
    return "\n".join(_drawn(spans, lambda span, by_id, _: [_outlined(span, by_id)]))


def _drawn(spans: Iterable[ReadableSpan], draw: _Draw) -> Iterator[str]:
    ordered = sorted(spans, key=lambda span: span.start_time or 0)
    by_id = {context_of(span).span_id: span for span in ordered}
    below: dict[int | None, list[ReadableSpan]] = {}
    for span in ordered:
        above = span.parent.span_id if span.parent is not None and span.parent.span_id in by_id else None
        below.setdefault(above, []).append(span)

    def lines(above: int | None, depth: int) -> Iterator[str]:
        for span in below.get(above, ()):
            yield from (f"{'  ' * depth}{line}" for line in draw(span, by_id, _COLUMNS - 2 * depth))
            yield from lines(context_of(span).span_id, depth + 1)

    return lines(None, 0)


def check_tree(name: str, spans: Iterable[ReadableSpan]) -> None:
    """Compare with `trees/<name>.txt`. To change a tree, delete its file: it is written, and the test fails once."""
    file, drawn = TREES / f"{name}.txt", tree(spans)
    if not file.exists():
        file.write_text(drawn)
        pytest.fail(f"{file.name} is new: read it")
    expected = file.read_text()
    if drawn != expected:
        diff = difflib.unified_diff(expected.splitlines(), drawn.splitlines(), file.name, "recorded", n=20, lineterm="")
        pytest.fail("\n".join(diff), pytrace=False)


def context_of(span: ReadableSpan) -> SpanContext:
    """The ids of a span, which each that has ended has."""
    context = span.get_span_context()
    assert context is not None
    return context


def attributes_of(span: ReadableSpan) -> dict[str, object]:
    return dict(span.attributes or {})


def _lines(span: ReadableSpan, by_id: Mapping[int, ReadableSpan], columns: int) -> Iterator[str]:
    attributes = attributes_of(span)
    if (method := attributes.pop(names.RPC_METHOD, None)) is not None:
        assert method == span.name, f"{span.name} says that it is {method}"
    status = span.status
    if status.status_code is not StatusCode.UNSET:
        assert status.description == attributes.get(names.ERROR_TYPE), "status and error.type say the same"
        attributes.pop(names.ERROR_TYPE, None)
    ended = "" if status.status_code is StatusCode.UNSET else f"  {status.status_code.name} {status.description}"
    yield f"[{span.kind.name[0]}] {span.name}{ended}"
    yield from _wrapped("", _pairs(attributes), columns)
    for event in span.events:
        yield from _wrapped(f"* {event.name}: ", _pairs(event.attributes or {}), columns)
    for link in span.links:
        yield f"    -> {_label(by_id.get(link.context.span_id))}"


def _outlined(span: ReadableSpan, by_id: Mapping[int, ReadableSpan]) -> str:
    attributes, status = attributes_of(span), span.status
    ended = [attributes[name] for name in _HOW_IT_ENDED if name in attributes]
    told = [str(value) for value in ended]
    told += [f"{status.status_code.name} {status.description}"] if status.status_code is not StatusCode.UNSET else []
    told += [
        " ".join([f"* {event.name}", *(str((event.attributes or {}).get(name, "")) for name in _OF_EVENTS)]).rstrip()
        for event in span.events
    ]
    told += [f"-> {_label(by_id.get(link.context.span_id))}" for link in span.links]
    return "  ".join([f"[{span.kind.name[0]}] {_label(span)}", *told])


def _pairs(attributes: Mapping[str, object]) -> list[str]:
    said = {name: ",".join(value) if isinstance(value, tuple) else value for name, value in attributes.items()}
    return [f"{name}={_VOLATILE.get(name, value)}" for name, value in sorted(said.items())]


def _wrapped(head: str, pairs: Sequence[str], columns: int) -> Iterator[str]:
    if head or pairs:
        text = head + ", ".join(pairs)
        further = "      " if head else "    "
        yield from textwrap.wrap(
            text,
            columns,
            initial_indent="    ",
            subsequent_indent=further,
            break_long_words=False,
            break_on_hyphens=False,
        )


def _label(span: ReadableSpan | None) -> str:
    """What tells it from other spans of its trace."""
    if span is None:
        return "a span of another trace"
    step = attributes_of(span).get(names.STEP_ID)
    return span.name if step is None or names.RPC_METHOD in attributes_of(span) else f"{span.name} ({step})"
