"""From Python types to JSON Schemas, through pydantic."""

from __future__ import annotations

import warnings
from typing import Any, Final

import pydantic
from pydantic.errors import PydanticUndefinedAnnotation, PydanticUserError
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, PydanticJsonSchemaWarning
from pydantic_core import core_schema

from agentmesh.agent.schemas import RecursiveType
from agentmesh.jsonvalues import JsonObject

NO_SCHEMA: Final = (
    PydanticUserError,
    PydanticUndefinedAnnotation,
    PydanticJsonSchemaWarning,
    RecursiveType,
    NameError,
    RecursionError,
)
"""What is raised for a type, or a default, that has no JSON Schema which a card can hold."""


class _CardSchema(GenerateJsonSchema):
    """Without made-up titles; a field that a result always has is required."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ANN401, ARG002 - pydantic's signature
        """Never: such a title repeats the name."""
        return False

    def field_is_required(
        self,
        field: core_schema.ModelField | core_schema.DataclassField | core_schema.TypedDictField,
        total: bool,  # noqa: FBT001 - pydantic's signature
    ) -> bool:
        """Also true of a result's field that has a default: it is written all the same."""
        if self.mode == "serialization" and field["type"] != "typed-dict-field":
            return field.get("serialization_exclude_if") is None
        return super().field_is_required(field, total)


def raw_schema(adapter: pydantic.TypeAdapter[Any], mode: JsonSchemaMode) -> JsonObject:
    """Return the schema as pydantic writes it, with `$defs`; `agentmesh.agent.schemas.in_place` goes on from there.

    Raises one of NO_SCHEMA; pydantic only warns of a default that is no JSON.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error", PydanticJsonSchemaWarning)
        return adapter.json_schema(schema_generator=_CardSchema, mode=mode)


def first_line(error: Exception) -> str:
    """Return what was wrong, without pydantic's advice and links."""
    if isinstance(error, RecursionError):
        return "the type contains itself"
    line = str(error).strip().splitlines()[0].partition(". Set `arbitrary_types_allowed")[0]
    if "is not fully defined" in line:
        return "an alias in quotes cannot be followed; write the type out, or Json where it contains itself"
    return line
