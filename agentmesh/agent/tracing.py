"""The span of a skill at work: every agent has it without a line of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from agentmesh.jsonvalues import Json, JsonObject, canonical
from agentmesh.telemetry import names
from agentmesh.telemetry.content import captures_content
from agentmesh.telemetry.spans import failure_told, span


@contextmanager
def tool_span(skill: str, arguments: JsonObject) -> Iterator[Callable[[Json], None]]:
    """Have the span while the skill runs; gives what is told the result."""
    attributes = {names.GEN_AI_OPERATION: "execute_tool", names.GEN_AI_TOOL_NAME: skill}
    with span(names.EXECUTE_TOOL_SPAN.format(skill=skill), attributes=attributes) as current:

        def tell(result: Json) -> None:
            if captures_content():
                current.set_attribute(names.GEN_AI_TOOL_RESULT, canonical(result).decode())

        if captures_content():
            current.set_attribute(names.GEN_AI_TOOL_ARGUMENTS, canonical(arguments).decode())
        with failure_told(current):
            yield tell
