"""From what a skill returns to the JSON object of the response: written by pydantic, checked before it is sent."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from types import GenericAlias
from typing import Any, Final, cast

import jsonschema_rs
import pydantic
from pydantic_core import PydanticSerializationError

from agentmesh import errors
from agentmesh.agent.hints import NO_SCHEMA, first_line, raw_schema
from agentmesh.agent.schemas import describes_objects, in_place
from agentmesh.agent.signature import Signature, SkillDefinitionError
from agentmesh.agent.violations import path_text, violations_of
from agentmesh.jsonvalues import MAX_DEPTH, WRAPPED, Json, JsonObject, check_limits

_SHOWN_MISMATCHES: Final = 5


@dataclass(frozen=True, slots=True)
class Written:
    """A result that may be sent."""

    value: JsonObject
    size_bytes: int
    """As compact JSON."""


class Results:
    """The results of one skill: their schema, and how to write them. Immutable."""

    def __init__(self, signature: Signature) -> None:
        """Make the schema.

        Raises:
            SkillDefinitionError: If the return type has no finite JSON Schema.
        """
        try:
            hint = cast("Any", signature.returned)
            raw = raw_schema(pydantic.TypeAdapter(hint), "serialization")
            # Settings go only to the outermost type, and without this one NaN becomes null.
            self._adapter = pydantic.TypeAdapter(
                cast("Any", GenericAlias(tuple, (hint,))), config=pydantic.ConfigDict(ser_json_inf_nan="constants")
            )
            if signature.result_text:
                raw.setdefault("description", signature.result_text)
            schema = in_place(raw)
        except NO_SCHEMA as error:
            raise SkillDefinitionError(f"{signature.name}(): return type: {first_line(error)}") from None
        self._wraps = not describes_objects(schema)
        self.schema: Final[JsonObject] = (
            {"type": "object", "properties": {WRAPPED: schema}, "required": [WRAPPED]}
            if self._wraps
            else {"type": "object", **schema}
        )
        # Messages go to the caller, who was not given the result: they do not quote it.
        self._validator = jsonschema_rs.validator_for(self.schema, offline=True, mask="the value")

    def write(self, returned: object) -> Written:
        """Return the result as it is sent.

        Raises:
            errors.ResultInvalid: If it does not fit the output schema.
            errors.ResultNotJson: For NaN, infinities, integers beyond 2^53 and objects that are no JSON.
            errors.ResultTooDeep: If it is nested deeper than 24.
            errors.ResultTooLarge: If it is over 1 MiB as JSON.
        All of them name the path.
        """
        dumped = self._dumped(returned)
        value = {WRAPPED: dumped} if self._wraps else dumped
        size = check_limits(value)
        mismatches = violations_of(self._validator.iter_errors(value), WRAPPED)
        if mismatches:
            shown = "; ".join(f"{v.path}: {v.message}" for v in mismatches[:_SHOWN_MISMATCHES])
            more = f"; and {len(mismatches) - _SHOWN_MISMATCHES} more" if len(mismatches) > _SHOWN_MISMATCHES else ""
            raise errors.ResultInvalid(f"{shown}{more}")
        return Written(cast("JsonObject", value), size)

    def _dumped(self, returned: object) -> Json:
        strangers = _Strangers()
        try:
            (dumped,) = self._adapter.dump_python(
                (returned,), mode="json", by_alias=True, warnings=False, fallback=strangers.replace
            )
        except PydanticSerializationError:  # raised by a serializer of the author's: an error like any other of theirs
            raise
        except UnicodeDecodeError:
            raise errors.ResultNotJson("the result has bytes that are no UTF-8 text") from None
        except ValueError as error:  # pydantic has no types for these two
            if "Circular reference" in str(error):
                raise errors.ResultNotJson("the result contains itself") from None
            if "Maximum serialization depth" in str(error):
                raise errors.ResultTooDeep(f"the result is nested deeper than {MAX_DEPTH}") from None
            raise
        strangers.refuse(dumped)
        return cast("Json", dumped)


class _Strangers:
    """Objects that pydantic cannot write; it does not say where they are, so they leave a mark."""

    def __init__(self) -> None:
        self._mark = f"\0{secrets.token_hex(8)}\0"
        self._found = False

    def replace(self, stranger: object) -> str:
        self._found = True
        return f"{self._mark}{type(stranger).__name__}"

    def refuse(self, dumped: Json) -> None:
        """Raise errors.ResultNotJson with the path of the first, if there was any."""
        if self._found:
            for path, mark in self._marks(dumped, ()):
                kind = mark.removeprefix(self._mark)
                where = path_text(WRAPPED, path)
                raise errors.ResultNotJson(f"{where} is of type {kind}, which JSON does not have")

    def _marks(self, value: Json, path: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], str]]:
        if isinstance(value, str) and value.startswith(self._mark):
            yield path, value
        elif isinstance(value, list):
            for index, item in enumerate(value):
                yield from self._marks(item, (*path, index))
        elif isinstance(value, dict):
            for key, member in value.items():
                if key.startswith(self._mark):
                    yield path, key
                yield from self._marks(member, (*path, key))
