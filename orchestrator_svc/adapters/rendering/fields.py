"""A result as lines: its fields as a list, nested ones indented, and lists of objects as tables below."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Final, cast

from agentmesh.jsonvalues import WRAPPED, Json, JsonObject
from orchestrator_svc.adapters.rendering import clean
from orchestrator_svc.adapters.rendering.figures import and_more, figure, in_words, labels, short
from orchestrator_svc.adapters.rendering.tables import table

_MOST_FIELDS: Final = 40
_MOST_ELEMENTS: Final = 10
_DEEPEST: Final = 4
_ONE_LINE_CHARACTERS: Final = 90
_TEXT_CHARACTERS: Final = 2000
_TEXT_LINES: Final = 20


def unwrapped(result: Json) -> Json:
    """What a skill returned, without the object that a scalar or a list is put into."""
    return result[WRAPPED] if isinstance(result, dict) and result.keys() == {WRAPPED} else result


def is_flat(value: Json) -> bool:
    """Whether it is one row of a table: a scalar, or a few of them by name."""
    if isinstance(value, dict):
        return len(value) <= 8 and not any(isinstance(member, (dict, list)) for member in value.values())
    return not isinstance(value, list)


def result_lines(result: Json) -> Iterator[str]:
    """The lines of a result; an empty one separates paragraphs."""
    value = unwrapped(result)
    if isinstance(value, dict):
        yield from _object(value)
    elif isinstance(value, list):
        yield from _list(value)
    elif isinstance(value, str):
        yield from _quoted(value, "") if value.strip() else ["The text is empty."]
    else:
        yield "There is no result." if value is None else figure("", value)


def _object(value: JsonObject) -> Iterator[str]:
    if not value:
        yield "The result is empty."
        return
    tables: list[tuple[str, list[JsonObject]]] = []
    yield from _fields(value, "", tables, ())
    for name, rows in tables:
        yield ""
        # A line of its own: a name that begins like a heading must not become one.
        caption = name.lstrip("# ") or "rows"
        yield f"{caption[:1].upper()}{caption[1:]} ({len(rows)}):"
        yield ""
        yield from table(rows)


def _list(value: list[Json]) -> Iterator[str]:
    if not value:
        yield "Nothing was found."
    elif rows := _rows(value):
        yield from table(rows)
    else:
        yield from _elements("", value, "")


def _fields(
    value: JsonObject, indent: str, tables: list[tuple[str, list[JsonObject]]], path: tuple[str, ...]
) -> Iterator[str]:
    """A line or more for each field; lists of objects go to `tables`, with the names that lead to them."""
    for name, label in labels(islice(value, _MOST_FIELDS)).items():
        member = value[name]
        if isinstance(member, list) and (rows := _rows(member)):
            tables.append((", ".join((*path, in_words(name))), rows))
        elif isinstance(member, dict) and not _fits_one_line(name, member) and len(path) < _DEEPEST:
            yield f"{indent}- {label}:"
            yield from _fields(member, indent + "  ", tables, (*path, in_words(name)))
        elif isinstance(member, list) and any(isinstance(element, (dict, list)) for element in member[:_MOST_ELEMENTS]):
            yield f"{indent}- {label}:"
            yield from _elements(name, member, indent + "  ")
        elif isinstance(member, str) and _is_long(member):
            yield f"{indent}- {label}:"
            yield from _quoted(member, indent + "  ")
        else:
            yield f"{indent}- {label}: {'none found' if member == [] else short(name, member)}"
    if len(value) > _MOST_FIELDS:
        yield f"{indent}- {and_more(len(value) - _MOST_FIELDS)}"


def _elements(name: str, value: list[Json], indent: str) -> Iterator[str]:
    for element in value[:_MOST_ELEMENTS]:
        yield f"{indent}- {short(name, element)}"
    if len(value) > _MOST_ELEMENTS:
        yield f"{indent}- {and_more(len(value) - _MOST_ELEMENTS)}"


def _quoted(text: str, indent: str) -> Iterator[str]:
    """A text in its lines, behind a mark, so that it cannot pass for a heading or a list of ours."""
    parts = clean.lines(text, _TEXT_CHARACTERS)
    for part in parts[:_TEXT_LINES]:
        yield f"{indent}> {part}"
    if len(text) > _TEXT_CHARACTERS:
        yield f"{indent}> ... {and_more(len(text) - _TEXT_CHARACTERS)} characters"
    elif len(parts) > _TEXT_LINES:
        yield f"{indent}> ... {and_more(len(parts) - _TEXT_LINES)} lines"


def _rows(value: list[Json]) -> list[JsonObject] | None:
    """The list, if it is one of objects only."""
    return cast("list[JsonObject]", value) if value and all(isinstance(row, dict) and row for row in value) else None


def _fits_one_line(name: str, value: JsonObject) -> bool:
    if any(isinstance(member, (dict, list)) and member for member in islice(value.values(), _MOST_FIELDS)):
        return False
    return len(value) <= 8 and len(short(name, value)) <= _ONE_LINE_CHARACTERS


def _is_long(text: str) -> bool:
    return len(text) > 300 or len(text.strip().splitlines()) > 1
