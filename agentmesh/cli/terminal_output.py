"""Output for people: what `agentmesh.cli.output` promises, through rich."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from agentmesh.cli.exits import OutputClosed
from agentmesh.cli.output import Line, Node, Output, Picture, Span, content, json_text, one_line, visible
from agentmesh.jsonvalues import Json


class TerminalOutput(Output):
    """For people."""

    rich = True

    def __init__(self, stream: TextIO) -> None:
        self._console: Console = Console(file=stream, highlight=False, markup=False, emoji=False)
        self.marks = self._console.encoding.startswith("utf")
        self.animated = not self._console.is_dumb_terminal
        self.columns = self._console.width

    def line(self, *spans: Span) -> None:
        self._print(styled(spans))

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
        for node in nodes:
            tree = Tree(styled(node.line), guide_style="dim")
            _grow(tree, node.children, arrow="▶ " if self.marks else "> ")
            self._print(tree)

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]], *, cut: str = "") -> None:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for column in columns:
            table.add_column(column, overflow="fold", no_wrap=bool(cut) and column != cut)  # others keep their width
        for row in rows:
            cells = [styled([cell]) for cell in row]
            for cell, column in zip(cells, columns, strict=True):
                if column == cut:
                    cell.no_wrap, cell.overflow = True, "ellipsis" if self.marks else "crop"
            table.add_row(*cells)
        self._print(table)

    def json(self, document: Json) -> None:
        self._print(json_text(document))

    def json_line(self, document: Json) -> None:
        self._print(json_text(document, indent=None))

    @contextmanager
    def waiting(self, what: str) -> Iterator[None]:
        with self._console.status(styled([(what, "dim")]), spinner="dots" if self.marks else "line"):
            yield

    @contextmanager
    def drawing(self, picture: Callable[[int, int], Picture]) -> Iterator[None]:
        if not self.animated:
            yield
            return
        from agentmesh.cli.canvas import drawn  # noqa: PLC0415

        with drawn(self._console, picture, marks=self.marks):
            yield

    def _print(self, what: RenderableType) -> None:
        try:
            # Lines stay whole, so that a command can be copied; trees and tables are laid out.
            self._console.print(what, soft_wrap=isinstance(what, str | Text))
        except BrokenPipeError:
            raise OutputClosed from None


def styled(spans: Line) -> Text:
    """Return rich's form of a line, made visible."""
    text = Text()
    for span in spans:
        text.append(one_line(content(span)), "" if isinstance(span, str) else span[1])
    return text


def _grow(tree: Tree, nodes: Sequence[Node], arrow: str) -> None:
    for node in nodes:
        _grow(tree.add(styled([(arrow, "cyan"), *node.line])), node.children, arrow)
