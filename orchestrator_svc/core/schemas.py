"""JSON Schema, as far as plans need it: check a value, and say what a schema knows of a path. Fetches no `$ref`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

import jsonschema_rs

from agentmesh.jsonvalues import Json, JsonObject
from orchestrator_svc.core.wording import place

_Kind: TypeAlias = jsonschema_rs.ValidationErrorKind

_MOST_PARTS: Final = 10_000
"""Of a value whose mismatches are all looked for: each takes 10 us, and the engine finds all of them or one."""

_MEMBERS: Final = frozenset({"properties", "patternProperties", "additionalProperties", "items", "prefixItems"})
_TYPES_SAID: Final = frozenset({"type", "enum", "const"})
_REFERRING: Final = frozenset({"$ref", "allOf", "anyOf", "oneOf"})
_SAYS_MEMBERS: Final = 2

_CLOSING: Final = ("additionalProperties", "unevaluatedProperties")
_BY_NAME: Final = frozenset({"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"})
"""Keywords whose value has schemas by a name that is not a keyword."""
_LEFT: Final = frozenset({"const", "enum", "default", "examples", "not", "if"})
"""Keywords with values, or with schemas that forbid more when they are opened."""

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
            raise SchemaInvalid(f"{where}: {_short(error.message)}" if where else _short(error.message)) from error

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
            message=_short(error.message),
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
        found["allOf"] = [*_as_list(found.get("allOf")), {"anyOf": found.pop("oneOf")}]
    return found


def alternatives(schema: Json, root: JsonObject) -> Iterator[JsonObject]:
    """The schemas that a value may follow: `$ref` resolved, anyOf / oneOf / allOf laid side by side.

    A schema that says nothing is one without keywords. What several references share comes once.
    """
    return all_alternatives([schema], root)


def all_alternatives(schemas: Iterable[Json], root: JsonObject) -> Iterator[JsonObject]:
    """The alternatives of several schemas together. Their number is at most that of the schemas written in `root`."""
    seen: set[str] = set()
    found = [option for schema in schemas for option in _alternatives(schema, root, seen)]
    yield from found or [{}]


def step_into(schema: JsonObject, part: str | int | None) -> Json:
    """What `schema` says of the member `part`: a field, an element of a list, or None for one that is computed.

    Returns a schema (`True` where nothing is said), or `False` where there is no such member: a field that is not
    listed although others are, unless further ones are allowed explicitly.
    """
    if isinstance(part, str):
        return _field(schema, part)
    if isinstance(part, int) and part < 0:
        return False
    items, prefix = schema.get("items"), schema.get("prefixItems")
    if part is None and (isinstance(prefix, list) or _may_be(schema, "object")):
        return True
    if isinstance(prefix, list) and isinstance(part, int) and part < len(prefix):
        return prefix[part]
    return items if isinstance(items, (dict, bool)) else _may_be(schema, "array")


def _field(schema: JsonObject, name: str) -> Json:
    properties = schema.get("properties")
    if isinstance(properties, dict) and name in properties:
        return properties[name]
    if schema.get("patternProperties"):
        return True
    further = schema.get("additionalProperties")
    if isinstance(further, (dict, bool)):
        return further
    return "properties" not in schema and _may_be(schema, "object")


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


def _alternatives(schema: Json, root: JsonObject, seen: set[str]) -> list[JsonObject]:
    """Empty for a reference that was followed before."""
    if not isinstance(schema, dict):
        return [{}]
    parts = [option for part in _as_list(schema.get("allOf")) for option in _alternatives(part, root, seen)]
    reference = schema.get("$ref")
    if isinstance(reference, str) and reference not in seen:
        seen.add(reference)
        parts += _alternatives(resolve(reference, root), root, seen)
    branches = [
        option
        for key in ("anyOf", "oneOf")
        for branch in _as_list(schema.get(key))
        for option in _alternatives(branch, root, seen)
    ]
    if _says(schema) or not _REFERRING & schema.keys():
        parts.append(schema)
    return _together(parts, branches)


def _together(parts: list[JsonObject], branches: list[JsonObject]) -> list[JsonObject]:
    """Of what holds and of what may hold beside it, that which says most; a branch may only say what is required."""
    most = max(map(_says, parts), default=0)
    around = [part for part in parts if _says(part) == most]
    telling = [branch for branch in branches if _says(branch) >= max(most, 1)]
    if most == _SAYS_MEMBERS or not branches:
        return around + telling
    return telling + (around or [{}]) if len(telling) < len(branches) else telling


def _says(schema: JsonObject) -> int:
    if _MEMBERS & schema.keys():
        return _SAYS_MEMBERS
    return 1 if _TYPES_SAID & schema.keys() else 0


def resolve(reference: str, root: JsonObject) -> Json:
    """The schema that a JSON pointer within the document, such as `#/$defs/Row`, names; None if it names none."""
    if reference != "#" and not reference.startswith("#/"):
        return None
    found: Json = root
    for part in reference.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(found, dict) and key in found:
            found = found[key]
        elif isinstance(found, list) and key.isdecimal() and int(key) < len(found):
            found = found[int(key)]
        else:
            return None
    return found


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
        case _Kind.Required(property=name):
            return (str(name),)
        case _Kind.AdditionalProperties(unexpected=names) | _Kind.UnevaluatedProperties(unexpected=names):
            return tuple(str(name) for name in names)
        case _:
            return ()


def _as_list(value: Json) -> list[Json]:
    return value if isinstance(value, list) else []


def _parts(value: Json) -> int:
    members = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + sum(map(_parts, members))


def _short(message: str) -> str:
    return message if len(message) <= 300 else message[:297] + "..."
