"""The waterfall of a trace: the tree of its spans, and for each when it was, as a bar on one scale for all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final

from rich.cells import cell_len, set_cell_size

from agentmesh.cli.output import Line, Span, content
from agentmesh.cli.show_answer import duration
from agentmesh.cli.trace_view import Moment, SpanView, views_of
from agentmesh.traces.model import NANOSECONDS, Trace

_COLOURS: Final = ("cyan", "magenta", "blue", "green", "bright_cyan", "bright_magenta", "bright_blue")
"""Of services, by their first span; red and yellow say how something went."""
_PACKAGE: Final = "agentmesh.v1."
_TIME_COLUMNS: Final = 8
_LEAST_BAR: Final = 12
_GREATEST_BAR: Final = 60
_COLUMNS_FOR_BARS: Final = 56
"""In a narrower terminal the tree has the room."""
_PLAIN_BAR: Final = 24
_DEEPEST_INDENT: Final = 16
"""Levels; deeper spans stand there as well."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the waterfall, before it has a width."""

    guides: str
    words: tuple[Span, ...]
    start_ns: int
    end_ns: int | None
    """None for what took no time."""
    colour: str


@dataclass(frozen=True, slots=True)
class _Signs:
    down: str
    branch: str
    last: str
    gap: str
    called: str
    failed: str
    moment: str
    between: str


_MARKS: Final = _Signs("│ ", "├ ", "└ ", "  ", "→ ", "✗ ", "◆ ", " · ")
_ASCII: Final = _Signs("| ", "|-", "`-", "  ", "> ", "! ", "* ", ", ")
_PLAIN: Final = _Signs("  ", "  ", "  ", "  ", "-> ", "! ", "* ", ", ")


class Scale:
    """Turns times into cells of a bar."""

    def __init__(self, trace: Trace, cells: int, *, marks: bool) -> None:
        self._start_ns = trace.start_ns
        self._length_ns = max(trace.end_ns - trace.start_ns, 1)
        self._cells = cells
        self._marks = marks

    def bar(self, start_ns: int, end_ns: int) -> str:
        """A bar of at least half a cell; with marks its ends are exact to half a cell, else to one."""
        parts = 2 if self._marks else 1
        most = self._cells * parts
        first = min(self._part(start_ns, most), most - 1)
        last = max(self._part(end_ns, most), first + 1)
        if not self._marks:
            return f"{'.' * first}{'#' * (last - first)}".ljust(self._cells, ".")
        lit = [first <= half < last for half in range(most)]
        return "".join(" ▐▌█"[2 * lit[cell] + lit[cell + 1]] for cell in range(0, most, 2))

    def moment(self, at_ns: int) -> str:
        cell = min(self._part(at_ns, self._cells), self._cells - 1)
        fill, sign = (" ", "◆") if self._marks else (".", "*")
        return f"{fill * cell}{sign}".ljust(self._cells, fill)

    def _part(self, at_ns: int, parts: int) -> int:
        return min(max(round((at_ns - self._start_ns) * parts / self._length_ns), 0), parts)


def waterfall(trace: Trace, columns: int, *, marks: bool) -> Iterator[Line]:
    """Give lines for a terminal of so many columns: tree, bars, durations."""
    rows = list(_Rows(trace, _MARKS if marks else _ASCII))
    needed = max((_width(row) for row in rows), default=0)
    room = columns - _TIME_COLUMNS - 3  # the last column stays free
    bar = 0 if columns < _COLUMNS_FOR_BARS else min(max(room - needed, _LEAST_BAR, room // 4), _GREATEST_BAR)
    left = min(needed, room - bar)
    scale = Scale(trace, bar, marks=marks) if bar else None
    for row in rows:
        line: list[Span] = [*_fitted([(row.guides, "dim"), *row.words], left, marks=marks), " "]
        if scale is not None:
            drawn = scale.moment(row.start_ns) if row.end_ns is None else scale.bar(row.start_ns, row.end_ns)
            line += [(drawn, row.colour), " "]
        if row.end_ns is not None:
            line.append(duration(_seconds(row.start_ns, row.end_ns)).rjust(_TIME_COLUMNS))
        yield line


def plain_waterfall(trace: Trace) -> Iterator[Line]:
    """Give lines for a pipe: begin, duration, bar, then the tree; nothing is cut."""
    scale = Scale(trace, _PLAIN_BAR, marks=False)
    yield ["begin".rjust(_TIME_COLUMNS), "duration".rjust(_TIME_COLUMNS + 2)]
    for row in _Rows(trace, _PLAIN):
        begin = duration(_seconds(trace.start_ns, row.start_ns)).rjust(_TIME_COLUMNS)
        if row.end_ns is None:
            took, drawn = "", scale.moment(row.start_ns)
        else:
            took, drawn = duration(_seconds(row.start_ns, row.end_ns)), scale.bar(row.start_ns, row.end_ns)
        yield [begin, took.rjust(_TIME_COLUMNS + 2), f"  {drawn}  ", row.guides, *row.words]


class _Rows:
    """Goes down the tree; what happened within a span stands among its children, by its time."""

    def __init__(self, trace: Trace, signs: _Signs) -> None:
        self._trace = trace
        self._signs = signs
        self._colours = {name: _COLOURS[index % len(_COLOURS)] for index, name in enumerate(trace.services)}
        self._path: list[_Open] = []

    def __iter__(self) -> Iterator[Row]:
        for view in views_of(self._trace):
            while len(self._path) > view.depth:
                yield from self._left()
            if self._path:
                before = view.span.start_ns
                yield from (self._moment(one, self._signs.down) for one in self._path[-1].moments_until(before))
            yield self._span(view)
            self._path.append(_Open(goes_on=not view.is_last, moments=list(view.moments)))
        while self._path:
            yield from self._left()

    def _left(self) -> Iterator[Row]:
        """The span at the end of the path has no more children."""
        yield from (self._moment(one, self._signs.gap) for one in self._path[-1].moments)
        self._path.pop()

    def _span(self, view: SpanView) -> Row:
        own = "" if view.depth == 0 else self._signs.last if view.is_last else self._signs.branch
        span, colour = view.span, self._colours[view.span.service]
        return Row(
            self._guides() + own,
            tuple(_words(view, colour, self._signs)),
            span.start_ns,
            max(span.start_ns, span.end_ns),
            "red" if span.failed else colour,
        )

    def _moment(self, moment: Moment, own: str) -> Row:
        words = ((self._signs.moment, "yellow"), *moment.words)
        return Row(self._guides() + own, words, moment.at_ns, None, "yellow")

    def _guides(self) -> str:
        above = self._path[1 : _DEEPEST_INDENT + 1]  # a root hangs on nothing
        return "".join(self._signs.down if one.goes_on else self._signs.gap for one in above)


@dataclass(slots=True)
class _Open:
    """A span whose children come."""

    goes_on: bool
    """Whether a sibling follows."""
    moments: list[Moment]
    """Those that are still to be told."""

    def moments_until(self, at_ns: int) -> list[Moment]:
        told = [moment for moment in self.moments if moment.at_ns <= at_ns]
        self.moments = self.moments[len(told) :]
        return told


def _words(view: SpanView, colour: str, signs: _Signs) -> Iterator[Span]:
    if view.span.failed:
        yield signs.failed, "bold red"
    if view.service:
        yield f"{view.service}: ", f"bold {colour}"
    if view.is_call:
        yield signs.called, "dim"
    yield view.label if signs is _PLAIN else _short(view.label)
    if view.notes:
        yield "  "
        yield from _joined(view.notes, signs.between)


def _short(label: str) -> str:
    """Without the package, as `Agent/Execute`: it says nothing where all are ours."""
    return label.removeprefix(_PACKAGE)


def _joined(words: Iterable[Span], between: str) -> Sequence[Span]:
    return list(chain.from_iterable(((between, "dim"), word) for word in words))[1:]


def _width(row: Row) -> int:
    return cell_len(row.guides) + sum(cell_len(content(word)) for word in row.words)


def _fitted(words: Sequence[Span], cells: int, *, marks: bool) -> Iterator[Span]:
    """Exactly so many cells: cut, or filled."""
    room = cells
    whole = sum(cell_len(content(word)) for word in words) <= cells
    for word in words:
        text, style = (word, "") if isinstance(word, str) else word
        if not whole and cell_len(text) >= room:
            yield set_cell_size(text, max(room - 1, 0)) + ("…" if marks else "~"), style
            return
        room -= cell_len(text)
        yield text, style
    yield " " * room


def _seconds(start_ns: int, end_ns: int) -> float:
    return max(end_ns - start_ns, 0) / NANOSECONDS
