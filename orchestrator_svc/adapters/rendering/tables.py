"""Lists of objects as tables: aligned for a terminal, and in the form that markdown reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
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
_NAMES_LEFT_OUT: Final = 10


@dataclass(frozen=True, slots=True)
class _Column:
    label: str
    cells: tuple[str, ...]
    is_number: bool

    @property
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
    columns, left_out = _fitting(_columns(shown))
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
        yield f"(not shown: {_names(left_out)})"


def _columns(rows: Sequence[JsonObject]) -> Iterator[_Column]:
    names = dict.fromkeys(name for row in rows for name in islice(row, _MOST_COLUMNS))
    used = [name for name in islice(names, _MOST_COLUMNS) if any(row.get(name) is not None for row in rows)]
    for name, label in labels(used).items():
        values = [row.get(name) for row in rows]
        yield _Column(
            _escaped(label),
            tuple("-" if value is None else _escaped(short(name, value, _CELL_CHARACTERS)) for value in values),
            all(value is None or _is_number(value) for value in values),
        )


def _fitting(columns: Iterator[_Column]) -> tuple[list[_Column], list[str]]:
    """The columns that fit beside each other, at least one, and the labels of the others."""
    kept: list[_Column] = []
    left_out: list[str] = []
    used = 1
    for column in columns:
        if kept and used + column.width + 3 > _TABLE_COLUMNS:
            left_out.append(column.label)
        else:
            kept.append(column)
            used += column.width + 3
    return kept, left_out


def _joined(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _names(labels_left_out: list[str]) -> str:
    shown = ", ".join(labels_left_out[:_NAMES_LEFT_OUT])
    more = len(labels_left_out) - _NAMES_LEFT_OUT
    return f"{shown} {and_more(more)}" if more > 0 else shown


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")


def _is_number(value: Json) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
