"""What a skill's function says of itself: its parameters, their types, and the texts of its docstring."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import docstring_parser

_NAMELESS: Final = {
    inspect.Parameter.POSITIONAL_ONLY: "positional-only, and arguments have names",
    inspect.Parameter.VAR_POSITIONAL: "variadic, and arguments have names",
    inspect.Parameter.VAR_KEYWORD: "variadic, and a schema lists the arguments",
}


class SkillDefinitionError(TypeError):
    """A function cannot be a skill as it is written; raised where it is decorated. Names function and parameter."""


@dataclass(frozen=True, slots=True)
class Signature:
    """A function that can be a skill, as far as Python can tell."""

    name: str
    """As messages name it."""
    hints: Mapping[str, object]
    """Type of each parameter, in order; resolved, with `Annotated` kept."""
    defaults: Mapping[str, object]
    """Of the parameters that have one."""
    returned: object
    """Type of the result."""
    description: str
    """First and further paragraphs of the docstring."""
    parameter_texts: Mapping[str, str]
    """From the section `Args:`."""
    result_text: str
    """From the section `Returns:`; may be empty."""


def read_signature(function: Callable[..., object]) -> Signature:
    """Read a function.

    Raises:
        SkillDefinitionError: If it is no plain or async function, a parameter or the result has no type, a parameter
            cannot be given by name, or the docstring is missing or describes a parameter that is not there.
    """
    if not inspect.isroutine(function) or not hasattr(function, "__name__"):
        raise SkillDefinitionError(f"{function!r} is no function; a skill is a plain or async function")
    name = function.__name__
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise SkillDefinitionError(f"{name}() yields; a skill returns its result")
    parameters = _parameters(name, function)
    hints = _hints(name, function)
    missing = [parameter for parameter in parameters if parameter not in hints]
    if missing:
        raise SkillDefinitionError(f"{name}(): parameter {missing[0]!r} has no type hint")
    if "return" not in hints:
        raise SkillDefinitionError(f"{name}() has no return type hint; write -> None if it returns nothing")
    text = _read_docstring(name, function, set(parameters))
    return Signature(
        name=name,
        hints={parameter: hints[parameter] for parameter in parameters},
        defaults={p.name: p.default for p in parameters.values() if p.default is not inspect.Parameter.empty},
        returned=hints["return"],
        description="\n\n".join(part for part in (text.short_description, text.long_description) if part),
        parameter_texts={p.arg_name: " ".join((p.description or "").split()) for p in text.params},
        result_text=" ".join(((text.returns and text.returns.description) or "").split()),
    )


def _parameters(name: str, function: Callable[..., object]) -> Mapping[str, inspect.Parameter]:
    try:
        parameters = inspect.signature(function).parameters
    except ValueError:
        raise SkillDefinitionError(f"{name}() has no signature; wrap it in a function") from None
    for parameter in parameters.values():
        if parameter.kind in _NAMELESS:
            raise SkillDefinitionError(f"{name}(): parameter {parameter.name!r} is {_NAMELESS[parameter.kind]}")
    return parameters


def _hints(name: str, function: Callable[..., object]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function, include_extras=True)
    except NameError as error:
        raise SkillDefinitionError(
            f"{name}(): a type hint names {error.name!r}, which is not known in the module; define it at module level"
        ) from None
    except TypeError as error:
        raise SkillDefinitionError(f"{name}(): a type hint cannot be read: {error}") from None
    except RecursionError:
        raise SkillDefinitionError(f"{name}(): a type hint contains itself") from None


def _read_docstring(name: str, function: Callable[..., object], parameters: set[str]) -> docstring_parser.Docstring:
    text = docstring_parser.parse(inspect.getdoc(function) or "")
    if not text.short_description:
        raise SkillDefinitionError(f"{name}() has no docstring; planners choose a skill by what it says")
    strangers = [p.arg_name for p in text.params if p.args[0] == "param" and p.arg_name not in parameters]
    if strangers:
        raise SkillDefinitionError(f"{name}(): the docstring describes {strangers[0]!r}, which is no parameter")
    return text
