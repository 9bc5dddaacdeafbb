"""Where commands write: rich in a terminal; in a pipe plain, stable lines without colour, boxes or wrapping.

Commands give the same things to both: lines of styled spans, trees, tables. Text that came over the network is made
visible here, once for all: no control character reaches a terminal.
"""

from __future__ import annotations

import json
import re
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TextIO, TypeAlias

from agentmesh.cli.exits import OutputClosed
from agentmesh.jsonvalues import Json

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.text import Text
    from rich.tree import Tree

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


class Output(ABC):
    """What commands write to."""

    rich: bool
    """Whether a person reads this in a terminal."""
    marks: bool
    """Whether marks and arrows beyond ASCII can be shown."""

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
    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Write rows in aligned columns."""

    @abstractmethod
    def json(self, document: Json) -> None:
        """Write one JSON document."""

    @contextmanager
    def waiting(self, what: str) -> Iterator[None]:
        """Show that something is going on; nothing in a pipe."""
        del what
        yield


def open_output(stream: TextIO | None = None) -> Output:
    """Return the output for a stream, by default stdout."""
    stream = stream or sys.stdout
    return TerminalOutput(stream) if stream.isatty() else PlainOutput(stream)


class PlainOutput(Output):
    """For pipes, files and logs."""

    rich = False
    marks = False

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._empty = True

    def line(self, *spans: Span) -> None:
        self._write(_one_line("".join(_content(span) for span in spans)).rstrip())

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

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        shown = [[_one_line(cell) for cell in row] for row in (columns, *rows)]
        widths = [max(len(row[column]) for row in shown) for column in range(len(columns))]
        for row in shown:
            self._write("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())

    def json(self, document: Json) -> None:
        self._write(_json_text(document))

    def _write(self, text: str) -> None:
        self._empty = False
        try:
            self._stream.write(text + "\n")
            self._stream.flush()  # a reader of a pipe sees each line when it is there
        except BrokenPipeError:
            raise OutputClosed from None


class TerminalOutput(Output):
    """For people."""

    rich = True

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console  # noqa: PLC0415 - 50 ms that a pipe need not wait

        self._console: Console = Console(file=stream, highlight=False, markup=False, emoji=False)
        self.marks = self._console.encoding.startswith("utf")

    def line(self, *spans: Span) -> None:
        self._print(_styled(spans))

    def heading(self, title: str, note: str = "") -> None:
        self._print("")
        self.line((title, "bold"), ("  " + note if note else "", "dim"))

    def text(self, text: str, *, markdown: bool = False) -> None:
        if not markdown or not self.marks:  # the layout draws bullets and rules
            self._print(visible(text.rstrip("\n")))
            return
        from agentmesh.cli.markdown import MarkdownAnswer  # noqa: PLC0415 - only for an answer

        self._print(MarkdownAnswer(visible(text)))

    def tree(self, nodes: Sequence[Node]) -> None:
        from rich.tree import Tree  # noqa: PLC0415

        for node in nodes:
            tree = Tree(_styled(node.line), guide_style="dim")
            _grow(tree, node.children, arrow="▶ " if self.marks else "> ")
            self._print(tree)

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        from rich.table import Table  # noqa: PLC0415

        table = Table(box=None, pad_edge=False, header_style="bold")
        for column in columns:
            table.add_column(column, overflow="fold")
        for row in rows:
            table.add_row(*(_styled([cell]) for cell in row))
        self._print(table)

    def json(self, document: Json) -> None:
        self._print(_json_text(document))

    @contextmanager
    def waiting(self, what: str) -> Iterator[None]:
        with self._console.status(_styled([(what, "dim")]), spinner="dots" if self.marks else "line"):
            yield

    def _print(self, what: RenderableType) -> None:
        from rich.text import Text  # noqa: PLC0415

        try:
            # Lines stay whole, so that a command can be copied; trees and tables are laid out.
            self._console.print(what, soft_wrap=isinstance(what, str | Text))
        except BrokenPipeError:
            raise OutputClosed from None


def _json_text(document: Json) -> str:
    """JSON escapes controls below U+0020 by itself; the others are escaped as JSON does it, too."""
    return visible(json.dumps(document, indent=2, ensure_ascii=False))


def _one_line(text: str) -> str:
    return visible(text).replace("\n", " ")


def _content(span: Span) -> str:
    return span if isinstance(span, str) else span[0]


def _styled(spans: Line) -> Text:
    from rich.text import Text  # noqa: PLC0415

    text = Text()
    for span in spans:
        text.append(_one_line(_content(span)), "" if isinstance(span, str) else span[1])
    return text


def _walked(nodes: Sequence[Node], depth: int = 0) -> Iterator[tuple[Node, int]]:
    for node in nodes:
        yield node, depth
        yield from _walked(node.children, depth + 1)


def _grow(tree: Tree, nodes: Sequence[Node], arrow: str) -> None:
    for node in nodes:
        _grow(tree.add(_styled([(arrow, "cyan"), *node.line])), node.children, arrow)
