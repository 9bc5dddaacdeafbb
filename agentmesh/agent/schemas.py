"""JSON Schemas as they go into a card: one self-contained tree, without what only pydantic's tools read.

Pure over JSON. pydantic writes named types once, under `$defs`, and refers to them; a card repeats them in place, so
that a planner's model, and whoever follows a path through the schema, needs no resolver.
"""

from __future__ import annotations

from typing import Final, cast

from agentmesh.jsonvalues import Json, JsonObject

_SCHEMAS_BY_NAME: Final = frozenset({"properties", "patternProperties", "dependentSchemas"})
_LISTS_OF_SCHEMAS: Final = frozenset({"anyOf", "oneOf", "prefixItems"})
_SCHEMAS: Final = frozenset(
    {"items", "additionalProperties", "contains", "propertyNames", "not", "if", "then", "else", "contentSchema"}
)
# Titles repeat the names; `discriminator` is OpenAPI's and points into $defs.
_DROPPED: Final = frozenset({"$defs", "title", "discriminator"})
_DEFINITIONS: Final = "#/$defs/"


class RecursiveType(ValueError):
    """A type contains itself, so its schema has no end when it is written in place."""

    def __init__(self, name: str) -> None:
        super().__init__(f"the type {name} contains itself")


def in_place(schema: JsonObject) -> JsonObject:
    """Return the schema with every `$ref` to its own `$defs` replaced by what it names, and without titles.

    Raises:
        RecursiveType: If a type contains itself.
    """
    definitions = schema.get("$defs")
    return _Writer(definitions if isinstance(definitions, dict) else {}).schema(schema, ())


def closed(schema: JsonObject) -> JsonObject:
    """Return the schema with every object that lists its properties, and says nothing of others, closed to others."""
    written: JsonObject = {}
    for keyword, value in schema.items():
        if keyword in _SCHEMAS_BY_NAME and isinstance(value, dict):
            written[keyword] = {name: _closed(member) for name, member in value.items()}
        elif keyword in _LISTS_OF_SCHEMAS and isinstance(value, list):
            written[keyword] = [_closed(member) for member in value]
        elif keyword in _SCHEMAS:
            written[keyword] = _closed(value)
        else:  # allOf too: each of its parts must let the properties of the others pass
            written[keyword] = value
    if "properties" in schema and not schema.keys() & {"additionalProperties", "patternProperties", "allOf"}:
        written["additionalProperties"] = False
    return written


def describes_objects(schema: JsonObject) -> bool:
    """Whether every value of the schema is an object."""
    if schema.get("type") == "object":
        return True
    for keyword in ("anyOf", "oneOf"):
        branches = schema.get(keyword)
        if isinstance(branches, list) and branches:
            return all(isinstance(branch, dict) and describes_objects(branch) for branch in branches)
    return False


def _closed(schema: Json) -> Json:
    return closed(schema) if isinstance(schema, dict) else schema


class _Writer:
    def __init__(self, definitions: JsonObject) -> None:
        self._definitions = definitions

    def schema(self, schema: JsonObject, inside: tuple[str, ...]) -> JsonObject:
        """Write one schema; `inside` are the definitions that are being written around it."""
        reference = schema.get("$ref")
        if isinstance(reference, str) and reference.startswith(_DEFINITIONS):
            return self._named(reference.removeprefix(_DEFINITIONS), schema, inside)
        written: JsonObject = {}
        for keyword, value in schema.items():
            if keyword in _DROPPED:
                continue
            if keyword in _SCHEMAS_BY_NAME and isinstance(value, dict):
                written[keyword] = {name: self._any(member, inside) for name, member in value.items()}
            elif (keyword in _LISTS_OF_SCHEMAS or keyword == "allOf") and isinstance(value, list):
                written[keyword] = [self._any(member, inside) for member in value]
            elif keyword in _SCHEMAS:
                written[keyword] = self._any(value, inside)
            else:
                written[keyword] = value
        return written

    def _named(self, name: str, reference: JsonObject, inside: tuple[str, ...]) -> JsonObject:
        if name in inside:
            raise RecursiveType(name)
        definition = cast("JsonObject", self._definitions[name])
        beside: JsonObject = {keyword: value for keyword, value in reference.items() if keyword != "$ref"}
        # What stands beside a reference says more about this one place: a description, a default.
        return {**self.schema(definition, (*inside, name)), **self.schema(beside, inside)}

    def _any(self, schema: Json, inside: tuple[str, ...]) -> Json:
        return self.schema(schema, inside) if isinstance(schema, dict) else schema
