"""Which steps an expression refers to, where inside them, and under which guard: a walk of the tree that knows scopes.

The engine's own reference map lists variables of comprehensions like any other name, so it is not used.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

from orchestrator_svc.core.expressions.problems import ExpressionInvalid
from orchestrator_svc.core.expressions.syntax import Build, Call, Constant, Loop, Name, Node, Select

Path: TypeAlias = tuple[str | int | None, ...]

_ROOT: Final = "."
"""CEL writes `.name` for the declared name where a comprehension variable hides it."""


@dataclass(frozen=True)
class Reference:
    """One occurrence of a step (or of item, index, now) in an expression.

    Attributes:
        step: The name.
        path: Fields and positions after it, as far as they are written out; None is a position that is computed, and
            ends the path.
        guarded: The occurrence is what a `has()` tests.
    """

    step: str
    path: Path
    guarded: bool


def free(root: Node, steps: Collection[str]) -> tuple[Reference, ...]:
    """Return every occurrence of a name that no comprehension declares, in reading order.

    Raises:
        ExpressionInvalid: When the variable of a comprehension has the name of one of the steps.
    """
    return tuple(_walk(root, frozenset(), steps))


def _walk(node: Node, bound: frozenset[str], steps: Collection[str]) -> Iterator[Reference]:
    match node:
        case Constant():
            pass
        case Name() | Select() | Call(function="_[_]"):
            yield from _chain(node, bound, steps)
        case Call(arguments=parts) | Build(parts=parts):
            for part in parts:
                yield from _walk(part, bound, steps)
        case Loop():
            for variable in node.variables:
                if variable in steps:
                    raise ExpressionInvalid(
                        f"`{variable}` is a step and cannot be the variable of a comprehension as well; rename it"
                    )
            yield from _walk(node.over, bound, steps)
            yield from _walk(node.start, bound, steps)
            yield from _walk(node.step, bound | {*node.variables, node.accumulator}, steps)
            yield from _walk(node.result, bound | {node.accumulator}, steps)


def _chain(node: Node, bound: frozenset[str], steps: Collection[str]) -> Iterator[Reference]:
    """A name with the fields and positions that follow it; what computes a position is walked by itself."""
    origin, path, computed = unroll(node)
    if isinstance(origin, Name):
        name = origin.name
        if name.startswith(_ROOT) or name not in bound:
            yield Reference(name.removeprefix(_ROOT), path, isinstance(node, Select) and node.test)
    else:
        yield from _walk(origin, bound, steps)
    for index in computed:
        yield from _walk(index, bound, steps)


def unroll(node: Node) -> tuple[Node, Path, tuple[Node, ...]]:
    """Split `a.b[0].c[i]` into what it starts from, the path as far as it is written out, and the computed indices."""
    path: list[str | int | None] = []
    computed: list[Node] = []
    while True:
        match node:
            case Select(operand=operand, field=field, test=test) if not (test and path):
                path.append(field)
                node = operand
            case Call(function="_[_]", arguments=(operand, index)):
                key = _static(index)
                path.append(key)
                if key is None:
                    computed.append(index)
                node = operand
            case _:
                path.reverse()
                computed.reverse()
                end = path.index(None) + 1 if None in path else len(path)
                return node, tuple(path[:end]), tuple(computed)


def _static(index: Node) -> str | int | None:
    match index:
        case Constant(value=bool()):
            return None
        case Constant(value=str() | int() as key):
            return key
        case Constant(value=float() as number) if number.is_integer():
            return int(number)
    return None
