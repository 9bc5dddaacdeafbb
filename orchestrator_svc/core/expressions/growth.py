"""How much an expression could read, compare and copy, at most, with the values it is about to get.

The engine stops after 10,000 iterations, but does not count what one of them costs: `[s].map(a, [a+a+a+a].map(b, ...))`
takes few iterations and gigabytes, `s.rows.all(r, s.rows == t.rows)` minutes. So the greatest possible amount is worked
out first, from the tree and the real sizes, and refused above a limit. The unit is about one byte of JSON text.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from agentmesh.jsonvalues import Json
from orchestrator_svc.core.expressions.binding import located
from orchestrator_svc.core.expressions.problems import EvaluationFailed, ExpressionInvalid
from orchestrator_svc.core.expressions.references import unroll
from orchestrator_svc.core.expressions.syntax import Build, Call, Constant, Loop, Name, Node, Select

MAX_BYTES: Final = 64 * 1024 * 1024
"""Work and result of one evaluation together. Results of skills are at most 1 MiB each."""

MAX_NESTED_LOOPS: Final = 4
"""Comprehensions inside each other. The estimate visits the innermost 2^n times."""

_ITERATIONS: Final = 10_000  # the engine's own limit
_SCALAR: Final = 24  # a number, a timestamp, true: no longer than this as text
_COPIED_PLACE: Final = 32  # map and filter copy their list for each element: 2,000 take 80 ms, 9,000 take 4 s and 1 GB
_COPYING: Final = frozenset({"_+_", "text", "string", "bytes", "dyn"})


def check_nesting(root: Node) -> None:
    """Raise ExpressionInvalid when comprehensions are nested deeper than MAX_NESTED_LOOPS."""
    if _nesting(root) > MAX_NESTED_LOOPS:
        raise ExpressionInvalid(
            f"comprehensions are nested more than {MAX_NESTED_LOOPS} deep; split it over several steps"
        )


def check_growth(root: Node, bindings: Mapping[str, Json]) -> None:
    """Raise EvaluationFailed when the expression could take more than MAX_BYTES with these values."""
    work, kept = _Estimate(bindings).of(root, {})
    if work + kept > MAX_BYTES:
        raise EvaluationFailed(
            f"with values of this size it could take more than {MAX_BYTES // 1024 // 1024} MiB; select less of them"
        )


def is_small(root: Node) -> bool:
    """Say whether the expression cannot take much whatever it is given: no comprehension, few operations."""
    return _nesting(root) == 0 and _operations(root) <= 16


def weight(value: Json) -> int:
    """Return about the length of the value as JSON text, never less than 1."""
    if isinstance(value, str):
        return len(value) + 2
    if isinstance(value, list):
        return 2 + sum([weight(element) for element in value])
    if isinstance(value, dict):
        return 2 + sum([len(key) + 4 + weight(member) for key, member in value.items()])
    return _SCALAR


class _Estimate:
    def __init__(self, bindings: Mapping[str, Json]) -> None:
        self._bindings = bindings
        self._iterations = _ITERATIONS  # left for one pass of the part that is being looked at

    def of(self, node: Node, scope: Mapping[str, int]) -> tuple[int, int]:
        """Return upper bounds of the work on the way and of the value; `scope` has those of loop variables."""
        match node:
            case Constant(value=value):
                return 0, len(value) + 2 if isinstance(value, str | bytes) else _SCALAR
            case Name() | Select() | Call(function="_[_]"):
                return self._chain(node, scope)
            case Build(parts=parts):
                work, kept = self._all(parts, scope)
                return work, kept + 2 + 2 * len(parts)
            case Call(function="_?_:_", arguments=(condition, then, other)):
                first, second = self.of(then, scope), self.of(other, scope)
                return self.of(condition, scope)[0] + first[0] + second[0], max(first[1], second[1])
            case Call(function=function, arguments=arguments):
                work, kept = self._all(arguments, scope)
                added = 0 if function == "size" else kept
                return work + added, kept + _SCALAR if function in _COPYING else _SCALAR
            case Loop():
                return self._loop(node, scope)

    def _all(self, nodes: tuple[Node, ...], scope: Mapping[str, int]) -> tuple[int, int]:
        work = kept = 0
        for node in nodes:
            more_work, more_kept = self.of(node, scope)
            work += more_work
            kept += more_kept
        return work, kept

    def _chain(self, node: Node, scope: Mapping[str, int]) -> tuple[int, int]:
        if isinstance(node, Select) and node.test:
            return self.of(node.operand, scope)[0], _SCALAR
        origin, path, computed = unroll(node)
        work = self._all(computed, scope)[0]
        if not isinstance(origin, Name):
            more, kept = self.of(origin, scope)
            return work + more, kept
        if origin.name in scope:
            return work, scope[origin.name]
        whole = self._bindings.get(origin.name.removeprefix("."))
        part = located(whole, path[:-1] if path and path[-1] is None else path)
        return work, weight(part[0]) if part else _SCALAR

    def _loop(self, loop: Loop, scope: Mapping[str, int]) -> tuple[int, int]:
        work, kept = self.of(loop.over, scope)
        elements = self._elements(loop.over, scope)
        times = min(kept if elements is None else len(elements), self._iterations)
        added, collected = self._uniform(loop, scope, times, max(elements, default=0) if elements is not None else kept)
        if added + collected > MAX_BYTES:
            other_added, other_collected = self._skewed(loop, scope, times, kept)
            added, collected = min(added, other_added), min(collected, other_collected)
        if isinstance(loop.start, Build):
            work += times * times * _COPIED_PLACE // 2
        finish = self.of(loop.result, {**scope, loop.accumulator: collected})
        return work + added + finish[0], finish[1]

    def _uniform(self, loop: Loop, scope: Mapping[str, int], times: int, largest: int) -> tuple[int, int]:
        """Bounds for all iterations: each is as if its element were the largest."""
        before, self._iterations = self._iterations, max(1, self._iterations // max(1, times))
        work, kept = self._step(loop, scope, largest)
        self._iterations = before
        return times * work, times * kept

    def _skewed(self, loop: Loop, scope: Mapping[str, int], times: int, together: int) -> tuple[int, int]:
        """Bounds for all iterations from the size of all elements together.

        What is done with an element grows at least in proportion to it: the sum is greatest when one element is the
        whole list and the others are next to nothing.
        """
        most, least = self._step(loop, scope, together), self._uniform(loop, scope, times, _SCALAR)
        return most[0] + least[0], most[1] + least[1]

    def _step(self, loop: Loop, scope: Mapping[str, int], element: int) -> tuple[int, int]:
        return self.of(loop.step, {**scope, loop.accumulator: 0} | dict.fromkeys(loop.variables, element))

    def _elements(self, node: Node, scope: Mapping[str, int]) -> list[int] | None:
        """The size of each element of what is iterated over, where that is a known list, map or literal."""
        if isinstance(node, Build):
            return [self.of(part, scope)[1] for part in node.parts]
        origin, path, _ = unroll(node)
        if isinstance(origin, Name) and origin.name not in scope and None not in path:
            part = located(self._bindings.get(origin.name.removeprefix(".")), path)
            if part and isinstance(part[0], list | dict):
                return [weight(element) for element in part[0]]
        return None


def _nesting(node: Node) -> int:
    if isinstance(node, Loop):
        return max(1 + _nesting(node.step), _nesting(node.over))
    return max([_nesting(part) for part in _parts(node)], default=0)


def _operations(node: Node) -> int:
    return 1 + sum([_operations(part) for part in _parts(node)])


def _parts(node: Node) -> tuple[Node, ...]:
    match node:
        case Select(operand=operand):
            return (operand,)
        case Call(arguments=parts) | Build(parts=parts):
            return parts
        case Loop(over=over, start=start, step=step, result=result):
            return over, start, step, result
        case Constant() | Name():
            return ()
