"""How names and places are written in messages, and what is offered instead of a name that is not known."""

from __future__ import annotations

import difflib
import heapq
import json
import re
from collections.abc import Iterable, Sequence
from typing import Final

_MOST_CHARACTERS: Final = 64
_MOST_COMPARED_CHARACTERS: Final = 256
_MOST_KNOWN: Final = 10_000
_MOST_COMPARED: Final = 50
_PLAIN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_NO_FIELD_IN_CEL: Final = frozenset({"in", "null", "true", "false"})


def shortened(text: str, most: int) -> str:
    """The text, or the beginning of one with more characters, which ends in `...`."""
    return text if len(text) <= most else text[: most - 3] + "..."


def cut(name: str) -> str:
    """The name, or the beginning of a very long one; what cannot be printed is escaped."""
    if not name.isprintable():
        name = name[:_MOST_CHARACTERS].encode("unicode_escape").decode()
    return shortened(name, _MOST_CHARACTERS)


def place(path: Sequence[str | int]) -> str:
    """A path inside arguments or a result, to be put behind the name of the whole: `.filters[0].name`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{cut(part)}" for part in path)


def selected(part: str | int) -> str:
    """A field or an element as an expression selects it: `.anomalies`, `[0]`, `["a b"]`."""
    if isinstance(part, int):
        return f"[{part}]"
    return f".{part}" if _PLAIN.match(part) and part not in _NO_FIELD_IN_CEL else f"[{json.dumps(part)}]"


def selection(path: Sequence[str | int | None]) -> str:
    """A path of such, to be read: long names are cut, and a computed position is `[...]`."""
    return "".join(
        "[...]" if part is None else selected(shortened(part, _MOST_CHARACTERS) if isinstance(part, str) else part)
        for part in path
    )


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that looks most like `name`, if any does.

    To compare closely takes 0.1 ms a name, and whole catalogs are known: so only those that share most pairs of
    characters are.
    """
    name = name[:_MOST_COMPARED_CHARACTERS]
    candidates = list(known)[:_MOST_KNOWN]
    if len(candidates) > _MOST_COMPARED:
        wanted = _pairs(name)
        candidates = heapq.nlargest(_MOST_COMPARED, candidates, key=lambda other: (len(wanted & _pairs(other)), other))
    close = difflib.get_close_matches(name, candidates, n=1, cutoff=0.5)
    return close[0] if close else None


def _pairs(name: str) -> set[str]:
    name = name[:_MOST_COMPARED_CHARACTERS]
    return {name[place : place + 2] for place in range(len(name) - 1)}


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """What to put behind the message about an unknown name: the nearest known one, or nothing."""
    close = nearest(name, known)
    return f"; did you mean `{cut(close)}`?" if close else ""
