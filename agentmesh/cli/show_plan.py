"""A plan as people read it: each step below the one it waits for, with its condition."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Final

from agentmesh.cli.output import Node, Output, Span
from agentmesh.client.enums import Mode, PlanSource
from agentmesh.jsonvalues import Json, JsonObject

_ARGUMENT_CHARACTERS: Final = 100
_TEXT_IN_EXPRESSION: Final = re.compile(r'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\'')

_BY: Final = {
    PlanSource.LLM: "by {}",
    PlanSource.CACHE: "from the cache, first by {}",
    PlanSource.OFFLINE: "by the offline planner",
    PlanSource.CALLER: "given by the caller",
    PlanSource.UNKNOWN: "by {}",
}


def show_plan(output: Output, plan: JsonObject, mode: Mode, source: PlanSource, planner: str) -> None:
    output.heading("plan", plan_note(plan, mode, source, planner))
    output.tree(_forest(_steps(plan)))


def plan_note(plan: JsonObject, mode: Mode, source: PlanSource, planner: str) -> str:
    """Return e.g. `PARALLEL, 3 steps, by some-model`."""
    steps = _steps(plan)
    count = "no steps" if not steps else "1 step" if len(steps) == 1 else f"{len(steps)} steps"
    return f"{mode}, {count}, {_BY[source].format(planner or 'an unnamed planner')}"


def _steps(plan: JsonObject) -> list[JsonObject]:
    steps = plan.get("steps")
    return [step for step in steps if isinstance(step, dict)] if isinstance(steps, list) else []


def _forest(steps: Sequence[JsonObject]) -> tuple[Node, ...]:
    """Every step once, below the last of the steps that it needs; the others are named beside it."""
    ids = [str(step.get("id")) for step in steps]
    needs = {identifier: _needs(step, ids) for identifier, step in zip(ids, steps, strict=True)}
    below: dict[str | None, list[int]] = {}
    for index, identifier in enumerate(ids):
        above = needs[identifier][-1] if needs[identifier] else None
        below.setdefault(above, []).append(index)

    def grown(above: str | None) -> tuple[Node, ...]:
        return tuple(
            Node(_label(steps[index], needs[ids[index]]), grown(ids[index]) if ids[index] != above else ())
            for index in below.pop(above, ())
        )

    return grown(None)


def _needs(step: JsonObject, ids: Sequence[str]) -> list[str]:
    """The steps that a step mentions or depends on, in plan order.

    For display only, so names are looked for in the text of its expressions, outside of quotes; the orchestrator alone
    knows exactly.
    """
    mentioned = set(_list_of_texts(step.get("depends_on")))
    texts = [part for part in (step.get("when"), step.get("for_each")) if isinstance(part, str)]
    texts += _expressions_in(step.get("arguments"))
    for text in texts:
        bare = _TEXT_IN_EXPRESSION.sub("", text)
        mentioned |= set(re.findall(r"(?<![.\w])[a-z][a-z0-9_]*", bare))
    return [identifier for identifier in ids if identifier in mentioned and identifier != step.get("id")]


def _expressions_in(value: Json) -> list[str]:
    match value:
        case str():
            return re.findall(r"(?<!\$)\$\{(.*?)\}", value, re.DOTALL)
        case list():
            return [text for element in value for text in _expressions_in(element)]
        case dict():
            return [text for element in value.values() for text in _expressions_in(element)]
        case _:
            return []


def _label(step: JsonObject, needs: Sequence[str]) -> list[Span]:
    label: list[Span] = [(str(step.get("id")), "bold"), " ", (str(step.get("skill")), "cyan"), f"({_arguments(step)})"]
    for_each = step.get("for_each")
    if for_each is not None:
        label += [(" for each of ", "magenta"), for_each if isinstance(for_each, str) else _short(for_each)]
    if step.get("when"):
        label += [(" when ", "magenta"), str(step.get("when"))]
    if step.get("optional"):
        label.append((" optional", "magenta"))
    if len(needs) > 1:
        label.append((f" after {', '.join(needs)}", "dim"))
    return label


def _arguments(step: JsonObject) -> str:
    arguments = step.get("arguments")
    if not isinstance(arguments, dict):
        return ""
    return ", ".join(f"{name}={_short(value)}" for name, value in arguments.items())


def _short(value: Json) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _ARGUMENT_CHARACTERS else text[: _ARGUMENT_CHARACTERS - 3] + "..."


def _list_of_texts(value: Json) -> list[str]:
    return [element for element in value if isinstance(element, str)] if isinstance(value, list) else []
