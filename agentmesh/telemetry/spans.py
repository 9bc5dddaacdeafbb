"""Spans over the API of OpenTelemetry: without its SDK, which only a process sets up, they cost next to nothing.

Nothing that somebody asked, answered or sent is in a span, unless content may be captured
(`agentmesh.telemetry.content`): what says how a span ended comes from closed sets of words.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

from opentelemetry import trace
from opentelemetry.trace import Link, Span, SpanContext, SpanKind, Status, StatusCode
from opentelemetry.util.types import AttributeValue

from agentmesh.errors import MeshError
from agentmesh.reasons import reason_of
from agentmesh.telemetry import names
from agentmesh.telemetry.content import captures_content

TRACER: Final = trace.get_tracer(names.SCOPE)
"""Of every span; it finds the provider that the process sets up later."""

_RECORDED: Final = "_agentmesh_recorded"


@contextmanager
def span(
    name: str,
    *,
    kind: SpanKind = SpanKind.INTERNAL,
    attributes: Mapping[str, AttributeValue] | None = None,
    links: Sequence[SpanContext] = (),
) -> Iterator[Span]:
    """Have a span as the current one while the block lasts; how it ended is for the block to say."""
    with TRACER.start_as_current_span(
        name,
        kind=kind,
        attributes=attributes,
        links=[Link(context) for context in links],
        record_exception=False,
        set_status_on_exception=False,
    ) as started:
        yield started


def current_context() -> SpanContext:
    """Return the ids of the current span; not valid outside of one."""
    return trace.get_current_span().get_span_context()


def link_to(other: SpanContext) -> bool:
    """Link the current span to another, whose work it shares; False if it is that span, or there is none."""
    current = trace.get_current_span()
    if not other.is_valid or other == current.get_span_context():
        return False
    current.add_link(other)
    return True


def failed(ended: Span, error_type: str) -> None:
    """Mark a span as an error.

    Args:
        ended: The span.
        error_type: A reason, a code, or the name of a class of exceptions; never a text.
    """
    ended.set_status(Status(StatusCode.ERROR, error_type))
    ended.set_attribute(names.ERROR_TYPE, error_type)


@contextmanager
def failure_told(ended: Span, *, outcome: str = names.OUTCOME) -> Iterator[None]:
    """Say on the span how the block failed, if it raises. To be cancelled is no failure: `outcome` has it then."""
    try:
        yield
    except asyncio.CancelledError:
        ended.set_attribute(outcome, "cancelled")
        raise
    except MeshError as error:
        failed(ended, reason_of(error))
        raise
    except BaseException as bug:
        record_bug(ended, bug)
        failed(ended, type(bug).__qualname__)
        raise


def record_bug(ended: Span, raised: BaseException) -> None:
    """Record an exception that nobody expected: its type and the lines that it came through, once, however far it goes.

    What it says may quote what somebody sent.
    """
    if not ended.is_recording() or _is_recorded(raised):
        return
    vars(raised)[_RECORDED] = True  # by no attribute: an author's exception may refuse that
    attributes = {
        names.EXCEPTION_TYPE: type(raised).__qualname__,
        names.EXCEPTION_STACKTRACE: "".join(traceback.format_tb(raised.__traceback__)),
    }
    if captures_content():
        attributes[names.EXCEPTION_MESSAGE] = str(raised)
    ended.add_event(names.EXCEPTION_EVENT, attributes)


def _is_recorded(raised: BaseException) -> bool:
    """Also true of a group, as task groups make it, of what was recorded one by one."""
    if _RECORDED in vars(raised):
        return True
    return isinstance(raised, BaseExceptionGroup) and all(_is_recorded(one) for one in raised.exceptions)


def current_trace_id() -> str:
    """Return the id of the trace that the current span belongs to, 32 hex digits; empty outside of one."""
    context = current_context()
    return trace.format_trace_id(context.trace_id) if context.is_valid else ""
