"""Checks values against a JSON Schema, and says where they do not fit. Fetches no `$ref`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

import jsonschema_rs

from agentmesh.jsonvalues import Json, JsonObject
from orchestrator_svc.core.wording import place, shortened

_Kind: TypeAlias = jsonschema_rs.ValidationErrorKind

_MOST_PARTS: Final = 10_000
"""Of a value whose mismatches are all looked for: each takes 10 us, and the engine finds all of them or one."""
_MESSAGE_CHARACTERS: Final = 300

_CLOSING: Final = ("additionalProperties", "unevaluatedProperties")
_BY_NAME: Final = frozenset({"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"})
"""Keywords whose value has schemas by a name that is not a keyword."""
_LEFT: Final = frozenset({"const", "enum", "default", "examples", "not", "if"})
"""Keywords with values, or with schemas that forbid more when they are opened."""


@dataclass(frozen=True, slots=True)
class Mismatch:
    """One place where a value does not fit its schema."""

    path: tuple[str | int, ...]
    keyword: str
    """The JSON Schema keyword that is broken, e.g. `type`, `required`, `additionalProperties`."""
    message: str
    names: tuple[str, ...] = ()
    """The missing or the unexpected members, for `required` and `additionalProperties`."""
    fits_none: bool = False
    """True if it fits none of the alternatives of anyOf or oneOf."""


class SchemaInvalid(ValueError):
    """The schema itself is not valid, or refers to another document."""


class Checker:
    """A compiled schema. Immutable; a check takes under a microsecond for small values."""

    def __init__(self, schema: JsonObject) -> None:
        try:
            self._validator = jsonschema_rs.validator_for(schema, offline=True)
        except jsonschema_rs.ValidationError as error:
            where = place(error.instance_path).removeprefix(".")
            message = shortened(error.message, _MESSAGE_CHARACTERS)
            raise SchemaInvalid(f"{where}: {message}" if where else message) from error

    def mismatches(self, value: Json) -> tuple[Mismatch, ...]:
        """What does not fit; of a very large value only the first."""
        first = self.first_mismatch(value)
        if first is None:
            return ()
        if _parts(value) > _MOST_PARTS:
            return (first,)
        return tuple(map(self._mismatch, self._validator.iter_errors(value)))

    def first_mismatch(self, value: Json) -> Mismatch | None:
        """What does not fit, if anything: one of them, without looking for the others."""
        try:
            self._validator.validate(value)
        except jsonschema_rs.ValidationError as error:
            return self._mismatch(error)
        return None

    @staticmethod
    def _mismatch(error: jsonschema_rs.ValidationError) -> Mismatch:
        return Mismatch(
            path=tuple(error.instance_path),
            keyword=str(error.kind.name),
            message=shortened(error.message, _MESSAGE_CHARACTERS),
            names=_names(error.kind),
            fits_none=isinstance(error.kind, (_Kind.AnyOf, _Kind.OneOfNotValid)),
        )


def opened(schema: Json) -> Json:
    """The schema without the rules that forbid further members: results may have more than they promise.

    With more members a value may fit several branches of a oneOf, so that becomes an anyOf.
    """
    if isinstance(schema, list):
        return [opened(element) for element in schema]
    if not isinstance(schema, dict):
        return schema
    found: JsonObject = {}
    for key, value in schema.items():
        if key in _CLOSING and value is False:
            continue
        if key in _BY_NAME and isinstance(value, dict):
            found[key] = {name: opened(inner) for name, inner in value.items()}
        else:
            found[key] = value if key in _LEFT else opened(value)
    if "oneOf" in found:
        beside = found.get("allOf")
        found["allOf"] = [*(beside if isinstance(beside, list) else []), {"anyOf": found.pop("oneOf")}]
    return found


def _names(kind: object) -> tuple[str, ...]:
    match kind:
        case _Kind.Required(property=name):
            return (str(name),)
        case _Kind.AdditionalProperties(unexpected=names) | _Kind.UnevaluatedProperties(unexpected=names):
            return tuple(str(name) for name in names)
        case _:
            return ()


def _parts(value: Json) -> int:
    members = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + sum(map(_parts, members))
