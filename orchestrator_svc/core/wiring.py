"""Fills arguments that a planner left out, where only one earlier result can be meant.

A missing required argument is taken from the field of the same name and type in the output schema of an earlier step,
if there is exactly one: a field outside lists is preferred to one inside a list, where the first element is meant.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from agentmesh.errors import Violation, ViolationReason
from agentmesh.jsonvalues import Json, JsonObject
from orchestrator_svc.core.catalog import Catalog, Skill
from orchestrator_svc.core.schemas import alternatives, resolve, step_into, types_of, widened
from orchestrator_svc.core.wording import selected

_MAX_PATH_PARTS: Final = 12
_MAX_SCHEMAS_SEEN: Final = 5000
"""A schema whose references share parts can stand for very many paths; those further in are not looked at."""


@dataclass(frozen=True, slots=True)
class Source:
    """A field of an earlier step's result."""

    step: str
    path: tuple[str | int, ...]
    """From the step's value on; `0` where the first element of a list is meant."""

    @property
    def expression(self) -> str:
        """Such as `scan.anomalies[0].component`."""
        return self.step + "".join(selected(part) for part in self.path)

    @property
    def in_list(self) -> bool:
        return 0 in self.path

    @property
    def guards(self) -> tuple[str, ...]:
        """What must hold for the field to be there, such as `size(scan.anomalies) > 0`; nothing outside lists."""
        lists = [Source(self.step, self.path[:place]) for place, part in enumerate(self.path) if part == 0]
        return tuple(f"size({each.expression}) > 0" for each in lists)


@dataclass(frozen=True, slots=True)
class Wired:
    """Steps of which every required argument is filled, as far as there was one way to do it."""

    steps: tuple[JsonObject, ...]
    guards: tuple[str | None, ...]
    """By position: what must hold for the wired arguments of a step; for `when`, which is left as it was."""
    violations: tuple[Violation, ...]
    """One for each argument that is still missing, with the candidates if there were several."""


def wire(steps: Sequence[JsonObject], catalog: Catalog) -> Wired:
    """Fill the missing required arguments of steps in the plan language from the steps before them.

    Args:
        steps: In their order. What `validate` refuses (a skill that is not known, arguments that are no object) is
            passed on as it is.
        catalog: The skills of the steps.
    """
    done: list[JsonObject] = []
    guards: list[str | None] = []
    violations: list[Violation] = []
    for index, step in enumerate(steps):
        found: dict[str, Source] = {}
        for name in missing_arguments(step, catalog):
            sources = sources_of(name, step, done, catalog)
            if len(sources) == 1:
                found[name] = sources[0]
            else:
                path = f"steps[{index}].arguments.{name}"
                violations.append(Violation(path, ViolationReason.ARGUMENT_MISSING, _problem(name, sources)))
        done.append(fill(step, found))
        guards.append(all_hold(guards_of(found.values())))
    return Wired(tuple(done), tuple(guards), tuple(violations))


def missing_arguments(step: JsonObject, catalog: Catalog) -> tuple[str, ...]:
    """The required arguments that the step does not have, in the order in which its skill lists them."""
    skill = _skill(step, catalog)
    arguments = step.get("arguments", {})
    if skill is None or not isinstance(arguments, dict):
        return ()
    required = _top(skill.parameters).get("required")
    names = required if isinstance(required, list) else []
    return tuple(name for name in names if isinstance(name, str) and name not in arguments)


def sources_of(name: str, step: JsonObject, earlier: Sequence[JsonObject], catalog: Catalog) -> tuple[Source, ...]:
    """The fields of earlier results that the argument `name` may come from; those in lists if there are no others."""
    skill = _skill(step, catalog)
    if skill is None:
        return ()
    wanted = argument_types(skill, name)
    found = [source for other in earlier for source in fields(other, name, wanted, catalog)]
    return tuple([source for source in found if not source.in_list] or found)


def fields(step: JsonObject, name: str, wanted: frozenset[str], catalog: Catalog) -> Iterator[Source]:
    """The fields called `name` in the result of a step whose type is always one of `wanted`; the outer ones first."""
    return (source for source in all_fields(step, wanted, catalog) if source.path and source.path[-1] == name)


def all_fields(step: JsonObject, wanted: frozenset[str], catalog: Catalog) -> Iterator[Source]:
    """Every part of the result of a step whose type is always one of `wanted`, the outer ones first."""
    skill = _skill(step, catalog)
    identifier = step.get("id")
    if skill is None or not isinstance(identifier, str):
        return
    # The value of a step with for_each is the list of its items' results.
    start: tuple[str | int, ...] = () if step.get("for_each") is None else (0,)
    for path, types in _types_by_path(skill.output_schema).items():
        if _fits(types, wanted):
            yield Source(identifier, start + path)


def argument_types(skill: Skill, name: str) -> frozenset[str]:
    """The JSON types that an argument of the skill may have."""
    options = list(alternatives(skill.parameters, skill.parameters))
    return frozenset[str]().union(*(types_of(step_into(option, name), skill.parameters) for option in options))


def fill(step: JsonObject, sources: dict[str, Source]) -> JsonObject:
    """The step with these arguments taken from earlier results."""
    if not sources:
        return step
    arguments = step.get("arguments", {})
    assert isinstance(arguments, dict)
    wired: JsonObject = {name: f"${{{source.expression}}}" for name, source in sources.items()}
    return {**step, "arguments": {**arguments, **wired}}


def guards_of(sources: Iterable[Source]) -> tuple[str, ...]:
    """What must hold for all of the sources to be there, each once."""
    return tuple(dict.fromkeys(guard for source in sources for guard in source.guards))


def all_hold(conditions: Iterable[str]) -> str | None:
    """The condition that all of them hold, for `when`; None where there is none."""
    return " && ".join(conditions) or None


def _types_by_path(root: JsonObject) -> dict[tuple[str | int, ...], frozenset[str]]:
    """Every path that the schema lists, the shortest first, with the types that a value there may have."""
    found: dict[tuple[str | int, ...], frozenset[str]] = {}
    queue: deque[tuple[tuple[str | int, ...], Json, frozenset[int]]] = deque([((), root, frozenset())])
    for _ in range(_MAX_SCHEMAS_SEEN):
        if not queue:
            break
        path, schema, around = queue.popleft()
        found[path] = found.get(path, frozenset()) | types_of(schema, root)
        if len(path) == _MAX_PATH_PARTS:
            continue
        for option in alternatives(schema, root):
            # A schema inside itself (a tree) has the same fields again, further in.
            if id(option) not in around:
                inside = around | {id(option)}
                queue.extend(((*path, part), member, inside) for part, member in _parts(option))
    return found


def _parts(schema: JsonObject) -> Iterator[tuple[str | int, Json]]:
    properties = schema.get("properties")
    if isinstance(properties, dict):
        yield from properties.items()
    if "items" in schema or "prefixItems" in schema:
        yield 0, step_into(schema, 0)


def _fits(possible: frozenset[str], wanted: frozenset[str]) -> bool:
    """Whether every value of the field is one that the argument takes; null apart, which is found out at run time."""
    values = possible - {"null"}
    return bool(values) and values <= widened(wanted)


def _skill(step: JsonObject, catalog: Catalog) -> Skill | None:
    identifier = step.get("skill")
    return catalog.skills.get(identifier) if isinstance(identifier, str) else None


def _top(schema: JsonObject) -> JsonObject:
    reference = schema.get("$ref")
    target = resolve(reference, schema) if isinstance(reference, str) else None
    return target if isinstance(target, dict) else schema


def _problem(name: str, sources: Sequence[Source]) -> str:
    if not sources:
        return f"`{name}` is required, and no earlier step gives a field of that name and type"
    candidates = " or ".join(f"`${{{source.expression}}}`" for source in sources[:8])
    more = f" or {len(sources) - 8} more" if len(sources) > 8 else ""
    return f"`{name}` is required, and it may be {candidates}{more}: say which"
