"""What a model is offered: one tool a skill, and `plan_execution` for plans. The same catalog gives the same bytes.

Texts stay under 1,024 characters a tool: Azure OpenAI takes no more.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final, cast

from agentmesh.jsonvalues import JsonObject, canonical
from orchestrator_svc.core.catalog import Catalog, Skill
from orchestrator_svc.core.shape import shape
from orchestrator_svc.core.tool_calls import PLAN_TOOL
from orchestrator_svc.core.wording import shortened

MAX_DESCRIPTION_CHARACTERS: Final = 1024

_SKILL_CHARACTERS: Final = 400
_AGENT_CHARACTERS: Final = 100
_EXAMPLES_CHARACTERS: Final = 200
_MOST_EXAMPLES: Final = 4
_MOST_KEPT: Final = 1000

_PLAN_DESCRIPTION: Final = """\
Run several steps in an order: use it whenever a step needs the result of another one, must come after it, or depends \
on a condition, whenever a tool is to be used once per element of a list, and whenever an argument is a time relative \
to now. `steps` is the whole plan: call no other tool beside it.
Expressions are CEL over the ids of other steps; an id stands for the result of its step, which has the fields that \
the description of its tool lists under Returns. Example: step `scan` finds anomalies, and the next step, with \
`when`: `size(scan.anomalies) > 0`, takes the argument `${scan.anomalies[0].component}`.
Numbers are doubles: write `1.0`, not `1`, in arithmetic. `now` is the present time: `${now - duration("24h")}`. \
`text(x)` formats a value. A step is skipped when one that it needs did not succeed."""

_STEP_PROPERTIES: Final[JsonObject] = {
    "id": {
        "type": "string",
        "description": "Short name of the step: lower-case letters, digits and underscores, 32 at most.",
    },
    "arguments": {
        "type": "object",
        "description": "Arguments of the skill. A string that is exactly `${expression}` becomes its value, inside a "
        "longer string `${expression}` becomes text; `$${` is a literal `${`. Everything else is taken as it is.",
    },
    "when": {
        "type": "string",
        "description": "Expression that gives true or false; false skips the step. Leave it out to run always.",
    },
    "for_each": {
        "type": "string",
        "description": "Expression that gives a list: the step runs once per element. In `arguments`, `item` is the "
        "element and `index` its position. The result of the step is the list of results.",
    },
    "optional": {"type": "boolean", "description": "True if the answer is still whole when this step fails."},
    "depends_on": {
        "type": "array",
        "items": {"type": "string"},
        "description": "Ids of steps that must end first although no result of theirs is used.",
    },
}


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that a model may call."""

    name: str
    description: str
    parameters: JsonObject
    """JSON Schema of an object; the keys of every object in it are sorted."""


class Toolbox:
    """Makes the tools of catalogs, and keeps those of skills that it has seen: a tool takes 0.1 ms to make."""

    def __init__(self) -> None:
        self._made: dict[str, tuple[Skill, Tool]] = {}

    def tools(self, catalog: Catalog) -> tuple[Tool, ...]:
        """Return the tools of a catalog: its skills in the order of their ids, then `plan_execution`."""
        skills = [self._tool(skill) for skill in catalog.skills.values()]
        return (*skills, Tool(PLAN_TOOL, _PLAN_DESCRIPTION, _plan_parameters(catalog)))

    def _tool(self, skill: Skill) -> Tool:
        known = self._made.get(skill.id)
        if known is not None and known[0] == skill:
            return known[1]
        if len(self._made) >= _MOST_KEPT:
            self._made.clear()
        tool = Tool(skill.id, _description(skill), _parameters(skill))
        self._made[skill.id] = (skill, tool)
        return tool


def _description(skill: Skill) -> str:
    """What the skill does, for whom, with which effect, and what it returns: plans refer to those fields."""
    lines = [_cut(skill.description, _SKILL_CHARACTERS)]
    if skill.agent_description:
        lines.append(f"Agent: {_cut(skill.agent_description, _AGENT_CHARACTERS)}")
    if skill.examples:
        lines.append(f"Examples: {_cut(' | '.join(skill.examples[:_MOST_EXAMPLES]), _EXAMPLES_CHARACTERS)}")
    lines.append(f"Effect: {skill.effect.value}")
    text = "\n".join(lines)
    if not skill.output_schema:
        return text
    head = f"{text}\nReturns: "
    return head + shape(skill.output_schema, max_characters=MAX_DESCRIPTION_CHARACTERS - len(head))


def _parameters(skill: Skill) -> JsonObject:
    # Some providers refuse an object without `properties`.
    return _sorted({"type": "object", "properties": {}, **skill.parameters})


def _plan_parameters(catalog: Catalog) -> JsonObject:
    return _sorted({
        "type": "object",
        "properties": {
            "reason": {"type": "string", "description": "Why these steps in this order, in one sentence."},
            "steps": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {**_STEP_PROPERTIES, "skill": {"type": "string", "enum": list(catalog.skills)}},
                    "required": ["id", "skill", "arguments"],
                },
            },
        },
        "required": ["reason"],
    })  # fmt: skip


def _sorted(schema: JsonObject) -> JsonObject:
    return cast("JsonObject", json.loads(canonical(schema)))


def _cut(text: str, characters: int) -> str:
    """The text on one line."""
    return shortened(" ".join(text.split()), characters)
