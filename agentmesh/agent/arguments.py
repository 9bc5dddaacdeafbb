"""From the arguments of a request to those of a function: checked by JSON Schema first, by pydantic second.

The order matters: pydantic alone would take "60" for an int, and the card says that a number is wanted.
"""

from __future__ import annotations

import inspect
from typing import Annotated, Any, Final, cast

import jsonschema_rs
import pydantic

from agentmesh import errors
from agentmesh.agent.hints import NO_SCHEMA, first_line, raw_schema
from agentmesh.agent.schemas import closed, in_place
from agentmesh.agent.signature import Signature, SkillDefinitionError
from agentmesh.agent.violations import path_text, shortened, violations_of
from agentmesh.errors import Violation, ViolationReason, summary_of
from agentmesh.jsonvalues import JsonObject, check_limits

_ROOT: Final = "arguments"
_MAX_BYTES: Final = 8 * 1024 * 1024
"""As much as a server receives; the arguments of one call may hold several results."""


class Arguments:
    """The arguments of one skill: their schema, and how to read them. Immutable."""

    def __init__(self, signature: Signature) -> None:
        """Make the schema.

        Raises:
            SkillDefinitionError: If a type has no finite JSON Schema, or a default does not fit its type.
        """
        self._adapter = _adapter(signature)
        self.schema: Final[JsonObject] = _schema(signature, self._adapter)
        self._names: Final = list(cast("JsonObject", self.schema["properties"]))
        self._validator = jsonschema_rs.validator_for(self.schema, offline=True)

    def read(self, values: JsonObject) -> dict[str, Any]:
        """Return what to call the function with: types applied, defaults filled in.

        Raises:
            errors.ArgumentsInvalid: With a violation for each problem, at a path such as `arguments.city`.
        """
        try:
            check_limits(values, max_bytes=_MAX_BYTES)
        except errors.ResultError as error:
            raise _refused([Violation(_ROOT, ViolationReason.ARGUMENT_INVALID, error.message)]) from None
        mismatches = violations_of(self._validator.iter_errors(values), _ROOT, self._names)
        if mismatches:
            raise _refused(mismatches)
        try:
            read: dict[str, Any] = self._adapter.validate_python(values)
        except pydantic.ValidationError as error:
            problems = error.errors(include_url=False, include_context=False, include_input=False)
            raise _refused(
                [
                    Violation(path_text(_ROOT, p["loc"]), ViolationReason.ARGUMENT_INVALID, shortened(p["msg"]))
                    for p in problems
                ]
            ) from None
        return read


def _refused(violations: list[Violation]) -> errors.ArgumentsInvalid:
    return errors.ArgumentsInvalid(summary_of(violations), violations=violations)


def _adapter(signature: Signature) -> pydantic.TypeAdapter[Any]:
    """Make an adapter over a function that takes what the skill takes, and returns it.

    Over the skill itself, `validate_python` would call the skill.
    """

    def collect(**arguments: object) -> dict[str, object]:
        return arguments

    parameters = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            annotation=hint,
            default=signature.defaults.get(name, inspect.Parameter.empty),
        )
        for name, hint in signature.hints.items()
    ]
    collect.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined] # inspect looks for it
    collect.__annotations__ = dict(signature.hints)
    try:
        return pydantic.TypeAdapter(cast("Any", collect))
    except NO_SCHEMA as error:
        raise _blamed(signature, error) from None


def _schema(signature: Signature, adapter: pydantic.TypeAdapter[Any]) -> JsonObject:
    try:
        raw = raw_schema(adapter, "validation")
        properties = cast("dict[str, JsonObject]", raw.setdefault("properties", {}))
        for name, text in signature.parameter_texts.items():
            if text and name in properties:
                properties[name].setdefault("description", text)
        schema = closed(in_place(raw))
    except NO_SCHEMA as error:
        raise _blamed(signature, error) from None
    for name, described in cast("dict[str, JsonObject]", schema["properties"]).items():
        if "default" in described and not jsonschema_rs.is_valid(described, described["default"]):
            raise SkillDefinitionError(f"{signature.name}(): the default of parameter {name!r} does not fit its type")
    return schema


def _blamed(signature: Signature, error: Exception) -> SkillDefinitionError:
    """Find the parameter whose type, or default, has no schema."""
    for name, hint in signature.hints.items():
        has_default = name in signature.defaults
        tried = Annotated[hint, pydantic.Field(default=signature.defaults[name])] if has_default else hint
        try:
            in_place(raw_schema(pydantic.TypeAdapter(cast("Any", tried)), "validation"))
        except NO_SCHEMA as reason:
            return SkillDefinitionError(f"{signature.name}(): parameter {name!r}: {first_line(reason)}")
    return SkillDefinitionError(f"{signature.name}(): {first_line(error)}")
