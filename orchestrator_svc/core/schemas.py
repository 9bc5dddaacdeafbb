"""JSON Schema, as far as plans need it: check a value, and say what a schema knows of a path. Fetches no `$ref`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import jsonschema_rs

from agentmesh.jsonvalues import Json, JsonObject

_CLOSING: Final = ("additionalProperties", "unevaluatedProperties")
_MAX_REF_HOPS: Final = 16

TYPES: Final = frozenset({"null", "boolean", "integer", "number", "string", "array", "object"})


@dataclass(frozen=True, slots=True)
class Mismatch:
    """One place where a value does not fit its schema."""

    path: tuple[str | int, ...]
    keyword: str
    """The JSON Schema keyword that is broken, e.g. `type`, `required`, `additionalProperties`."""
    message: str
    names: tuple[str, ...] = ()
    """The missing or the unexpected members, for `required` and `additionalProperties`."""


class SchemaInvalid(ValueError):
    """The schema itself is not valid, or refers to another document."""


class Checker:
    """A compiled schema. Immutable; a check takes well under a microsecond for small values."""

    def __init__(self, schema: JsonObject) -> None:
        try:
            self._validator = jsonschema_rs.validator_for(schema, offline=True)
        except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
            message = getattr(error, "message", None) or str(error)
            raise SchemaInvalid(message.splitlines()[0]) from error

    def accepts(self, value: Json) -> bool:
        return bool(self._validator.is_valid(value))

    def mismatches(self, value: Json) -> tuple[Mismatch, ...]:
        return tuple(
            Mismatch(tuple(error.instance_path), str(error.kind.name), _short(error.message), _names(error.kind))
            for error in self._validator.iter_errors(value)
        )


def opened(schema: Json) -> Json:
    """The schema without the rules that forbid further fields: results may have more than they promise."""
    if isinstance(schema, list):
        return [opened(element) for element in schema]
    if not isinstance(schema, dict):
        return schema
    return {key: opened(value) for key, value in schema.items() if not (key in _CLOSING and value is False)}


def alternatives(schema: Json, root: JsonObject) -> Iterator[JsonObject]:
    """The schemas that a value may follow: `$ref` resolved, anyOf / oneOf / allOf laid side by side.

    A schema that says nothing yields `{}`.
    """
    yield from _alternatives(schema, root, _MAX_REF_HOPS)


def step_into(schema: JsonObject, part: str | int | None) -> Json:
    """What `schema` says of the member `part` (a field, or an element of a list).

    Returns a schema (`True` where nothing is said), or `False` where there is no such member: a field that is not
    listed although others are, unless further ones are allowed by name.
    """
    if isinstance(part, str):
        properties = schema.get("properties")
        if not isinstance(properties, dict) or schema.get("patternProperties"):
            further = schema.get("additionalProperties")
            return further if isinstance(further, dict) else _may_be(schema, "object")
        if part in properties:
            return properties[part]
        further = schema.get("additionalProperties", False)
        return further if isinstance(further, dict) else further is True
    items = schema.get("items")
    prefix = schema.get("prefixItems")
    if isinstance(prefix, list) and isinstance(part, int) and part < len(prefix):
        return prefix[part]
    return items if isinstance(items, (dict, bool)) else _may_be(schema, "array")


def types_of(schema: Json, root: JsonObject) -> frozenset[str]:
    """The JSON types that a value of this schema may have; all of them where nothing is said."""
    if schema is False:
        return frozenset()
    found: set[str] = set()
    for option in alternatives(schema, root):
        found |= _declared_types(option)
    return frozenset(found)


def _declared_types(schema: JsonObject) -> frozenset[str]:
    declared = schema.get("type")
    if isinstance(declared, str):
        return frozenset({declared})
    if isinstance(declared, list):
        return frozenset(str(name) for name in declared)
    if "const" in schema:
        return frozenset({_type_name(schema["const"])})
    values = schema.get("enum")
    if isinstance(values, list):
        return frozenset(_type_name(value) for value in values)
    return TYPES


def _type_name(value: Json) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
        case _:
            return "object"


def _may_be(schema: JsonObject, name: str) -> bool:
    return name in _declared_types(schema)


def _alternatives(schema: Json, root: JsonObject, hops: int) -> Iterator[JsonObject]:
    if not isinstance(schema, dict):
        yield {}
        return
    reference = schema.get("$ref")
    if isinstance(reference, str):
        target = resolve(reference, root) if hops > 0 else None
        yield from _alternatives(target, root, hops - 1)
        return
    branches = [
        branch
        for key in ("anyOf", "oneOf", "allOf")
        for branch in _as_list(schema.get(key))
        if isinstance(branch, dict)
    ]
    if not branches:
        yield schema
        return
    if schema.get("properties") or schema.get("type"):
        yield schema
    for branch in branches:
        yield from _alternatives(branch, root, hops)


def resolve(reference: str, root: JsonObject) -> Json:
    """The schema that a reference within the document names; None if it names none."""
    if not reference.startswith("#"):
        return None
    place: Json = root
    for part in reference.removeprefix("#").split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if not isinstance(place, dict) or key not in place:
            return None
        place = place[key]
    return place


def references_of(schema: Json) -> Iterator[str]:
    """Every `$ref` anywhere in the schema."""
    if isinstance(schema, list):
        for element in schema:
            yield from references_of(element)
    elif isinstance(schema, dict):
        for key in ("$ref", "$dynamicRef"):
            reference = schema.get(key)
            if isinstance(reference, str):
                yield reference
        for element in schema.values():
            yield from references_of(element)


def _names(kind: object) -> tuple[str, ...]:
    match kind:
        case jsonschema_rs.ValidationErrorKind.Required(property=name):
            return (str(name),)
        case (
            jsonschema_rs.ValidationErrorKind.AdditionalProperties(unexpected=names)
            | jsonschema_rs.ValidationErrorKind.UnevaluatedProperties(unexpected=names)
        ):
            return tuple(str(name) for name in names)
        case _:
            return ()


def _as_list(value: Json) -> list[Json]:
    return value if isinstance(value, list) else []


def _short(message: str) -> str:
    return message if len(message) <= 300 else message[:297] + "..."
