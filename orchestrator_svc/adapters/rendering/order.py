"""The order of fields that a skill's author meant.

An object has none on the wire, and its schema comes the same way; but `required` of a schema is a list.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from agentmesh.jsonvalues import Json, JsonObject
from orchestrator_svc.core.schemas import all_alternatives, step_into

_MOST_OBJECTS: Final = 300
"""Of a result; later ones are left as they are, as nobody sees them."""
_MOST_ELEMENTS: Final = 15


def arranged(result: Json, schema: JsonObject) -> Json:
    """The result with the required fields of its objects first, in the order in which its schema lists them."""
    return _Arranging(schema).arrange(result, [schema])


class _Arranging:
    """Goes through one result, along its schema."""

    def __init__(self, root: JsonObject) -> None:
        self._root = root
        self._left = _MOST_OBJECTS

    def arrange(self, value: Json, schemas: Sequence[Json]) -> Json:
        if not isinstance(value, (dict, list)) or not value or self._left <= 0:
            return value
        options = [option for option in all_alternatives(schemas, self._root) if option]
        if not options:
            return value
        if isinstance(value, list):
            inner = [step_into(option, 0) for option in options]
            shown = [self.arrange(element, inner) for element in value[:_MOST_ELEMENTS]]
            return [*shown, *value[_MOST_ELEMENTS:]]
        self._left -= 1
        required = dict.fromkeys(name for option in options for name in _required(option) if name in value)
        names = [*required, *(name for name in value if name not in required)]
        return {name: self.arrange(value[name], [step_into(option, name) for option in options]) for name in names}


def _required(schema: JsonObject) -> list[str]:
    names = schema.get("required")
    return [name for name in names if isinstance(name, str)] if isinstance(names, list) else []
