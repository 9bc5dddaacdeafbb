"""How names and places are written in messages."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

_MOST_CHARACTERS: Final = 64
_PLAIN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


def cut(name: str) -> str:
    """The name, or the beginning of a very long one; what cannot be printed is escaped."""
    if not name.isprintable():
        name = name[:_MOST_CHARACTERS].encode("unicode_escape").decode()
    return name if len(name) <= _MOST_CHARACTERS else name[: _MOST_CHARACTERS - 3] + "..."


def place(path: Sequence[str | int]) -> str:
    """A path inside arguments or a result, to be put behind the name of the whole: `.filters[0].name`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{cut(part)}" for part in path)


def selection(path: Sequence[str | int | None]) -> str:
    """The same as an expression writes it: `.anomalies[0]["a b"]`; a computed position is `[...]`."""
    return "".join(_selected(part) for part in path)


def _selected(part: str | int | None) -> str:
    if part is None:
        return "[...]"
    if isinstance(part, int):
        return f"[{part}]"
    return f".{part}" if _PLAIN.match(part) and len(part) <= _MOST_CHARACTERS else f'["{cut(part)}"]'
