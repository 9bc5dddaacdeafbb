"""Compares a plan with the one that a question should become."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Final

from agentmesh.jsonvalues import Json, JsonObject
from benchmarks.routing.questions import ExpectedStep, RoutingQuestion
from orchestrator_svc.core.catalog import Catalog
from orchestrator_svc.core.plan import Plan, Step
from orchestrator_svc.core.validate import PlanRejected, validate

KINDS: Final = ("single", "parallel", "sequential", "none")


@dataclass(frozen=True)
class Verdict:
    """How a plan compares."""

    exact: bool
    """Skills, mode and edges are those that were expected."""
    arguments: bool
    """And so are the arguments."""
    said: str
    """The plan on one line."""


def judge(question: RoutingQuestion, plan: JsonObject, catalog: Catalog) -> Verdict:
    """Compare a plan in the plan language with what the question expects. A plan that does not validate is wrong."""
    try:
        valid = validate(plan, catalog)
    except PlanRejected as rejected:
        return Verdict(exact=False, arguments=False, said=f"REJECTED: {rejected.violations[0].message}")
    said = _shown(valid)
    matches = list(_matches(question.steps, valid))
    right = any(
        all(_same_arguments(expected, match[name], match) for name, expected in question.steps.items())
        for match in matches
    )
    return Verdict(exact=bool(matches), arguments=right, said=said)


def _matches(expected: Mapping[str, ExpectedStep], plan: Plan) -> Iterator[dict[str, Step]]:
    """Every way in which the steps of the plan are those that are expected, with the same edges."""
    if len(expected) != len(plan.steps):
        return
    for order in permutations(plan.steps):
        match = dict(zip(expected, order, strict=True))
        if all(_same_step(expected[name], step, match) for name, step in match.items()):
            yield match


def _same_step(expected: ExpectedStep, step: Step, match: Mapping[str, Step]) -> bool:
    return (
        step.skill.id == expected.skill
        and set(step.needs) == {match[name].id for name in expected.needs}
        and (step.for_each is not None) == expected.for_each
        and (expected.for_each or expected.when is None or (step.when is not None) == expected.when)
    )


def _same_arguments(expected: ExpectedStep, step: Step, match: Mapping[str, Step]) -> bool:
    given = step.source.get("arguments", {})
    assert isinstance(given, dict)
    names = {name: other.id for name, other in match.items()}
    wanted = {name: _renamed(value, names) for name, value in expected.arguments.items()}
    return _without_defaults(given, step) == _without_defaults(wanted, step)


def _renamed(value: Json, names: Mapping[str, str]) -> Json:
    if isinstance(value, str) and value.startswith("${"):
        step, separator, rest = value[2:].partition(".")
        return "${" + names.get(step, step) + separator + rest
    return value


def _without_defaults(arguments: Mapping[str, Json], step: Step) -> JsonObject:
    properties = step.skill.parameters.get("properties")
    known = properties if isinstance(properties, dict) else {}
    defaults = {name: schema.get("default") for name, schema in known.items() if isinstance(schema, dict)}
    return {name: value for name, value in arguments.items() if defaults.get(name) != value}


def _shown(plan: Plan) -> str:
    return f"{plan.mode}: " + "; ".join(_shown_step(step) for step in plan.steps)


def _shown_step(step: Step) -> str:
    arguments = step.source.get("arguments", {})
    assert isinstance(arguments, dict)
    parts: Sequence[str] = [f"{name}={value}" for name, value in arguments.items()]
    extra = [f"{key} {step.source[key]}" for key in ("when", "for_each", "depends_on") if key in step.source]
    return f"{step.id}({', '.join(parts)})" + "".join(f" {part}" for part in extra)
