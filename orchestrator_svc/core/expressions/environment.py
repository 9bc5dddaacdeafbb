"""Compiling and evaluating expressions: CEL by the C++ engine of cel-expr-python.

An engine environment takes half a millisecond to make and to warm up, so expressions over the same names share one. It
also takes longer with every name: of very many, only those are declared that the text of the expression mentions.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import cache, lru_cache
from typing import Final

from cel_expr_python import cel

from agentmesh.jsonvalues import Json
from orchestrator_svc.core.expressions import binding, explain, growth, references, syntax
from orchestrator_svc.core.expressions.names import RESERVED, TEXT, VARIABLES
from orchestrator_svc.core.expressions.problems import EvaluationFailed, ExpressionInvalid, ExpressionTooLong
from orchestrator_svc.core.expressions.references import Reference
from orchestrator_svc.core.expressions.text import format_text, plain

_TOGETHER: Final = 64  # steps that are declared whether or not an expression mentions them
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_WORD: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_KINDS: Final = {
    "BOOL": "bool", "INT": "number", "UINT": "number", "DOUBLE": "number", "STRING": "string", "LIST": "list",
    "MAP": "map", "NULL": "null", "TIMESTAMP": "timestamp", "DURATION": "duration", "BYTES": "bytes",
}  # fmt: skip


class Environment:
    """The names that expressions of one plan may use.

    Args:
        steps: Ids of steps; reserved names among them are not declared.
        item: Whether `item` and `index` exist: in the arguments of a step with for_each.
        max_characters: The longest expression; None: no limit but the engine's, 100,000.
    """

    def __init__(self, steps: Iterable[str], *, item: bool = False, max_characters: int | None = None) -> None:
        self._max_characters = max_characters
        self._steps = frozenset(steps) - RESERVED
        self._declared = self._steps | VARIABLES if item else self._steps | {"now"}

    def compile(self, source: str) -> Expression:
        """Compile and check one expression, without a surrounding `${ }`.

        Raises:
            UnknownName: When it mentions names that are not declared here.
            ExpressionTooLong: When it is longer than `max_characters`.
            ExpressionInvalid: When it does not compile for another reason.
        """
        if self._max_characters is not None and len(source) > self._max_characters:
            raise ExpressionTooLong(f"an expression of {len(source)} characters, at most {self._max_characters}")
        if _SURROGATE.search(source):
            raise ExpressionInvalid("has half of a surrogate pair, which is no Unicode text")
        names = self._steps
        if len(names) > _TOGETHER:
            names = names & frozenset(_WORD.findall(source))
        engine = _engine(names)
        try:
            program = engine.compile(source)
        except RuntimeError as error:
            raise self._problem(engine, source, str(error)) from None
        kind = program.return_type().name().partition("<")[0]
        if kind == "TYPE":
            raise ExpressionInvalid("the result is a type, not a value; compare it, such as type(x) == string")
        root = syntax.read(program.serialize())
        if unknown := self._unknown(root):
            raise explain.unknown(unknown, self._declared)
        return Expression(source, program, root, self._steps, _KINDS.get(kind, "dyn"))

    def _problem(self, engine: cel.Env, source: str, text: str) -> ExpressionInvalid:
        if undeclared := explain.undeclared(text):
            # The engine says the same of a function. Only the tree tells them apart, and it can be read: what has a
            # syntax error is not checked for names.
            parsed = syntax.read(engine.compile(source, disable_check=True).serialize())
            if unknown := self._unknown(parsed, undeclared):
                return explain.unknown(unknown, self._declared)
        return explain.invalid(source, text)

    def _unknown(self, root: syntax.Node, undeclared: frozenset[str] = frozenset()) -> tuple[str, ...]:
        """The names that are not declared here: those that the engine does not know, and item and index."""
        candidates = (undeclared | VARIABLES) - self._declared
        found = (reference.step for reference in references.free(root, self._steps))
        return tuple(dict.fromkeys(name for name in found if name in candidates))


class Expression:
    """One compiled expression; never changes, and may be evaluated any number of times.

    Attributes:
        source: Its text.
        mentions: Every occurrence of a step, of item, index and now, in reading order.
        references: Those of steps.
        steps: Ids of the steps it mentions.
        tolerates: The steps s of which it tests `has(s.field)`.
        uses_item: Whether it mentions `item` or `index`.
        path: The one reference that it is, such as `a.b[0].c`; None when it is more than that.
        kind: What it results in, as far as that is known before: bool, number, string, list, map, null, timestamp,
            duration, bytes, or dyn.
    """

    def __init__(
        self, source: str, program: cel.Expression, root: syntax.Node, steps: frozenset[str], kind: str
    ) -> None:
        growth.check_nesting(root)
        names = references.free(root, steps)
        self.source: Final = source
        self.mentions: Final = names
        self.references: Final = tuple(r for r in names if r.step in steps)
        self.steps: Final = frozenset(r.step for r in self.references)
        self.tolerates: Final = frozenset(r.step for r in self.references if r.guarded and len(r.path) == 1)
        self.uses_item: Final = any(r.step in {"item", "index"} for r in names)
        self.kind: Final = kind
        self._program = program
        self._root = root
        self._uses_now = any(r.step == "now" for r in names)
        wanted = steps | {"item", "index"}
        self._needs = binding.needs(r for r in names if r.step in wanted)
        self._is_small = growth.is_small(root)
        self.path: Final = _only_a_path(root, wanted)

    def __repr__(self) -> str:
        return f"Expression({self.source!r})"

    def evaluate(self, bindings: Mapping[str, Json], now: datetime) -> Json:
        """Evaluate, with the values of the steps it mentions (and of item and index) and the start of the run.

        Args:
            bindings: Name -> JSON; names that it does not mention are not looked at. An absent step is `{}`.
            now: With a time zone.

        Raises:
            EvaluationFailed: When it ends in an error, takes more than 10,000 iterations, could take more than 64 MiB
                of work and copies (such as map or filter over more than 2,000 elements), or results in what JSON cannot
                carry.
        """
        try:
            return self._evaluate(bindings, now)
        except (RecursionError, OverflowError, MemoryError) as error:
            raise explain.failed(self.source, f"its values are too large or too deep ({error})") from error

    def _evaluate(self, bindings: Mapping[str, Json], now: datetime) -> Json:
        if self.path:
            # Without the engine, which would copy the whole value there and back.
            found = binding.located(bindings.get(self.path.step), self.path.path)
            if found:
                return self._plain(found[0])
        if missing := [name for name in self._needs if name not in bindings]:
            raise explain.failed(self.source, f"there is no value for `{missing[0]}`")
        data: dict[str, Json | datetime] = {n: binding.bound(bindings[n], need) for n, need in self._needs.items()}
        if not self._is_small:
            self._check_growth(bindings)
        if self._uses_now:
            data["now"] = now
        try:
            value = self._program.eval(data=data)
        except RuntimeError as error:
            raise explain.failed(self.source, str(error)) from None
        if value.type().name() in {"ERROR", "UNKNOWN"}:
            raise explain.failed(self.source, str(value.plain_value()))
        return self._plain(value.plain_value())

    def _check_growth(self, bindings: Mapping[str, Json]) -> None:
        try:
            growth.check_growth(self._root, bindings)
        except EvaluationFailed as error:
            raise explain.failed(self.source, error.message) from None

    def _plain(self, value: object) -> Json:
        try:
            return plain(value)
        except EvaluationFailed as error:
            raise explain.failed(self.source, error.message) from None


def _only_a_path(root: syntax.Node, variables: frozenset[str]) -> Reference | None:
    """The reference that the whole expression is, such as `a.b[0].c`; None when it is more than that."""
    origin, path, _ = references.unroll(root)
    if isinstance(root, syntax.Select) and root.test:
        return None
    if isinstance(origin, syntax.Name) and origin.name in variables and None not in path:
        return Reference(origin.name, path, guarded=False)
    return None


@lru_cache(maxsize=64)
def _engine(steps: frozenset[str]) -> cel.Env:
    """The engine's environment for expressions over these steps. item and index are there; whether they may be used,
    only the tree of an expression can tell.
    """
    variables = {"now": cel.Type.TIMESTAMP, "item": cel.Type.DYN, "index": cel.Type.DOUBLE}
    return cel.NewEnv(variables=variables | dict.fromkeys(steps, cel.Type.DYN), functions=[_text_function()])


@cache
def _text_function() -> cel.FunctionDecl:
    """`text(x)`, once for every type: the engine chooses by the type that a value turns out to have."""
    kinds = ("STRING", "DOUBLE", "INT", "UINT", "BOOL", "LIST", "MAP", "TIMESTAMP", "DURATION", "BYTES", "NULL")
    return cel.FunctionDecl(
        TEXT,
        [
            cel.Overload(
                id=f"text_{kind.lower()}",
                return_type=cel.Type.STRING,
                parameters=[getattr(cel.Type, kind)],
                impl=lambda value: format_text(plain(value)),
            )
            for kind in kinds
        ],
    )
