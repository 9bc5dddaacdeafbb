"""Lists of objects as tables: aligned for a terminal, and in the form that markdown reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Final

from agentmesh.jsonvalues import Json, JsonObject
from orchestrator_svc.adapters.rendering.clean import width
from orchestrator_svc.adapters.rendering.figures import and_more, labels, short

MOST_ROWS: Final = 15
_MOST_COLUMNS: Final = 40
"""Names that are looked at; how many of them are shown is a matter of their width."""
_CELL_CHARACTERS: Final = 40
_TABLE_COLUMNS: Final = 120
"""Of a terminal."""
_MOST_TRIED: Final = 3
_NAMES_LEFT_OUT: Final = 10


@dataclass(frozen=True)
class _Column:
    label: str
    cells: tuple[str, ...]
    is_number: bool

    @cached_property
    def width(self) -> int:
        return max(3, width(self.label), *(width(cell) for cell in self.cells))

    def row(self, text: str) -> str:
        gap = " " * (self.width - width(text))
        return gap + text if self.is_number else text + gap

    def rule(self) -> str:
        return "-" * (self.width - 1) + ":" if self.is_number else "-" * self.width


def table(rows: Sequence[JsonObject]) -> Iterator[str]:
    """The lines of a table; the first rows of a long list, and the first columns of wide ones, with a note."""
    shown = rows[:MOST_ROWS]
    columns, left_out = _fitting(shown)
    if not columns:
        yield f"{len(rows)} without any content"
        return
    yield _joined([column.row(column.label) for column in columns])
    yield _joined([column.rule() for column in columns])
    for place in range(len(shown)):
        yield _joined([column.row(column.cells[place]) for column in columns])
    if len(rows) > len(shown) or left_out:
        yield ""
    if len(rows) > len(shown):
        yield f"... {and_more(len(rows) - len(shown))}"
    if left_out:
        yield f"(not shown: {_listed(left_out)})"


def _fitting(rows: Sequence[JsonObject]) -> tuple[list[_Column], list[str]]:
    """The columns that fit beside each other, at least one, and the labels of the others."""
    kept: list[_Column] = []
    left_out: list[str] = []
    used = 1
    for name, label in labels(_names(rows)).items():
        # Cells are dear: after a few columns that did not fit, none is tried any more.
        column = _column(label, name, rows) if len(left_out) < _MOST_TRIED else None
        if column is None or (kept and used + column.width + 3 > _TABLE_COLUMNS):
            left_out.append(label)
        else:
            kept.append(column)
            used += column.width + 3
    return kept, left_out


def _names(rows: Sequence[JsonObject]) -> list[str]:
    """The fields that are set in any row."""
    names = dict.fromkeys(name for row in rows for name in islice(row, _MOST_COLUMNS))
    return [name for name in islice(names, _MOST_COLUMNS) if any(row.get(name) is not None for row in rows)]


def _column(label: str, name: str, rows: Sequence[JsonObject]) -> _Column:
    values = [row.get(name) for row in rows]
    return _Column(
        _escaped(label),
        tuple("-" if value is None else _escaped(short(name, value, _CELL_CHARACTERS)) for value in values),
        all(value is None or _is_number(value) for value in values),
    )


def _joined(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _listed(labels_left_out: list[str]) -> str:
    shown = ", ".join(labels_left_out[:_NAMES_LEFT_OUT])
    more = len(labels_left_out) - _NAMES_LEFT_OUT
    return f"{shown} {and_more(more)}" if more > 0 else shown


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")


def _is_number(value: Json) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
