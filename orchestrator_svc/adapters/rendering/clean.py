"""Text from outside, made harmless: nothing that moves a cursor, hides, or reverses what stands around it."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

_HARMFUL: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u200e\u200f\u061c\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)
"""Control characters (terminal escapes begin with one), marks of direction, invisible signs, halves of surrogates."""
_REPLACEMENT: Final = "\ufffd"
_MARGIN: Final = 4
"""So many times the characters wanted are looked at, because spaces are dropped."""


def line(text: str, characters: int) -> str:
    """The text on one line, cut to so many characters at most; no more than a few times as many are looked at."""
    seen = text[: characters * _MARGIN]
    plain = _HARMFUL.sub(_REPLACEMENT, " ".join(seen.split()))
    if len(plain) <= characters and len(seen) == len(text):
        return plain
    return plain[: characters - 3].rstrip() + "..."


def lines(text: str, characters: int) -> list[str]:
    """The lines of a text that begin within so many characters, without empty ones."""
    return [line(each, characters) for each in text[:characters].splitlines() if each.strip()]


def width(text: str) -> int:
    """Columns that the text takes in a terminal."""
    if text.isascii():
        return len(text)
    return sum(_columns(character) for character in text)


def _columns(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
