"""The checked syntax tree of an expression, as values of ours.

The engine shows its tree only serialized. This is the one place that reads those bytes, with the vendored cel.expr
stubs. They are read, never compared or hashed: for one expression they vary from run to run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from cel.expr import checked_pb2, syntax_pb2
from google.protobuf import any_pb2
from google.protobuf.message import DecodeError

from orchestrator_svc.core.expressions.problems import ExpressionInvalid


@dataclass(frozen=True, slots=True)
class Constant:
    """A literal. Bytes, and literals of types that JSON does not have, are bytes here."""

    value: str | int | float | bytes | None


@dataclass(frozen=True, slots=True)
class Name:
    """A variable or a type, wherever it is declared."""

    name: str


@dataclass(frozen=True, slots=True)
class Select:
    """`operand.field`, or `has(operand.field)` where `test` says so."""

    operand: Node
    field: str
    test: bool


@dataclass(frozen=True, slots=True)
class Call:
    """A function or operator; the receiver of a method is its first argument."""

    function: str
    arguments: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Build:
    """A list, map or message written out: its elements, or its keys and values."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Loop:
    """What all, exists, exists_one, filter and map become.

    `step` sees the variables and the accumulator, `result` the accumulator, the rest neither.
    """

    variables: tuple[str, ...]
    accumulator: str
    over: Node
    start: Node
    step: Node
    result: Node


Node: TypeAlias = Constant | Name | Select | Call | Build | Loop


def read(serialized: bytes) -> Node:
    """Return the tree that a compiled expression serializes to, checked or only parsed.

    Raises:
        ExpressionInvalid: When it is nested deeper than a message can be.
    """
    try:
        envelope = any_pb2.Any.FromString(serialized)
        if envelope.type_url.endswith(".ParsedExpr"):
            return _node(syntax_pb2.ParsedExpr.FromString(envelope.value).expr)
        return _node(checked_pb2.CheckedExpr.FromString(envelope.value).expr)
    except DecodeError as error:
        raise ExpressionInvalid("nested too deeply; split it over several steps") from error


def _node(expr: syntax_pb2.Expr) -> Node:
    match expr.WhichOneof("expr_kind"):
        case "ident_expr":
            return Name(expr.ident_expr.name)
        case "select_expr":
            select = expr.select_expr
            return Select(_node(select.operand), select.field, select.test_only)
        case "call_expr":
            call = expr.call_expr
            target = (_node(call.target),) if call.HasField("target") else ()
            return Call(call.function, target + tuple([_node(argument) for argument in call.args]))
        case "list_expr":
            return Build(tuple([_node(element) for element in expr.list_expr.elements]))
        case "struct_expr":
            return Build(_entries(expr.struct_expr))
        case "comprehension_expr":
            return _loop(expr.comprehension_expr)
        case _:
            return _constant(expr.const_expr)


def _entries(struct: syntax_pb2.Expr.CreateStruct) -> tuple[Node, ...]:
    parts: list[Node] = []
    for entry in struct.entries:
        if entry.HasField("map_key"):
            parts.append(_node(entry.map_key))
        parts.append(_node(entry.value))
    return tuple(parts)


def _loop(loop: syntax_pb2.Expr.Comprehension) -> Loop:
    # The loop condition is left out: the macros only ever test their own accumulator there.
    return Loop(
        variables=(loop.iter_var, loop.iter_var2) if loop.iter_var2 else (loop.iter_var,),
        accumulator=loop.accu_var,
        over=_node(loop.iter_range),
        start=_node(loop.accu_init),
        step=_node(loop.loop_step),
        result=_node(loop.result),
    )


def _constant(constant: syntax_pb2.Constant) -> Constant:
    match constant.WhichOneof("constant_kind"):
        case "string_value":
            return Constant(constant.string_value)
        case "int64_value":
            return Constant(constant.int64_value)
        case "uint64_value":
            return Constant(constant.uint64_value)
        case "double_value":
            return Constant(constant.double_value)
        case "bool_value":
            return Constant(constant.bool_value)
        case "bytes_value":
            return Constant(constant.bytes_value)
        case _:
            return Constant(None)
