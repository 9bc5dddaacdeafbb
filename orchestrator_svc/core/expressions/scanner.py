"""Where `${` ends: at the `}` that belongs to it, not at the first one. Knows CEL's strings, comments and braces."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from orchestrator_svc.core.expressions.problems import ExpressionInvalid
from orchestrator_svc.core.wording import shortened

_DOLLARS: Final = re.compile(r"\$+\{")
_TOKEN: Final = re.compile(r"""//|[{}]|(?<![A-Za-z0-9_])(?:[bB]?[rR])?(?:\"""|\'''|"|')|\"""|\'''|"|'""")
_SHOWN: Final = 40  # characters of a string in a message


@dataclass(frozen=True)
class Code:
    """The text between `${` and its `}`."""

    source: str


def split(text: str) -> tuple[str | Code, ...]:
    """Split a string into literal text and expressions. Without any expression it is one literal, however short.

    Raises:
        ExpressionInvalid: When an expression has no end, or nothing in it.
    """
    pieces: list[str | Code] = []
    literal: list[str] = []
    position = 0
    while found := _DOLLARS.search(text, position):
        if len(found[0]) > 2:
            literal += text[position : found.start()], found[0][1:]
            position = found.end()
            continue
        end = _end(text, found.end())
        source = text[found.end() : end]
        if not source.strip():
            raise ExpressionInvalid("`${}` has no expression in it; `$${` is a literal `${`")
        literal.append(text[position : found.start()])
        pieces += [piece for piece in ("".join(literal), Code(source)) if piece]
        literal.clear()
        position = end + 1
    rest = "".join([*literal, text[position:]])
    return tuple([*pieces, rest] if rest or not pieces else pieces)


def _end(text: str, start: int) -> int:
    """The position of the brace that closes the expression which begins at `start`."""
    depth = 0
    position = start
    while token := _TOKEN.search(text, position):
        position = token.end()
        if token[0] == "{":
            depth += 1
        elif token[0] == "}":
            if depth == 0:
                return token.start()
            depth -= 1
        elif token[0] == "//":
            newline = text.find("\n", position)
            position = len(text) if newline < 0 else newline
        else:
            position = _after_string(text, position, token[0])
    raise ExpressionInvalid(f"`{shortened(text[start - 2 :], _SHOWN)}` has no closing brace; `$${{` is a literal `${{`")


def _after_string(text: str, position: int, opening: str) -> int:
    """The position after the string literal whose opening, prefix included, ends at `position`."""
    quote = opening.lstrip("bBrR")
    is_raw = opening[: -len(quote)].lower().endswith("r")
    while True:
        close = text.find(quote, position)
        escape = -1 if is_raw else text.find("\\", position)
        if escape >= 0 and (close < 0 or escape < close):
            position = escape + 2
            continue
        return len(text) if close < 0 else close + len(quote)
