"""Checks the arguments of a step against the input schema of its skill, as far as they do not depend on results."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from agentmesh.errors import Violation, ViolationReason
from agentmesh.jsonvalues import JsonObject
from orchestrator_svc.core.catalog import Skill
from orchestrator_svc.core.checker import Mismatch
from orchestrator_svc.core.expressions import Embedded, Template
from orchestrator_svc.core.references import Known, Scope, arguments_of, fields, hint, type_violation
from orchestrator_svc.core.references import mismatch as type_mismatch
from orchestrator_svc.core.schemas import all_alternatives, step_into
from orchestrator_svc.core.shape import shape
from orchestrator_svc.core.wording import cut, place

_DECIDED_BY_KEYS: Final = frozenset({
    "required", "additionalProperties", "unevaluatedProperties", "type", "minItems", "maxItems", "minProperties",
    "maxProperties", "propertyNames", "dependentRequired",
})  # fmt: skip
"""Keywords that hold or break whatever the expressions further in will give."""

_UNEXPECTED: Final = frozenset({"additionalProperties", "unevaluatedProperties"})
_STRING: Final = frozenset({"string"})
_MOST_HINTS: Final = 20
"""Unknown names in one object of which the nearest known one is looked up."""


@dataclass(frozen=True)
class Arguments:
    """The arguments of a step, its expressions compiled."""

    written: JsonObject
    template: Template
    broken: frozenset[tuple[str | int, ...]]
    """Where there is an expression that does not compile: nothing is known of the value there."""


def argument_violations(skill: Skill, arguments: Arguments, path: str, scope: Scope) -> Iterator[Violation]:
    """Unknown, missing and ill-typed arguments.

    A literal has to fit the input schema. An expression has to be able to give a type that its place takes.
    """
    takes = arguments_of(skill)
    open_places = [*arguments.broken, *(embedded.path for embedded in arguments.template.embedded)]
    unknown = _unknown(takes, arguments.written)
    yield from _unexpected(unknown, takes, (), path)
    for mismatch in skill.check_arguments.mismatches(arguments.written):
        if _is_decided(mismatch, open_places):
            yield from _described(mismatch, takes, path, frozenset(unknown))
    for embedded in arguments.template.embedded:
        violation = _embedded_violation(embedded, takes, f"{path}{place(embedded.path)}", scope)
        if violation is not None:
            yield violation


def _unknown(takes: Known, written: JsonObject) -> list[str]:
    """Arguments that are not listed, unless further ones are allowed explicitly: closed-world, as fields of results."""
    options = list(all_alternatives(takes.schemas, takes.root))
    return [name for name in written if all(step_into(option, name) is False for option in options)]


def _is_decided(mismatch: Mismatch, open_places: list[tuple[str | int, ...]]) -> bool:
    """Whether it is there whatever the expressions give."""
    if any(mismatch.path[: len(open_place)] == open_place for open_place in open_places):
        return False
    around = any(open_place[: len(mismatch.path)] == mismatch.path for open_place in open_places)
    return not around or mismatch.keyword in _DECIDED_BY_KEYS


def _described(mismatch: Mismatch, takes: Known, path: str, told: frozenset[str]) -> Iterator[Violation]:
    """A mismatch in the words of the plan language."""
    where = f"{path}{place(mismatch.path)}"
    if mismatch.keyword == "required":
        for name in mismatch.names:
            yield Violation(f"{where}.{cut(name)}", ViolationReason.ARGUMENT_MISSING, f"`{cut(name)}` is required")
    elif mismatch.keyword in _UNEXPECTED and mismatch.names:
        names = [name for name in mismatch.names if mismatch.path or name not in told]
        yield from _unexpected(names, takes, mismatch.path, path)
    elif mismatch.fits_none:
        message = f"fits none of what this place takes: {_union(takes.at(mismatch.path))}"
        yield Violation(where, ViolationReason.ARGUMENT_INVALID, message)
    else:
        yield Violation(where, ViolationReason.ARGUMENT_INVALID, mismatch.message)


def _union(union: Known) -> str:
    root: JsonObject = {**union.root, "anyOf": list(union.schemas)}
    return shape({key: root[key] for key in ("$defs", "definitions", "anyOf") if key in root}, max_characters=200)


def _unexpected(names: list[str], takes: Known, inside: tuple[str | int, ...], path: str) -> Iterator[Violation]:
    known = fields(list(all_alternatives(takes.at(inside).schemas, takes.root))) if names else []
    for position, name in enumerate(names):
        more = f"; {hint(name, known)}" if position < _MOST_HINTS else ""
        message = f"there is no argument `{cut(name)}`{more}"
        yield Violation(f"{path}{place((*inside, name))}", ViolationReason.ARGUMENT_UNKNOWN, message)


def _embedded_violation(embedded: Embedded, takes: Known, path: str, scope: Scope) -> Violation | None:
    wanted = takes.at(embedded.path).types()
    if not wanted:
        return None  # the place itself does not exist, which is said elsewhere
    if embedded.whole:
        return type_violation(embedded.expression, wanted, path, scope)
    return type_mismatch(path, _STRING, wanted)
