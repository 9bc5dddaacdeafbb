"""What is known, before anything runs, of the values that flow between steps: which fields exist, and their types.

Closed-world: a field that the output schema of a step does not list is refused, unless the schema allows further ones.
Where a schema says nothing, nothing is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from agentmesh.errors import Violation, ViolationReason
from agentmesh.jsonvalues import Json, JsonObject
from orchestrator_svc.core.catalog import Skill, nearest
from orchestrator_svc.core.expressions import Embedded, Expression, Reference, Template
from orchestrator_svc.core.schemas import TYPES, Mismatch, alternatives, step_into, types_of

_KINDS: Final[Mapping[str, frozenset[str]]] = {
    "bool": frozenset({"boolean"}),
    "number": frozenset({"integer", "number"}),
    "string": frozenset({"string"}),
    "timestamp": frozenset({"string"}),
    "duration": frozenset({"string"}),
    "list": frozenset({"array"}),
    "map": frozenset({"object"}),
    "null": frozenset({"null"}),
}
"""JSON types of the static kinds of expressions; a kind that is not here can be anything."""

_PURE_PATH: Final = re.compile(r"""[a-z][a-z0-9_]*(\.[A-Za-z_]\w*|\[\d+\]|\["[^"\\]*"\]|\['[^'\\]*'\])*\Z""")

_DECIDED_BY_KEYS: Final = frozenset(
    {"required", "additionalProperties", "unevaluatedProperties", "type", "minItems", "maxItems", "minProperties"}
    | {"maxProperties", "propertyNames", "dependentRequired"}
)
"""Keywords that hold or break whatever the expressions further in will give."""


@dataclass(frozen=True)
class Scope:
    """What the steps of the plan are, by id."""

    skills: Mapping[str, Skill | None]
    lists: frozenset[str]
    """The steps with `for_each`: their value is the list of their items' results."""


def reference_violations(expression: Expression, path: str, scope: Scope) -> Iterator[Violation]:
    """Every field that the expression reads and that its step cannot have."""
    seen = set()
    for reference in expression.references:
        place = (reference.step, reference.path)
        if place in seen:
            continue
        seen.add(place)
        problem = _unknown_field(reference, scope)
        if problem is not None:
            yield Violation(path, ViolationReason.FIELD_UNKNOWN, problem)


def type_violation(expression: Expression, wanted: frozenset[str], path: str) -> Violation | None:
    """A violation if the expression, by its own form, can never give one of the wanted JSON types."""
    possible = _KINDS.get(expression.kind, TYPES)
    if possible & wanted:
        return None
    return _mismatch(path, possible, wanted)


def argument_violations(
    skill: Skill, arguments: JsonObject, template: Template, path: str, scope: Scope
) -> Iterator[Violation]:
    """What is wrong with the arguments of a step, as far as it does not depend on results."""
    embedded = [part.path for part in template.embedded]
    for mismatch in skill.check_arguments.mismatches(arguments):
        if any(mismatch.path[: len(part)] == part for part in embedded):
            continue
        around = any(part[: len(mismatch.path)] == mismatch.path for part in embedded)
        if not around or mismatch.keyword in _DECIDED_BY_KEYS:
            yield from describe(mismatch, skill.parameters, path)
    for part in template.embedded:
        violation = _embedded_violation(part, skill, f"{path}{_shown(part.path)}", scope)
        if violation is not None:
            yield violation


def describe(mismatch: Mismatch, schema: JsonObject, path: str) -> Iterator[Violation]:
    """A mismatch of arguments in the words of the plan language."""
    place = f"{path}{_shown(mismatch.path)}"
    if mismatch.keyword == "required":
        for name in mismatch.names:
            yield Violation(f"{place}.{name}", ViolationReason.ARGUMENT_MISSING, f"`{name}` is required")
    elif mismatch.keyword in ("additionalProperties", "unevaluatedProperties") and mismatch.names:
        known = _fields(_schemas_at(schema, mismatch.path))
        for name in mismatch.names:
            message = f"there is no argument `{_cut(name)}`; {_hint(name, known)}"
            yield Violation(f"{place}.{_cut(name)}", ViolationReason.ARGUMENT_UNKNOWN, message)
    else:
        yield Violation(place, ViolationReason.ARGUMENT_INVALID, mismatch.message)


def _embedded_violation(part: Embedded, skill: Skill, path: str, scope: Scope) -> Violation | None:
    wanted = frozenset[str]().union(
        *(types_of(option, skill.parameters) for option in _schemas_at(skill.parameters, part.path))
    )
    possible = _possible_types(part.expression, scope) if part.whole else frozenset({"string"})
    if not wanted or possible & _numbers_alike(wanted):
        return None
    return _mismatch(path, possible, wanted)


def _possible_types(expression: Expression, scope: Scope) -> frozenset[str]:
    by_kind = _KINDS.get(expression.kind)
    if by_kind is not None:
        return by_kind
    if len(expression.references) == 1 and _PURE_PATH.match(expression.source.strip()):
        reference = expression.references[0]
        skill = scope.skills.get(reference.step)
        if skill is not None:
            known = _schemas_of(reference, skill, scope)
            return frozenset[str]().union(*(types_of(option, skill.output_schema) for option in known)) or TYPES
    return TYPES


def _unknown_field(reference: Reference, scope: Scope) -> str | None:
    """What to say of the first part of the path that its schema rules out."""
    skill = scope.skills.get(reference.step)
    if skill is None:
        return None
    path = list(reference.path)
    if reference.step in scope.lists and path:
        position = path.pop(0)
        if isinstance(position, str):
            return (
                f"`{reference.step}` has for_each, so its value is a list: write {reference.step}[0].{position}, "
                f"or {reference.step}.map(r, r.{position})"
            )
    schemas: list[Json] = [skill.output_schema]
    for part in path:
        options = [option for schema in schemas for option in alternatives(schema, skill.output_schema)]
        schemas = [found for found in (step_into(option, part) for option in options) if found is not False]
        if schemas:
            continue
        if isinstance(part, str):
            return f"the result of `{skill.id}` has no field `{_cut(part)}`; {_hint(part, _fields(options))}"
        return f"`{skill.id}` does not give a list there, so it has no element [{part}]"
    return None


def _schemas_of(reference: Reference, skill: Skill, scope: Scope) -> list[Json]:
    path: Sequence[str | int | None] = reference.path
    if reference.step in scope.lists:
        if not path:
            return [{"type": "array"}]
        path = path[1:]
    return _schemas_at(skill.output_schema, path)


def _schemas_at(schema: JsonObject, path: Sequence[str | int | None]) -> list[Json]:
    """The schemas that a value at this path may follow; empty if the schema rules the path out."""
    schemas: list[Json] = [schema]
    for part in path:
        schemas = [
            found
            for current in schemas
            for option in alternatives(current, schema)
            if (found := step_into(option, part)) is not False
        ]
    return schemas


def _numbers_alike(types: frozenset[str]) -> frozenset[str]:
    """A double may be integral, so number and integer are not told apart before there is a value."""
    numbers = frozenset({"integer", "number"})
    return types | numbers if types & numbers else types


def _fields(schemas: Sequence[Json]) -> list[str]:
    found: list[str] = []
    for schema in schemas:
        properties = schema.get("properties") if isinstance(schema, dict) else None
        if isinstance(properties, dict):
            found.extend(properties)
    return found


def _hint(name: str, known: Sequence[str]) -> str:
    close = nearest(name, known)
    listed = ", ".join(f"`{field}`" for field in sorted(known)[:12])
    return f"did you mean `{close}`?" if close else f"there are {listed or 'none'}"


def _mismatch(path: str, possible: frozenset[str], wanted: frozenset[str]) -> Violation:
    return Violation(
        path,
        ViolationReason.TYPE_MISMATCH,
        f"gives {_either(possible)}, and this place takes {_either(wanted)}",
    )


def _either(types: frozenset[str]) -> str:
    return " or ".join(sorted(types))


def _shown(path: Sequence[str | int]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{_cut(part)}" for part in path)


def _cut(name: str) -> str:
    return name if len(name) <= 64 else name[:61] + "..."
