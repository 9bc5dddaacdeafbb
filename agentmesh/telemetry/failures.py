"""What logs tell of an error: what went wrong and where, and only with captured content what somebody wrote.

The text of an error may quote a question, arguments, an agent or a model, and so may the text of a bug. What is told
in any case: reasons, types, figures, ids, lines of code, and those texts that are our own (`MeshError.may_quote`).
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Final, TypeAlias

from google.protobuf.descriptor import Descriptor

from agentmesh.errors import MeshError, Violation
from agentmesh.jsonvalues import Json
from agentmesh.reasons import reason_of
from agentmesh.telemetry.content import captures_content
from agentmesh.v1 import (
    agent_service_pb2,
    card_pb2,
    orchestrator_service_pb2,
    plan_pb2,
    registry_service_pb2,
    run_event_pb2,
    run_pb2,
    usage_pb2,
)

WITHHELD: Final = "<withheld>"
"""Stands for a text that may quote content."""
_OTHER: Final = "*"
"""Stands for the rest of a path, from a name on that is not one of ours."""
_PART: Final = re.compile(r"\.?(?P<name>\w+)|\[\d+\]")
_FILES: Final = (
    agent_service_pb2,
    card_pb2,
    orchestrator_service_pb2,
    plan_pb2,
    registry_service_pb2,
    run_event_pb2,
    run_pb2,
    usage_pb2,
)

Facts: TypeAlias = dict[str, Json]


def told(error: Exception) -> Facts:
    """Return what the line about an error has: `reason` or, of what is no MeshError, the type; `error`; `violations`.

    Of what is no MeshError, `error` begins with the type. Violations are those of `told_violations`, if there are any.
    """
    if not isinstance(error, MeshError):
        kind = type(error).__name__
        return {"error": f"{kind}: {error}" if captures_content() else kind}
    is_told = captures_content() or not error.may_quote
    facts: Facts = {"reason": str(reason_of(error)), "error": error.message if is_told else WITHHELD}
    if error.violations:
        facts["violations"] = told_violations(error.violations, with_texts=is_told)
    return facts


def told_violations(violations: Sequence[Violation], *, with_texts: bool = False) -> list[Json]:
    """Return each as `path: REASON`, and as `path: REASON: text` where the texts are ours or content is captured.

    Of a path, what somebody chose is `*`, with all that follows: the names of arguments, of unknown fields. Names of
    the contract are told, whoever wrote them.
    """
    if with_texts or captures_content():
        return [f"{one.path}: {one.reason}: {one.message}" for one in violations]
    return [f"{_told_path(one.path)}: {one.reason}" for one in violations]


def told_text(text: str) -> str:
    """Return a text that may quote content, if that is captured; else what stands for it."""
    return text if captures_content() or not text else WITHHELD


def traceback_of(raised: BaseException) -> str:
    """Return the lines that an exception came through, and what it was raised from; texts only of captured content."""
    if captures_content():
        return "".join(traceback.format_exception(raised)).rstrip()
    return "\n".join(_lines(raised, set()))


def _lines(raised: BaseException, seen: set[int]) -> Iterator[str]:
    """As Python prints it, but for the texts."""
    seen.add(id(raised))
    cause = raised.__cause__ or (None if raised.__suppress_context__ else raised.__context__)
    if cause is not None and id(cause) not in seen:
        yield from _lines(cause, seen)
        yield "\nwhich led to:\n"
    yield "Traceback (most recent call last):"
    yield "".join(traceback.format_tb(raised.__traceback__)).rstrip()
    yield f"{type(raised).__qualname__}: {WITHHELD}"
    if isinstance(raised, BaseExceptionGroup):
        for position, one in enumerate(raised.exceptions, start=1):
            yield f"\nof which {position}:\n"
            yield from _lines(one, seen)


def _told_path(path: str) -> str:
    end = 0
    while (part := _PART.match(path, end)) is not None:
        if part["name"] and part["name"] not in _names_of_the_contract():
            break
        end = part.end()
    if end == len(path):
        return path
    return f"{path[:end]}.{_OTHER}" if end else _OTHER


@cache
def _names_of_the_contract() -> frozenset[str]:
    """Of every field of every message, as they are in protos and in JSON."""
    names: set[str] = set()
    for file in _FILES:
        for message in file.DESCRIPTOR.message_types_by_name.values():
            names |= _names_in(message)
    return frozenset(names)


def _names_in(message: Descriptor) -> set[str]:
    names = {name for field in message.fields for name in (field.name, field.json_name)}
    return names.union(*(_names_in(nested) for nested in message.nested_types))
