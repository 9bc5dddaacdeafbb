"""A trace as people are told it: what each span is and how it went, in a few words. No output here, and no width.

What the mesh records is told in its own words; spans of others have their name, service and status.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from agentmesh.cli.output import Span as Words
from agentmesh.cli.output import one_line
from agentmesh.cli.show_answer import duration
from agentmesh.jsonvalues import Json
from agentmesh.telemetry import names
from agentmesh.traces.model import Span, SpanEvent, SpanKind, Trace
from agentmesh.traces.settling import may_be_called_from_elsewhere
from agentmesh.traces.tree import walk

_MOST_EVENTS: Final = 20
"""Of one span."""
_WELL: Final = ("COMPLETE", "SUCCEEDED")
_USUAL: Final = ("", "OK")
"""Not worth a word."""


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that happened within a span."""

    at_ns: int
    words: tuple[Words, ...]


@dataclass(frozen=True, slots=True)
class SpanView:
    """One span in the tree."""

    span: Span
    depth: int
    is_last: bool
    service: str
    """Empty where the parent is of the same."""
    label: str
    is_call: bool
    """Whether it is the caller's side of an rpc: below it is what the other side made of it."""
    notes: tuple[Words, ...]
    moments: tuple[Moment, ...]
    """By their time."""


def views_of(trace: Trace) -> Iterator[SpanView]:
    """Give every span, each before its children."""
    by_id = {span.span_id: span for span in trace.spans}
    for placed in walk(trace):
        span = placed.span
        parent = by_id.get(span.parent_id) if placed.depth else None
        notes = [*_notes(span, by_id)]
        if placed.is_torn_off and may_be_called_from_elsewhere(span, trace):
            notes.append(("in the trace of its caller", "dim"))
        elif placed.is_torn_off:
            notes.append(("its parent is missing", "yellow"))
        yield SpanView(
            span,
            placed.depth,
            placed.is_last,
            service=one_line(span.service) if parent is None or parent.service != span.service else "",
            label=one_line(span.name) or "(no name)",
            is_call=is_call(span),
            notes=tuple(notes),
            moments=tuple(_moments(span)),
        )


def totals(trace: Trace) -> str:
    """Return e.g. `14 spans of 4 services in 1.24 s, 2 LLM requests with 812 tokens in, 96 out, 1 span failed`."""
    spans, services = _counted(len(trace.spans), "span"), _counted(len(trace.services), "service")
    parts = [f"{spans} of {services} in {duration(trace.seconds)}"]
    chats = [span for span in trace.spans if _is_chat(span)]
    if chats:
        tokens_in = sum(_number(span, names.GEN_AI_USAGE_INPUT_TOKENS) for span in chats)
        tokens_out = sum(_number(span, names.GEN_AI_USAGE_OUTPUT_TOKENS) for span in chats)
        parts.append(f"{_counted(len(chats), 'LLM request')} with {tokens_in} tokens in, {tokens_out} out")
    if failed := sum(span.failed for span in trace.spans):
        parts.append(f"{_counted(failed, 'span')} failed")
    return ", ".join(parts)


def _notes(span: Span, by_id: dict[str, Span]) -> Iterator[Words]:
    """Why it failed comes first: the end of a line may be cut."""
    if span.failed:
        code = _text(span.get(names.RPC_STATUS_CODE))
        yield _text(span.get(names.ERROR_TYPE)) or one_line(span.status_text) or code or "ERROR", "red"
    if (step := _text(span.get(names.STEP_ID))) and not is_call(span):  # of an attempt the span above says it
        yield f"step {step}", "bold"
    if isinstance(item := span.get(names.STEP_ITEM), int):
        yield f"item {item}"
    if (attempt := _number(span, names.ATTEMPT)) > 1:
        yield f"attempt {attempt}", "yellow"
    if (attempts := _number(span, names.STEP_ATTEMPTS)) > 1:
        yield f"{attempts} attempts", "yellow"
    yield from _outcomes(span)
    if _is_chat(span):
        yield from _tokens(span)
    if waited_for := [by_id[link.span_id] for link in span.links if link.span_id in by_id]:
        after = dict.fromkeys(_text(one.get(names.STEP_ID)) or one_line(one.name) for one in waited_for)
        yield f"after {', '.join(after)}", "dim"
    if span.kind is SpanKind.CLIENT and (address := _text(span.get(names.SERVER_ADDRESS))):
        port = _number(span, names.SERVER_PORT)
        yield f"{address}:{port}" if port else address, "dim"


def _outcomes(span: Span) -> Iterator[Words]:
    if mode := _text(span.get(names.MODE)):
        yield mode.upper(), "cyan"
    for name in (names.OUTCOME, names.STEP_OUTCOME, names.RPC_STATUS_CODE):
        outcome = _text(span.get(name)).upper()
        if outcome not in _USUAL and not (span.failed and name != names.OUTCOME):
            yield outcome, "green" if outcome in _WELL else "yellow"
    if isinstance(calls := span.get(names.LLM_CALLS), int):
        yield _counted(calls, "LLM call")
    if source := _text(span.get(names.PLAN_SOURCE)):
        yield f"by {source}"
    if span.get(names.RUN_REPLAYED) is True:
        yield "the stored answer", "yellow"
    if span.get(names.RUN_JOINED) is True:
        yield "joined a run", "yellow"


def _tokens(span: Span) -> Iterator[Words]:
    tokens_in, tokens_out = span.get(names.GEN_AI_USAGE_INPUT_TOKENS), span.get(names.GEN_AI_USAGE_OUTPUT_TOKENS)
    if isinstance(tokens_in, int) and isinstance(tokens_out, int):
        yield f"{tokens_in} tokens in, {tokens_out} out", "magenta"
    asked, answered = _text(span.get(names.GEN_AI_REQUEST_MODEL)), _text(span.get(names.GEN_AI_RESPONSE_MODEL))
    if answered and answered != asked:
        yield f"by {answered}", "dim"


def _moments(span: Span) -> Iterator[Moment]:
    for event in sorted(span.events, key=lambda event: event.at_ns)[:_MOST_EVENTS]:
        yield Moment(event.at_ns, tuple(_happened(event)))
    if (more := len(span.events) - _MOST_EVENTS) > 0:
        yield Moment(span.end_ns, ((f"... and {_counted(more, 'more event')}", "dim"),))


def _happened(event: SpanEvent) -> Iterator[Words]:
    said = {name: _text(value) for name, value in event.attributes.items()}
    step, reason = said.get(names.STEP_ID, ""), said.get(names.STEP_REASON, "")
    match event.name:
        case names.STEP_SKIPPED_EVENT:
            yield f"step {step} skipped: {reason}", "yellow"
            if because := said.get(names.STEP_BECAUSE_OF):
                yield f", because of {because.replace(',', ', ')}"
        case names.STEP_FAILED_EVENT:
            yield f"step {step} failed: {reason}", "red"
        case names.CONDITION_EVENT:
            met = event.attributes.get(names.CONDITION_MET) is True
            yield f"condition of step {step} {'met' if met else 'not met'}", "dim"
        case names.RETRY_EVENT:
            yield f"attempt {said.get(names.ATTEMPT, '?')} failed: {reason}", "yellow"
            pause = event.attributes.get(names.RETRY_PAUSE_SECONDS)
            if isinstance(pause, int | float):
                yield f", the next one after {duration(pause)}"
        case names.EXCEPTION_EVENT:
            yield f"raised {said.get(names.EXCEPTION_TYPE, 'an exception')}", "red"
        case _:
            yield one_line(event.name), "dim"


def is_call(span: Span) -> bool:
    """Whether it is the caller's side of an rpc."""
    return span.kind is SpanKind.CLIENT and span.get(names.RPC_SYSTEM) is not None


def _is_chat(span: Span) -> bool:
    return span.get(names.GEN_AI_OPERATION) == "chat"


def _text(value: Json) -> str:
    return one_line(value) if isinstance(value, str) else "" if value is None else str(value)


def _number(span: Span, name: str) -> int:
    value = span.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def _counted(count: int, what: str) -> str:
    return f"1 {what}" if count == 1 else f"{count} {what}s"
