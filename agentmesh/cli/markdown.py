"""An answer in Markdown, laid out for a terminal.

As rich does it, but for two things: a link shows where it leads, and a table is never squeezed. Rich narrows every
column until all fit and cuts what does not; here the first columns stay whole, and a note names those without room.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.markdown import Markdown, TableElement
from rich.table import Table
from rich.text import Text

_WHOLE_CHARACTERS: Final = 30
"""A column whose cells are at most so wide is never broken; of wider ones it is the least that they get."""
_GAP: Final = 2


class MarkdownAnswer(Markdown):
    """Renders Markdown."""

    def __init__(self, text: str) -> None:
        super().__init__(text, hyperlinks=False)


class _FittedTable(TableElement):
    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Lay it out in the width that there is."""
        del console
        heads = self._heads()
        rows = self._rows()
        needed = [_needed([head, *(row[place] for row in rows)]) for place, head in enumerate(heads)]
        count = _fitting(needed, options.max_width)
        table = Table(
            box=box.SIMPLE, show_edge=False, pad_edge=False, collapse_padding=True, style="markdown.table.border"
        )
        for head, width in zip(heads[:count], needed, strict=False):
            # One column alone may be wider than the terminal; then it is folded, not cut.
            table.add_column(head, min_width=min(width, options.max_width), overflow="fold")
        for row in rows:
            table.add_row(*row[:count])
        yield table
        if count < len(heads):
            names = ", ".join(head.plain for head in heads[count:])
            yield Text(f"(no room in this width for: {names})", style="dim")

    def _heads(self) -> list[Text]:
        cells = self.header.row.cells if self.header is not None and self.header.row is not None else []
        heads = [cell.content.copy() for cell in cells]
        for head in heads:
            head.stylize("markdown.table.header")
        return heads

    def _rows(self) -> list[list[Text]]:
        return [[cell.content for cell in row.cells] for row in self.body.rows] if self.body is not None else []


def _needed(cells: Sequence[Text]) -> int:
    widest = max(cell_len(cell.plain) for cell in cells)
    return min(widest, _WHOLE_CHARACTERS)


def _fitting(needed: Sequence[int], width: int) -> int:
    """How many of the first columns fit beside each other; at least one."""
    used = -_GAP
    for count, each in enumerate(needed):
        used += each + _GAP
        if used > width and count > 0:
            return count
    return len(needed)


MarkdownAnswer.elements = {**Markdown.elements, "table_open": _FittedTable}
