"""How one value is written: numbers in sensible precision, units by the ending of the field's name."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from itertools import islice
from typing import Final, TypeAlias

from agentmesh.jsonvalues import MAX_INTEGER, Json
from orchestrator_svc.adapters.rendering.clean import line

Scalar: TypeAlias = "bool | int | float | str | None"

TEXT_CHARACTERS: Final = 300
"""A text on one line is cut there."""
NAME_CHARACTERS: Final = 40
_MOST_PARTS: Final = (8, 4, 3)
"""Members of an object or elements of a list that are written on one line, by depth; deeper ones are counted."""
_MOST_BITS: Final = 128
_MOST_DIGITS: Final = 15
_LONGEST_DURATION_SECONDS: Final = 100 * 365 * 86_400
_UNITS: Final = {
    "bytes_per_second": "bytes", "percent_per_second": "percent", "bytes": "bytes", "percent": "percent",
    "seconds": "seconds", "milliseconds": "ms", "ms": "ms",
}  # fmt: skip
"""Unit by the ending of a name; the longer endings first."""
_ENDINGS: Final = tuple(_UNITS)
_SIZES: Final = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def labels(names: Iterable[str]) -> dict[str, str]:
    """What to call each field: its name in words, without a unit that its value shows, unless two become the same."""
    wanted = {name: _without_unit(name) for name in names}
    often = Counter(wanted.values())
    return {name: label if often[label] == 1 else in_words(name) for name, label in wanted.items()}


def in_words(name: str) -> str:
    """`window_minutes` as `window minutes`."""
    return line(name.replace("_", " "), NAME_CHARACTERS) or '""'


def figure(name: str, value: Scalar, characters: int = TEXT_CHARACTERS) -> str:
    """A scalar; the name of its field tells the unit."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return line(value, characters) or "(empty)"
    return _quantity(name, value)


def short(name: str, value: Json, characters: int = TEXT_CHARACTERS, depth: int = 0) -> str:
    """Any value on one line."""
    if isinstance(value, dict):
        return line(_short_object(value, characters, depth), characters)
    if isinstance(value, list):
        return line(_short_list(name, value, characters, depth), characters)
    return figure(name, value, characters)


def and_more(count: int) -> str:
    return f"and {count} more"


def _short_object(value: dict[str, Json], characters: int, depth: int) -> str:
    if not value:
        return "nothing"
    if depth >= len(_MOST_PARTS):
        return f"({_counted(len(value), 'field')})"
    named = labels(islice(value, _MOST_PARTS[depth]))
    parts = (f"{label} {short(name, value[name], characters, depth + 1)}" for name, label in named.items())
    text = _joined(parts, len(value), characters)
    return f"({text})" if depth else text


def _short_list(name: str, value: list[Json], characters: int, depth: int) -> str:
    if not value:
        return "none"
    if depth >= len(_MOST_PARTS):
        return f"({_counted(len(value), 'item')})"
    parts = (short(name, element, characters, depth + 1) for element in value[: _MOST_PARTS[depth]])
    return _joined(parts, len(value), characters)


def _joined(parts: Iterable[str], count: int, characters: int) -> str:
    """The parts on one line, with how many are left out; none are made that would be cut off."""
    made: list[str] = []
    length = 0
    for part in parts:
        made.append(part)
        length += len(part)
        if length > characters:
            break
    more = count - len(made)
    return f"{', '.join(made)} {and_more(more)}" if more else ", ".join(made)


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _unit(name: str) -> tuple[str, str]:
    """The unit that a name ends with, and the name before it; both may be empty."""
    if not name.endswith(_ENDINGS):
        return "", name
    for ending, unit in _UNITS.items():
        if name == ending:
            return unit, ""
        if name.endswith("_" + ending):
            before = name.removesuffix("_" + ending)
            return ("", name) if before.endswith("per") else (unit, before)
    return "", name


def _without_unit(name: str) -> str:
    _, before = _unit(name)
    return in_words(before or name)


def _quantity(name: str, value: float) -> str:
    unit, _ = _unit(name)
    if not unit or not _is_ordinary(value):
        return _number(value)
    per_second = "/s" if name.endswith("_per_second") else ""
    match unit:
        case "bytes":
            return _size(value) + per_second
        case "percent":
            return f"{_number(value)} %{per_second}"
        case "seconds":
            return _duration(value)
        case _:
            return f"{_number(value)} ms"


def _is_ordinary(value: float) -> bool:
    return abs(value) <= MAX_INTEGER  # false for NaN as well


def _number(value: float) -> str:
    """Integers as they are; numbers that were rounded already too; else four digits, at least two of them decimals."""
    if isinstance(value, int):
        return str(value) if value.bit_length() <= _MOST_BITS else f"an integer of {value.bit_length()} bits"
    if not math.isfinite(value):
        return "not a number" if math.isnan(value) else "infinite" if value > 0 else "minus infinite"
    if value.is_integer() and abs(value) <= MAX_INTEGER:
        return str(int(value))
    given = f"{value:.6g}"
    if float(given) == value:
        return given
    decimals = max(2, 3 - math.floor(math.log10(abs(value))))
    if decimals > _MOST_DIGITS or abs(value) > MAX_INTEGER:
        return f"{value:.4g}"
    return f"{value:.{decimals}f}".rstrip("0").rstrip(".")


def _size(value: float) -> str:
    size = float(value)
    for unit in _SIZES:
        if abs(size) < 1024 or unit == _SIZES[-1]:
            return f"{_number(round(size, 1))} {unit}"
        size /= 1024
    raise AssertionError("the last unit takes every size")


def _duration(value: float) -> str:
    if not 120 <= value <= _LONGEST_DURATION_SECONDS:
        return f"{_number(value)} s"
    minutes, seconds = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [(days, "d"), (hours, "h"), (minutes, "min"), (seconds, "s")]
    first = next(place for place, (count, _) in enumerate(parts) if count)
    return " ".join(f"{count} {unit}" for count, unit in parts[first : first + 2] if count)
