"""What a JSON Schema says of a value that is not there yet: its parts and their types. Fetches no `$ref`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from agentmesh.jsonvalues import Json, JsonObject

_MEMBERS: Final = frozenset({"properties", "patternProperties", "additionalProperties", "items", "prefixItems"})
_TYPES_SAID: Final = frozenset({"type", "enum", "const"})
_REFERRING: Final = frozenset({"$ref", "allOf", "anyOf", "oneOf"})
_SAYS_MEMBERS: Final = 2

_NUMBERS: Final = frozenset({"integer", "number"})
TYPES: Final = frozenset({"null", "boolean", "integer", "number", "string", "array", "object"})


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


def widened(types: frozenset[str]) -> frozenset[str]:
    """The types, and with one kind of number the other: a double may be integral, so only a value can tell them."""
    return types | _NUMBERS if types & _NUMBERS else types


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


def _as_list(value: Json) -> list[Json]:
    return value if isinstance(value, list) else []
