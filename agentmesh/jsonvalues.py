"""JSON values: the type, the limits that hold for everything that crosses the mesh, and the canonical form for digests.

Pure: no I/O, no generated code. A value is what `json.loads` makes: None, bool, int, float, str, list, dict with string
keys. Integers are exact within 2^53, because a `google.protobuf.Struct` carries every number as a double.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

from agentmesh import errors

if TYPE_CHECKING:
    Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
    JsonObject: TypeAlias = "dict[str, Json]"
else:
    # Where hints are read at run time, as those of skills are, a type that contains itself would have no end.
    Json = Any
    JsonObject = dict[str, Any]

MAX_RESULT_BYTES: Final = 1024 * 1024
"""One result, as compact JSON in UTF-8."""
MAX_DEPTH: Final = 24
"""Nested lists and objects: a scalar is 0, `{}` is 1. A Struct of 34 nested objects no longer parses."""
MAX_INTEGER: Final = 2**53
"""The greatest magnitude up to which every integer is a double."""

OFF_LOOP_BYTES: Final = 64 * 1024
"""Larger values are checked and converted in a thread: 64 kB take some 10 ms, and others wait on the event loop."""
WRAPPED: Final = "result"
"""A result that is no object travels as the one member of this name: a message carries an object."""

_PATH_CHARACTERS: Final = 200
_MOST_WEIGHED: Final = 256
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
    try:
        _Walk(max_bytes, max_depth).check(value, 0)
    except _Refused as refused:
        path = _shown(refused.path[::-1])
        raise refused.error(refused.message.format(path)) from None
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


def kind_of(value: Json) -> str:
    """Return what to call the value in a message, e.g. `a list`."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case list():
            return "a list"
        case _:
            return "an object"


def path_text(path: Sequence[str | int]) -> str:
    """Return `.rows[3].at`, to be put behind the name of the whole; other keys are quoted."""
    return "".join(
        f"[{part}]" if isinstance(part, int) else f".{part}" if _PLAIN_KEY.match(part) else f"[{json.dumps(part)}]"
        for part in path
    )


class _Refused(Exception):
    """Found while walking; collects the path on its way out, so that a valid value pays nothing for paths."""

    def __init__(self, error: type[errors.ResultError], message: str) -> None:
        super().__init__(message)
        self.error = error
        self.message = message  # with {} where the path goes
        self.path: list[str | int] = []


class _Walk:
    """Checks every part of one value, and stops once the parts seen cannot fit the size any more."""

    def __init__(self, max_bytes: int, max_depth: int) -> None:
        self._max_depth = max_depth
        self._left = max_bytes  # minus a lower bound of the size of what was seen

    def check(self, value: object, depth: int) -> None:
        self._left -= 1
        if self._left < 0:
            raise _Refused(errors.ResultTooLarge, "more bytes as JSON than are allowed, counted up to {}")
        if isinstance(value, str):
            self._check_text(value)
        elif isinstance(value, dict):
            self._check_object(value, depth + 1)
        elif isinstance(value, list):
            self._check_list(value, depth + 1)
        elif isinstance(value, float):
            if not math.isfinite(value):
                raise _Refused(errors.ResultNotJson, f"{{}} is {value}, which JSON does not have")
        elif isinstance(value, int):  # bool as well
            if not -MAX_INTEGER <= value <= MAX_INTEGER:
                raise _Refused(
                    errors.ResultNotJson, "{} is an integer beyond 2^53, which other languages cannot read exactly"
                )
        elif value is not None:
            raise _Refused(errors.ResultNotJson, f"{{}} is of type {type(value).__name__}, which JSON does not have")

    def _check_text(self, text: str) -> None:
        self._left -= len(text)
        if text.isascii():
            return
        try:
            text.encode()
        except UnicodeEncodeError:
            raise _Refused(
                errors.ResultNotJson, "{} has text with half of a surrogate pair, which is no Unicode text"
            ) from None

    def _check_object(self, value: dict[object, object], depth: int) -> None:
        self._check_depth(depth)
        for key, member in value.items():
            if not isinstance(key, str):
                raise _Refused(
                    errors.ResultNotJson, f"{{}} has a key of type {type(key).__name__}, keys of an object are text"
                )
            try:
                self._check_text(key)
                self.check(member, depth)
            except _Refused as refused:
                refused.path.append(key)
                raise

    def _check_list(self, value: list[object], depth: int) -> None:
        self._check_depth(depth)
        for index, item in enumerate(value):
            try:
                self.check(item, depth)
            except _Refused as refused:
                refused.path.append(index)
                raise

    def _check_depth(self, depth: int) -> None:
        if depth > self._max_depth:
            raise _Refused(errors.ResultTooDeep, f"nested deeper than {self._max_depth} at {{}}")


def _shown(path: Sequence[str | int]) -> str:
    """In quotes and cut where it is long."""
    if not path:
        return "the value itself"
    text = path_text(path).removeprefix(".")
    return f"`{text}`" if len(text) <= _PATH_CHARACTERS else f"`{text[:_PATH_CHARACTERS]}...`"


def _compact(value: Json) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def _largest_member(value: Json) -> str:
    members: list[tuple[str | int, Json]] = []
    if isinstance(value, dict):
        members = list(value.items())
    elif isinstance(value, list):
        members = cast("list[tuple[str | int, Json]]", list(enumerate(value)))
    if not 0 < len(members) <= _MOST_WEIGHED:  # of very many none is large, and to weigh each takes seconds
        return ""
    size, key = max(((len(_compact(member)), key) for key, member in members), key=lambda pair: pair[0])
    return f"; {_shown([key])} alone has {size}"
