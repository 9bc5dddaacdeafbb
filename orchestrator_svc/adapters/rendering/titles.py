"""What a step is called in an answer: its skill in words, and the arguments that tell it from others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Final

from agentmesh.jsonvalues import Json, JsonObject
from orchestrator_svc.adapters.rendering.figures import figure, in_words, labels, short
from orchestrator_svc.app.ports.synthesizer import Brief
from orchestrator_svc.core.expressions import Embedded, EvaluationFailed, format_text
from orchestrator_svc.core.plan import Plan, Step

_MOST_ARGUMENTS: Final = 3
_VALUE_CHARACTERS: Final = 60
_ANY_TIME: Final = datetime(2000, 1, 1, tzinfo=UTC)
"""Evaluation wants the start of the run; only expressions that do not mention it are evaluated."""


def title(step: Step, brief: Brief) -> str:
    """`Get report: checkout`; several arguments have their names before them."""
    shown = dict(list(arguments(step, _results(step, brief), of_items=False).items())[:_MOST_ARGUMENTS])
    name = skill_title(step, brief.plan)
    return f"{name}: {named(shown)}" if shown else name


def skill_title(step: Step, plan: Plan) -> str:
    """The name of the skill in words; with its agent, if another agent of the plan has one of that name."""
    name = in_words(step.skill.name)
    agents = {each.skill.agent for each in plan.steps if each.skill.name == step.skill.name}
    of_agent = f" ({in_words(step.skill.agent)})" if len(agents) > 1 else ""
    return f"{name[:1].upper()}{name[1:]}{of_agent}"


def item_names(step: Step, brief: Brief, count: int) -> list[JsonObject]:
    """For each item of a for_each step, the arguments that are its own; `{"item": 1}` where there is nothing better."""
    results = _results(step, brief)
    items = _items(step, results)
    if items is None or len(items) != count:
        items = [None] * count
    own = [
        arguments(step, {**results, "item": item, "index": index}, of_items=True) for index, item in enumerate(items)
    ]
    return [dict(list(each.items())[:_MOST_ARGUMENTS]) or {"item": place} for place, each in enumerate(own, 1)]


def named(values: JsonObject) -> str:
    """Arguments on one line, with their names; a single text needs none."""
    match list(values.values()):
        case [str(only)]:
            return figure("", only, _VALUE_CHARACTERS)
        case _:
            named_ones = labels(values).items()
            return ", ".join(f"{label} {short(name, values[name], _VALUE_CHARACTERS)}" for name, label in named_ones)


def arguments(step: Step, bindings: Mapping[str, Json], *, of_items: bool) -> JsonObject:
    """The scalar arguments that are no defaults, as far as they are literals or parts of results.

    Args:
        step: Whose arguments.
        bindings: The results that it may mention; for an item, `item` and `index` as well.
        of_items: Those that mention the item; else those that do not.
    """
    defaults = _defaults(step.skill.parameters)
    found: JsonObject = {}
    for name in step.arguments.arguments:
        if _mentions_item(step, name) is not of_items:
            continue
        for value in _resolved(step, name, bindings):
            if not isinstance(value, dict | list) and value not in (None, "") and defaults.get(name) != value:
                found[name] = value
    return found


def _results(step: Step, brief: Brief) -> dict[str, Json]:
    return {name: brief.outcomes[name].value for name in step.needs if name in brief.outcomes}


def _items(step: Step, results: Mapping[str, Json]) -> list[Json] | None:
    if isinstance(step.for_each, tuple):
        return list(step.for_each)
    if step.for_each is None or step.for_each.path is None:
        return None
    try:
        value = step.for_each.evaluate(results, _ANY_TIME)
    except EvaluationFailed:
        return None
    return value if isinstance(value, list) else None


def _mentions_item(step: Step, name: str) -> bool:
    return any(embedded.expression.uses_item for embedded in step.arguments.embedded if embedded.path[0] == name)


def _resolved(step: Step, name: str, bindings: Mapping[str, Json]) -> Iterator[Json]:
    """The value of an argument, if it takes no computing: a literal, or what stands somewhere in a result."""
    written = step.arguments.arguments[name]
    pieces = step.arguments.strings.get((name,), (written,))
    if any(isinstance(piece, Embedded) and piece.expression.path is None for piece in pieces):
        return
    try:
        values = [p.expression.evaluate(bindings, _ANY_TIME) if isinstance(p, Embedded) else p for p in pieces]
        yield values[0] if len(values) == 1 else "".join(format_text(value) for value in values)
    except EvaluationFailed:
        return


def _defaults(schema: JsonObject) -> dict[str, Json]:
    properties = schema.get("properties")
    members = properties.items() if isinstance(properties, dict) else ()
    return {name: part["default"] for name, part in members if isinstance(part, dict) and "default" in part}
