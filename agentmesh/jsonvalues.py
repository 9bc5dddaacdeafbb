"""JSON values: the type, the limits that hold for everything that crosses the mesh, and the canonical form for digests.

Pure: no I/O, no generated code. A value is what `json.loads` makes: None, bool, int, float, str, list, dict with string
keys. Integers are exact within 2^53, because a `google.protobuf.Struct` carries every number as a double.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from typing import Final, NoReturn, TypeAlias, cast

from agentmesh import errors

Json: TypeAlias = "None | bool | int | float | str | list[Json] | dict[str, Json]"
JsonObject: TypeAlias = "dict[str, Json]"

MAX_RESULT_BYTES: Final = 1024 * 1024
"""One result, as compact JSON in UTF-8."""
MAX_DEPTH: Final = 24
"""Nested lists and objects: a scalar is 0, `{}` is 1. A Struct of 34 nested objects no longer parses."""
MAX_INTEGER: Final = 2**53
"""The greatest magnitude up to which every integer is a double."""

_PATH_CHARACTERS: Final = 200
_PLAIN_KEY: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


def check_limits(value: Json, *, max_bytes: int = MAX_RESULT_BYTES, max_depth: int = MAX_DEPTH) -> int:
    """Return the size of the value in bytes as compact JSON.

    Args:
        value: Anything; what is not JSON is found out here.
        max_bytes: Greatest size allowed. No more than about this much work is done for a value that is larger,
            however often it refers to the same part.
        max_depth: Greatest nesting allowed.

    Raises:
        errors.ResultNotJson: For NaN, infinities, integers beyond 2^53, keys that are no strings, strings that are no
            Unicode text, and other types; the message names the path.
        errors.ResultTooDeep: The message names the path.
        errors.ResultTooLarge: The message has both sizes, and the largest member where it is known.
    """
    _Walk(max_bytes, max_depth).check(value, ())
    size = len(_compact(value))
    if size > max_bytes:
        raise errors.ResultTooLarge(f"{size} bytes as JSON, at most {max_bytes} are allowed{_largest_member(value)}")
    return size


def integral(value: Json) -> Json:
    """Return a copy in which doubles that are integers within 2^53 are of type int; -0.0 becomes 0."""
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) <= MAX_INTEGER else value
    if isinstance(value, dict):
        return {key: integral(member) for key, member in value.items()}
    if isinstance(value, list):
        return [integral(item) for item in value]
    return value


def canonical(value: Json) -> bytes:
    """Return the one JSON text that equal values have: sorted keys, no spaces, integral doubles as integers, UTF-8.

    Raises:
        ValueError: For NaN, infinities and strings that are no Unicode text.
    """
    return json.dumps(
        integral(value), ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":")
    ).encode()


def digest(value: Json) -> str:
    """Return the SHA-256 of the canonical form, 64 lower-case hex digits."""
    return hashlib.sha256(canonical(value)).hexdigest()


_Path: TypeAlias = "tuple[str | int, ...]"


class _Walk:
    """Checks every part of one value, and stops once the parts seen cannot fit the size any more."""

    def __init__(self, max_bytes: int, max_depth: int) -> None:
        self._max_bytes = max_bytes
        self._max_depth = max_depth
        self._at_least = 0  # a lower bound of the size in bytes of what was seen

    def check(self, value: object, path: _Path) -> None:
        self._count(1)
        if value is None or isinstance(value, bool):
            return
        if isinstance(value, str):
            self._check_text(value, path)
        elif isinstance(value, int):
            if abs(value) > MAX_INTEGER:
                _refuse(path, "an integer beyond 2^53, which other languages cannot read exactly")
        elif isinstance(value, float):
            if not math.isfinite(value):
                _refuse(path, f"{value}, which JSON does not have")
        elif isinstance(value, dict):
            self._check_depth(path)
            for key, member in value.items():
                if not isinstance(key, str):
                    _refuse(path, f"an object with a key of type {type(key).__name__}, keys are strings")
                self._check_text(key, path)
                self.check(member, (*path, key))
        elif isinstance(value, list):
            self._check_depth(path)
            for index, item in enumerate(value):
                self.check(item, (*path, index))
        else:
            _refuse(path, f"of type {type(value).__name__}, which JSON does not have")

    def _count(self, at_least: int) -> None:
        self._at_least += at_least
        if self._at_least > self._max_bytes:
            raise errors.ResultTooLarge(f"more than {self._max_bytes} bytes as JSON")

    def _check_text(self, text: str, path: _Path) -> None:
        self._count(len(text))
        if text.isascii():
            return
        try:
            text.encode()
        except UnicodeEncodeError:
            _refuse(path, "text with half of a surrogate pair, which is no Unicode text")

    def _check_depth(self, path: _Path) -> None:
        if len(path) >= self._max_depth:
            raise errors.ResultTooDeep(f"nested deeper than {self._max_depth} at {_shown(path)}")


def _refuse(path: _Path, what: str) -> NoReturn:
    raise errors.ResultNotJson(f"{_shown(path)} is {what}")


def _shown(path: _Path) -> str:
    """`rows[3].at`, other keys quoted; long ones are cut."""
    if not path:
        return "the value itself"
    text = "".join(_shown_part(part) for part in path).removeprefix(".")
    return f"`{text}`" if len(text) <= _PATH_CHARACTERS else f"`{text[:_PATH_CHARACTERS]}...`"


def _shown_part(part: str | int) -> str:
    if isinstance(part, int):
        return f"[{part}]"
    return f".{part}" if _PLAIN_KEY.match(part) else f"[{json.dumps(part)}]"


def _compact(value: Json) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def _largest_member(value: Json) -> str:
    members: list[tuple[str | int, Json]] = []
    if isinstance(value, dict):
        members = list(value.items())
    elif isinstance(value, list):
        members = cast("list[tuple[str | int, Json]]", list(enumerate(value)))
    if not members:
        return ""
    size, key = max(((len(_compact(member)), key) for key, member in members), key=lambda pair: pair[0])
    return f"; {_shown((key,))} alone has {size}"
