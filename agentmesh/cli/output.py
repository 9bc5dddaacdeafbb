"""Where commands write: rich in a terminal; in a pipe plain, stable lines without colour, boxes or wrapping.

Commands give the same things to both: lines of styled spans, trees, tables. Text that came over the network is made
visible here, once for all: no control character reaches a terminal.
"""

from __future__ import annotations

import json
import re
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, TextIO, TypeAlias

from agentmesh.cli.exits import OutputClosed
from agentmesh.jsonvalues import Json

Span: TypeAlias = "str | tuple[str, str]"
"""Text, or text and the name of its style (rich's)."""
Line: TypeAlias = "Sequence[Span]"

# C0 but tab and newline, DEL, C1, line separators, and what reorders text (Trojan Source).
_INVISIBLE: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def visible(text: str) -> str:
    """Return the text with every control character and every half character written as an escape."""
    return _INVISIBLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


@dataclass(frozen=True, slots=True)
class Node:
    """A line with lines that hang on it."""

    line: Line
    children: tuple[Node, ...] = ()


@dataclass(frozen=True, slots=True)
class Picture:
    """What is seen while something goes on: lines, each cut at the width, and below them the end of a text."""

    lines: Sequence[Line]
    text: str = ""
    """Markdown that is being written."""


class Output(ABC):
    """What commands write to."""

    rich: bool
    """Whether a person reads this in a terminal."""
    marks: bool
    """Whether marks and arrows beyond ASCII can be shown."""
    animated: bool
    """Whether what was drawn can be drawn over."""
    columns: int
    """Width of the terminal; 0 where lines have any length."""

    @abstractmethod
    def line(self, *spans: Span) -> None:
        """Write one line."""

    @abstractmethod
    def heading(self, title: str, note: str = "") -> None:
        """Begin a part."""

    @abstractmethod
    def text(self, text: str, *, markdown: bool = False) -> None:
        """Write text of several lines; `markdown` allows it to be laid out as such."""

    @abstractmethod
    def tree(self, nodes: Sequence[Node]) -> None:
        """Write nodes below each other, children indented."""

    @abstractmethod
    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]], *, cut: str = "") -> None:
        """Write rows in aligned columns; a terminal may cut the column `cut` to keep each row in one line."""

    @abstractmethod
    def json(self, document: Json) -> None:
        """Write one JSON document."""

    @abstractmethod
    def json_line(self, document: Json) -> None:
        """Write one JSON document in one line."""

    @contextmanager
    def waiting(self, what: str) -> Iterator[None]:
        """Show that something is going on; nothing in a pipe."""
        del what
        yield

    @contextmanager
    def drawing(self, picture: Callable[[int, int], Picture]) -> Iterator[None]:
        """Draw what `picture` gives for so many rows and columns, again and again, from another thread.

        Nothing where it cannot be drawn over. What was drawn last stays only if the block raises.
        """
        del picture
        yield


def open_output(stream: TextIO | None = None) -> Output:
    """Return the output for a stream, by default stdout."""
    stream = stream or sys.stdout
    if not stream.isatty():
        return PlainOutput(stream)
    from agentmesh.cli.terminal_output import TerminalOutput  # noqa: PLC0415 - 50 ms that a pipe need not wait

    return TerminalOutput(stream)


class PlainOutput(Output):
    """For pipes, files and logs."""

    rich = False
    marks = False
    animated = False
    columns = 0

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._empty = True

    def line(self, *spans: Span) -> None:
        self._write(one_line("".join(content(span) for span in spans)).rstrip())

    def heading(self, title: str, note: str = "") -> None:
        if not self._empty:
            self.line()
        self.line(f"{title}: {note}" if note else f"{title}:")

    def text(self, text: str, *, markdown: bool = False) -> None:  # noqa: ARG002 - written as it is
        self._write(visible(text.rstrip("\n")))

    def tree(self, nodes: Sequence[Node]) -> None:
        for node, depth in _walked(nodes):
            arrow = "-> " if depth else ""
            self.line("  " * (depth + 1), arrow, *node.line)

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]], *, cut: str = "") -> None:  # noqa: ARG002
        shown = [[one_line(cell) for cell in row] for row in (columns, *rows)]
        widths = [max(len(row[column]) for row in shown) for column in range(len(columns))]
        for row in shown:
            self._write("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())

    def json(self, document: Json) -> None:
        self._write(json_text(document))

    def json_line(self, document: Json) -> None:
        self._write(json_text(document, indent=None))

    def _write(self, text: str) -> None:
        self._empty = False
        try:
            self._stream.write(text + "\n")
            self._stream.flush()  # a reader of a pipe sees each line when it is there
        except BrokenPipeError:
            raise OutputClosed from None


def json_text(document: Json, *, indent: int | None = 2) -> str:
    """JSON escapes controls below U+0020 by itself; the others are escaped as JSON does it, too."""
    return visible(json.dumps(document, indent=indent, ensure_ascii=False))


def one_line(text: str) -> str:
    """As `visible`, with line ends as spaces."""
    return visible(text).replace("\n", " ")


def content(span: Span) -> str:
    return span if isinstance(span, str) else span[0]


def _walked(nodes: Sequence[Node], depth: int = 0) -> Iterator[tuple[Node, int]]:
    for node in nodes:
        yield node, depth
        yield from _walked(node.children, depth + 1)
