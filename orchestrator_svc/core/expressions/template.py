"""Arguments with expressions in them: `${expr}` in any string value, at any depth; object keys never.

A `$` directly before `{` begins an expression, which ends at the `}` that belongs to it. Two or more `$` before `{` are
literal, one fewer than written: `$${` is the text `${`. Every other `$` is itself. (A dollar sign directly before an
expression is therefore written `${"$"}${expr}`.)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias, cast

from agentmesh.jsonvalues import Json, JsonObject
from orchestrator_svc.core.expressions.environment import Environment, Expression
from orchestrator_svc.core.expressions.explain import failed
from orchestrator_svc.core.expressions.problems import EvaluationFailed, ExpressionInvalid
from orchestrator_svc.core.expressions.scanner import Code, split
from orchestrator_svc.core.expressions.text import format_text

Position: TypeAlias = tuple[str | int, ...]


@dataclass(frozen=True)
class Embedded:
    """One expression inside arguments.

    Attributes:
        path: Where its string is, from the arguments on.
        expression: The expression.
        whole: The string is exactly `${expr}` and becomes the value itself; else the value is written into it.
    """

    path: Position
    expression: Expression
    whole: bool


@dataclass(frozen=True)
class TemplateProblem:
    """What is wrong with one expression inside arguments, and where its string is."""

    path: Position
    error: ExpressionInvalid


@dataclass(frozen=True)
class Template:
    """Arguments whose expressions are compiled.

    Attributes:
        arguments: As they were written.
        embedded: The expressions, in the order of the arguments.
        strings: The strings that do not stand for themselves: literal text and expressions, by path.
    """

    arguments: JsonObject
    embedded: tuple[Embedded, ...]
    strings: Mapping[Position, tuple[str | Embedded, ...]]

    def resolve(self, bindings: Mapping[str, Json], now: datetime) -> JsonObject:
        """Return new arguments with every expression evaluated; one pass, results are not scanned again.

        Raises:
            EvaluationFailed: When an expression fails, or null would be written into a string.
        """

        def leaf(path: Position, text: str) -> Json:
            pieces = self.strings.get(path, (text,))
            if isinstance(pieces[0], Embedded) and pieces[0].whole:
                return pieces[0].expression.evaluate(bindings, now)
            return "".join(
                [each if isinstance(each, str) else _written(each.expression, bindings, now) for each in pieces]
            )

        return cast("JsonObject", _rebuilt(self.arguments, leaf))


def compile_template(
    arguments: JsonObject, environment: Environment
) -> tuple[Template | None, tuple[TemplateProblem, ...]]:
    """Compile every expression in the arguments; the template, or else all that is wrong with them."""
    strings: dict[Position, tuple[str | Embedded, ...]] = {}
    problems: list[TemplateProblem] = []

    def leaf(path: Position, text: str) -> Json:
        try:
            pieces = split(text)
        except ExpressionInvalid as error:
            problems.append(TemplateProblem(path, error))
            return text
        compiled: list[str | Embedded] = []
        for piece in pieces:
            try:
                compiled.append(
                    Embedded(path, environment.compile(piece.source), whole=len(pieces) == 1)
                    if isinstance(piece, Code)
                    else piece
                )
            except ExpressionInvalid as error:
                problems.append(TemplateProblem(path, error))
        if compiled != [text]:
            strings[path] = tuple(compiled)
        return text

    copy = cast("JsonObject", _rebuilt(arguments, leaf))
    if problems:
        return None, tuple(problems)
    embedded = [piece for pieces in strings.values() for piece in pieces if isinstance(piece, Embedded)]
    return Template(copy, tuple(embedded), strings), ()


def escape(value: Json) -> Json:
    """Return the value with its strings written so that a template resolves to exactly them; keys are left alone."""
    return _rebuilt(value, lambda _, text: text.replace("${", "$${"))


def unwrap(source: str) -> str:
    """Return the expression of `${ expr }`, or the source itself, without the spaces around it."""
    stripped = source.strip()
    try:
        pieces = split(stripped)
    except ExpressionInvalid:
        return stripped
    return pieces[0].source.strip() if len(pieces) == 1 and isinstance(pieces[0], Code) else stripped


def _written(expression: Expression, bindings: Mapping[str, Json], now: datetime) -> str:
    value = expression.evaluate(bindings, now)
    try:
        return format_text(value)
    except EvaluationFailed as error:
        raise failed(expression.source, error.message) from None


def _rebuilt(value: Json, leaf: Callable[[Position, str], Json]) -> Json:
    """Copy a value with each string replaced by `leaf(path, string)`, in order; without recursion, at any depth."""
    root: dict[str | int, Json] = {}
    pending: list[tuple[dict[str | int, Json] | list[Json], str | int, Json, Position]] = [(root, 0, value, ())]
    while pending:
        owner, key, part, path = pending.pop()
        copy: Json
        members: list[tuple[str | int, Json]] = []
        if isinstance(part, dict):
            copy = dict.fromkeys(part)
            members = list(part.items())
        elif isinstance(part, list):
            copy = [None] * len(part)
            members = list(enumerate(part))
        else:
            copy = leaf(path, part) if isinstance(part, str) else part
        owner[key] = copy  # type: ignore[index] # the key is a string or a position as its owner needs
        container = cast("dict[str | int, Json] | list[Json]", copy)
        pending.extend((container, name, member, (*path, name)) for name, member in reversed(members))
    return root[0]
