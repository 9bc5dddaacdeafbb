"""What is known, before anything runs, of the values that flow between steps: which fields exist, and their types.

Closed-world: a field that the output schema of a step does not list is refused, unless the schema allows further ones.
Where a schema says nothing, nothing is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from agentmesh.errors import Violation, ViolationReason
from agentmesh.jsonvalues import Json, JsonObject
from orchestrator_svc.core.catalog import Skill
from orchestrator_svc.core.expressions import Expression, Reference
from orchestrator_svc.core.schemas import TYPES, all_alternatives, step_into, types_of, widened
from orchestrator_svc.core.wording import cut, nearest, selection

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

_MOST_LISTED: Final = 12


@dataclass(frozen=True)
class Known:
    """What is known of a value that does not exist yet: the schemas that it may follow."""

    schemas: tuple[Json, ...]
    root: JsonObject
    """What a `$ref` in them refers to."""

    def at(self, path: Sequence[str | int | None]) -> Known:
        """What is known of a part of it; no schemas if they rule it out."""
        steps = [schemas for _, schemas in self.descend(path)]
        return Known(steps[-1] if steps else self.schemas, self.root)

    def descend(self, path: Sequence[str | int | None]) -> Iterator[tuple[list[JsonObject], tuple[Json, ...]]]:
        """Part by part: the alternatives in which it is looked for, and what they say of it; no schemas end it."""
        schemas = self.schemas
        for part in path:
            options = list(all_alternatives(schemas, self.root))
            schemas = tuple(found for option in options if (found := step_into(option, part)) is not False)
            yield options, schemas
            if not schemas:
                return

    def types(self) -> frozenset[str]:
        """The JSON types that it may have; none if it was ruled out."""
        return frozenset[str]().union(*(types_of(schema, self.root) for schema in self.schemas))


Scope: TypeAlias = Mapping[str, Known]
"""By name: steps, and `item`. A name that is not there can be anything."""


def arguments_of(skill: Skill) -> Known:
    return Known((skill.parameters,), skill.parameters)


def result_of(skill: Skill, *, repeated: bool) -> Known:
    """The value of a step; with for_each that is the list of its items' results."""
    schema = skill.output_schema
    return Known(({"type": "array", "items": schema} if repeated else schema,), schema)


def element_of(for_each: Expression | None, scope: Scope) -> Known | None:
    """The `item` of a for_each, if it is one field of a step's result."""
    path = for_each.path if for_each is not None else None
    known = scope.get(path.step) if path is not None else None
    if path is None or known is None:
        return None
    element = known.at((*path.path, 0))
    return element if element.schemas else None


def field_violations(expression: Expression, path: str, scope: Scope) -> Iterator[Violation]:
    """Every field that the expression reads and that cannot be there."""
    places = dict.fromkeys((mention.step, mention.path) for mention in expression.mentions)
    for step, parts in places:
        problem = _unknown_field(Reference(step, parts, guarded=False), scope)
        if problem is not None:
            yield Violation(path, ViolationReason.FIELD_UNKNOWN, problem)


def type_violation(expression: Expression, wanted: frozenset[str], path: str, scope: Scope) -> Violation | None:
    """A violation if the expression can give none of the wanted JSON types, by its form or by the schemas it reads."""
    return mismatch(path, _possible_types(expression, scope), wanted)


def mismatch(path: str, possible: frozenset[str], wanted: frozenset[str]) -> Violation | None:
    """A violation if nothing of what is possible is wanted."""
    if possible & widened(wanted):
        return None
    message = f"gives {_either(possible)}, and this place takes {_either(wanted)}"
    return Violation(path, ViolationReason.TYPE_MISMATCH, message)


def hint(name: str, known: Sequence[str]) -> str:
    """What there is instead of a name that is not known."""
    close = nearest(name, known)
    if close is not None:
        return f"did you mean `{close}`?"
    if not known:
        return "there are none"
    listed = ", ".join(f"`{cut(field)}`" for field in sorted(known)[:_MOST_LISTED])
    return f"there are {listed}" + (f" and {len(known) - _MOST_LISTED} more" if len(known) > _MOST_LISTED else "")


def fields(options: Sequence[JsonObject]) -> list[str]:
    """The names that the schemas list, each once."""
    listed = [option["properties"] for option in options if isinstance(option.get("properties"), dict)]
    return list(dict.fromkeys(name for properties in listed if isinstance(properties, dict) for name in properties))


def _possible_types(expression: Expression, scope: Scope) -> frozenset[str]:
    by_kind = _KINDS.get(expression.kind)
    if by_kind is not None:
        return by_kind
    known = scope.get(expression.path.step) if expression.path is not None else None
    if expression.path is None or known is None:
        return TYPES
    return known.at(expression.path.path).types() or TYPES  # what is ruled out has a violation of its own


def _unknown_field(reference: Reference, scope: Scope) -> str | None:
    """What to say of the first part of the path that the schemas rule out."""
    known = scope.get(reference.step)
    if known is None:
        return None
    for position, (options, schemas) in enumerate(known.descend(reference.path)):
        if not schemas:
            whole = reference.step + selection(reference.path[:position])
            return _not_there(
                whole, reference.path[position], Known(tuple(options), known.root).types(), fields(options)
            )
    return None


def _not_there(whole: str, part: str | int | None, types: frozenset[str], listed: Sequence[str]) -> str:
    if isinstance(part, int) and part < 0:
        return f"`{whole}` has no element [{part}]: positions begin at 0, the last is {whole}[size({whole}) - 1]"
    if not isinstance(part, str):
        kind = "" if "array" in types else f" (it is {_either(types)}, no list)"
        return f"`{whole}`{kind} has no element {selection([part])}"
    if types == {"array"}:
        field = selection([part])
        return f"`{whole}` is a list: write {whole}[0]{field}, or {whole}.map(r, r{field})"
    if "object" not in types:
        return f"`{whole}` (it is {_either(types)}, no object) has no field `{cut(part)}`"
    return f"`{whole}` has no field `{cut(part)}`; {hint(part, listed)}"


def _either(types: frozenset[str]) -> str:
    return " or ".join(sorted(types))
