"""The part of a terminal that is drawn again and again while something goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.segment import Segment
from rich.text import Text

from agentmesh.cli.markdown import MarkdownAnswer
from agentmesh.cli.output import Picture, visible
from agentmesh.cli.terminal_output import styled

_DRAWINGS_PER_SECOND: Final = 10


@contextmanager
def drawn(console: Console, picture: Callable[[int, int], Picture], *, marks: bool) -> Iterator[None]:
    """Draw from a thread as long as the block runs; what was drawn last stays only if the block raises.

    Whoever reads events in the block never waits for the terminal, so a terminal that stands still stalls no stream.
    """
    live = Live(
        _Canvas(picture, marks=marks),
        console=console,
        refresh_per_second=_DRAWINGS_PER_SECOND,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )
    with live:
        try:
            yield
        except BaseException:
            live.transient = False
            raise


class _Canvas:
    """Fits a picture into the terminal as it is now; a text that is too long shows its end."""

    def __init__(self, picture: Callable[[int, int], Picture], *, marks: bool) -> None:
        self._picture = picture
        self._marks = marks
        self._laid_out: tuple[str, int, list[list[Segment]]] = ("", 0, [])

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Lay it out in the rows that there are; the last stays free for the cursor."""
        rows = max(console.height - 1, 1)
        picture = self._picture(rows, options.max_width)
        for line in picture.lines[:rows]:
            text = styled(line)
            text.truncate(options.max_width, overflow="ellipsis" if self._marks else "crop")
            yield text
        room = rows - len(picture.lines)
        if picture.text and room > 0:
            for written in self._text(picture.text, console, options)[-room:]:
                yield from written
                yield Segment.line()

    def _text(self, text: str, console: Console, options: ConsoleOptions) -> list[list[Segment]]:
        """Laid out once for each piece that comes, not for each drawing."""
        if self._laid_out[:2] != (text, options.max_width):
            shown = visible(text)
            whole = MarkdownAnswer(shown) if self._marks else Text(shown)
            self._laid_out = (text, options.max_width, console.render_lines(whole, options, pad=False))
        return self._laid_out[2]
