"""The span of a skill at work: every agent has it without a line of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from agentmesh.errors import MeshError
from agentmesh.jsonvalues import Json, canonical
from agentmesh.reasons import reason_of
from agentmesh.telemetry import names
from agentmesh.telemetry.content import captures_content
from agentmesh.telemetry.spans import failed, record_bug, span


@contextmanager
def tool_span(skill: str, values: Mapping[str, Any]) -> Iterator[Callable[[Json], None]]:
    """Have the span while the skill runs; gives what is told the result."""
    attributes = {names.GEN_AI_OPERATION: "execute_tool", names.GEN_AI_TOOL_NAME: skill}
    with span(names.EXECUTE_TOOL_SPAN.format(skill=skill), attributes=attributes) as current:

        def tell(result: Json) -> None:
            if captures_content():
                current.set_attribute(names.GEN_AI_TOOL_RESULT, canonical(result).decode())

        if captures_content():
            current.set_attribute(names.GEN_AI_TOOL_ARGUMENTS, str(dict(values)))
        try:
            yield tell
        except asyncio.CancelledError:
            current.set_attribute(names.OUTCOME, "cancelled")
            raise
        except MeshError as error:
            failed(current, reason_of(error))
            raise
        except BaseException as bug:
            record_bug(current, bug)
            failed(current, type(bug).__qualname__)
            raise
