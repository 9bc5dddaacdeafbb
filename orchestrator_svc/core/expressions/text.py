"""How a value is written inside a longer string, and which values of an expression are JSON.

CEL's own `string()` writes 12345678 as 1.2345678e+07, so the writing is ours.
"""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta
from typing import Final

from agentmesh.jsonvalues import MAX_INTEGER, Json, JsonObject
from orchestrator_svc.core.expressions.problems import EvaluationFailed

_SECOND: Final = 1_000_000  # microseconds


def format_text(value: Json) -> str:
    """Write a value as interpolation does.

    Strings stay as they are; `true`, `false`; the shortest JSON number, integral ones up to 2^53 without point or
    exponent; lists and objects as compact JSON, keys sorted.

    Raises:
        EvaluationFailed: For null, and for what JSON cannot carry.
    """
    if value is None:
        raise EvaluationFailed("null has no text; guard it with a condition, or give a default with `? :`")
    return value if isinstance(value, str) else _compact(value)


def plain(value: object) -> Json:
    """Return what an expression produced as JSON: integral doubles as integers, objects with sorted keys.

    Timestamps become RFC 3339 in UTC, durations seconds such as `3.5s`.

    Raises:
        EvaluationFailed: For bytes, types, infinities, integers beyond 2^53, and keys that are no strings.
    """
    match value:
        case None | bool() | str():
            return value
        case int() | float():
            return _plain_number(value)
        case list():
            return [plain(element) for element in value]
        case dict():
            return _plain_object(value)
        case datetime():
            return _timestamp(value)
        case timedelta():
            return _duration(value)
        case _:
            kind = "bytes" if isinstance(value, bytes | bytearray) else f"a {type(value).__name__}"
            raise EvaluationFailed(f"the result has {kind}, which JSON cannot carry")


def _plain_number(value: float) -> int | float:
    if isinstance(value, int):
        if abs(value) > MAX_INTEGER:
            raise EvaluationFailed(f"{value} is beyond 2^53, where JSON numbers stop being exact")
        return value
    if not math.isfinite(value):
        raise EvaluationFailed(f"a number is {value}, which JSON cannot carry")
    return int(value) if value.is_integer() and abs(value) <= MAX_INTEGER else value


def _plain_object(value: dict[object, object]) -> JsonObject:
    members: JsonObject = {}
    for key, member in value.items():
        if not isinstance(key, str):
            raise EvaluationFailed(f"an object has the key {key!r}; keys in JSON are strings")
        members[key] = plain(member)
    return dict(sorted(members.items()))  # the engine's order varies from run to run


def _compact(value: Json) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return _number(value)
        case str():
            return json.dumps(value, ensure_ascii=False)
        case list():
            return f"[{','.join([_compact(element) for element in value])}]"
        case dict():
            members = [f"{json.dumps(key, ensure_ascii=False)}:{_compact(value[key])}" for key in sorted(value)]
            return f"{{{','.join(members)}}}"


def _number(value: float) -> str:
    number = _plain_number(value)
    if isinstance(number, int):
        return str(number)
    # repr is the shortest text that reads back as the same double; only its exponent is longer than JSON needs.
    mantissa, mark, exponent = repr(number).partition("e")
    return f"{mantissa.removesuffix('.0')}e{int(exponent)}" if mark else mantissa.removesuffix(".0")


def _timestamp(moment: datetime) -> str:
    return (
        moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds") + _fraction(moment.microsecond) + "Z"
    )


def _duration(span: timedelta) -> str:
    microseconds = span // timedelta(microseconds=1)
    seconds, rest = divmod(abs(microseconds), _SECOND)
    return f"{'-' if microseconds < 0 else ''}{seconds}{_fraction(rest)}s"


def _fraction(microseconds: int) -> str:
    return f".{microseconds:06}".rstrip("0") if microseconds else ""
