"""The span of a skill at work: every agent has it without a line of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from agentmesh.jsonvalues import Json, canonical
from agentmesh.telemetry import names
from agentmesh.telemetry.content import captures_content
from agentmesh.telemetry.spans import failure_told, span


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
        with failure_told(current):
            yield tell
