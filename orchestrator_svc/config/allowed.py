"""What a setting may be, in words, taken from its declaration so that the two cannot differ."""

from __future__ import annotations

import functools
from typing import cast

from agentmesh.jsonvalues import JsonObject
from orchestrator_svc.config.settings import Config


def allowed(field: str) -> str:
    """Return e.g. `a whole number, 1 to 1000`."""
    schema = _schema(field)
    if "allowed" in schema:
        return str(schema["allowed"])
    if "enum" in schema:
        return ", ".join(cast("list[str]", schema["enum"]))
    match schema.get("type"):
        case "boolean":
            return "1 or 0"
        case "integer":
            return f"a whole number, {_range(schema)}"
        case "number":
            return f"a number, {_range(schema)}"
        case _:
            return f"text of at most {schema['maxLength']} characters"


@functools.cache
def _schemas() -> JsonObject:
    return cast("JsonObject", Config.model_json_schema()["properties"])


def _schema(field: str) -> JsonObject:
    """The JSON Schema of a field; of one that may be unset, that of its value."""
    schema = cast("JsonObject", _schemas()[field])
    options = cast("list[JsonObject]", schema.get("anyOf", []))
    return schema | next((option for option in options if option["type"] != "null"), {})


def _range(schema: JsonObject) -> str:
    exclusive = "exclusiveMinimum" in schema
    low = f"more than {schema['exclusiveMinimum']} and" if exclusive else f"{schema['minimum']} to"
    if "exclusiveMaximum" in schema:
        return f"{low} less than {schema['exclusiveMaximum']}"
    return f"{low}{' at most' if exclusive else ''} {schema['maximum']}"
