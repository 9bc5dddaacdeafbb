"""How much is written: lines are made one by one, and no more of them than there is room for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

LEFT_OUT: Final = "(The rest is left out.)"
_NOTE_BYTES: Final = len(LEFT_OUT) + 2


def fit(lines: Iterable[str], most_bytes: int) -> list[str]:
    """The lines that fit, in UTF-8 with line breaks; what does not is not made, and a note says so."""
    fitting: list[str] = []
    used = 0
    for line in lines:
        size = size_of(line)
        if used + size > most_bytes:
            return _noted(fitting, used, most_bytes)
        fitting.append(line)
        used += size
    return fitting


def size_of(line: str) -> int:
    """Bytes of a line with its line break."""
    return len(line.encode()) + 1


def fair_share(sizes: Sequence[int], total: int) -> int:
    """The cap under which sizes add up to the total at most: who needs less leaves more to the others."""
    left = total
    for place, size in enumerate(sorted(sizes)):
        share = left // (len(sizes) - place)
        if size > share:
            return share
        left -= size
    return max(sizes, default=0)


def _noted(fitting: list[str], used: int, most_bytes: int) -> list[str]:
    while fitting and used + _NOTE_BYTES > most_bytes:
        used -= size_of(fitting.pop())
    while fitting and not fitting[-1]:
        fitting.pop()
    return [*fitting, "", LEFT_OUT]
