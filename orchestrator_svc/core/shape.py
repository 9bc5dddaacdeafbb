"""Writes a JSON Schema as one short line, such as `{at: string, anomalies: {component: string, score: number}[]}`.

For models, which read it faster than JSON Schema and pay less for it. Not exact: limits and formats are left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Final

from agentmesh.jsonvalues import Json, JsonObject
from orchestrator_svc.core.schemas import TYPES, alternatives
from orchestrator_svc.core.wording import shortened

_DEEPEST: Final = 6
_MOST_PARTS: Final = 400
"""A schema whose references share parts can stand for very many fields."""
_PLAIN_FIELD: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


def shape(schema: JsonObject, *, max_characters: int) -> str:
    """Return what values of the schema look like, as deep as the characters allow; `...` stands for what is left out.

    The same text for equal schemas: fields are in the order of their names.
    """
    text = ""
    for depth in range(_DEEPEST, 0, -1):
        text = _Writer(schema).write(schema, depth)
        if len(text) <= max_characters:
            return text
    return shortened(text, max_characters)


class _Writer:
    def __init__(self, root: JsonObject) -> None:
        self._root = root
        self._left = _MOST_PARTS

    def write(self, schema: Json, depth: int) -> str:
        self._left -= 1
        if self._left < 0:
            return "..."
        options = alternatives(schema, self._root)
        return " | ".join(dict.fromkeys(text for option in options for text in self._option(option, depth)))

    def _option(self, option: JsonObject, depth: int) -> Iterator[str]:
        if "const" in option:
            yield _literal(option["const"])
        elif isinstance(values := option.get("enum"), list):
            yield from (_literal(value) for value in values)
        else:
            for name in _types(option):
                yield self._typed(name, option, depth)

    def _typed(self, name: str, option: JsonObject, depth: int) -> str:
        if name == "object":
            return self._object(option, depth)
        if name == "array":
            element = self.write(option.get("items", True), depth)
            return f"({element})[]" if " | " in element and not element.startswith("{") else f"{element}[]"
        return name

    def _object(self, option: JsonObject, depth: int) -> str:
        properties = option.get("properties")
        if isinstance(properties, dict) and properties:
            return "{" + ", ".join(self._fields(properties, option, depth)) + "}" if depth > 0 else "{...}"
        further = option.get("additionalProperties")
        if depth > 0 and isinstance(further, dict):
            return "{[name]: " + self.write(further, depth - 1) + "}"
        return "object"

    def _fields(self, properties: JsonObject, option: JsonObject, depth: int) -> Iterator[str]:
        required = option.get("required")
        names = required if isinstance(required, list) else []
        for name in sorted(properties):
            shown = name if _PLAIN_FIELD.match(name) else json.dumps(name)
            mark = "" if name in names else "?"
            yield f"{shown}{mark}: {self.write(properties[name], depth - 1)}"


def _types(option: JsonObject) -> tuple[str, ...]:
    declared = option.get("type")
    if isinstance(declared, str):
        return (declared,)
    if isinstance(declared, list):
        return tuple(str(name) for name in declared if name in TYPES)
    if option.get("properties"):
        return ("object",)
    return ("array",) if "items" in option else ("any",)


def _literal(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False)
