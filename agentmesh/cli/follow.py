"""Follows a run to its answer, and shows meanwhile what happens: drawn in a terminal, as lines for programs."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum, auto

from agentmesh.cli.draw_run import RunDrawing
from agentmesh.cli.output import Output, open_output, visible
from agentmesh.cli.run_view import RunView
from agentmesh.client import Answer, RunEvents
from agentmesh.client.wire_json import message_json


class Form(Enum):
    """What goes to standard output."""

    TEXT = auto()
    """For people; drawn while it goes on, if that is a terminal."""
    JSON = auto()
    """One document at the end."""
    EVENTS = auto()
    """One document in a line for each event."""


def follow(
    events: RunEvents, form: Form, *, on_the_way: str, on_leaving: Callable[[str], str] | None = None
) -> Answer | None:
    """Read the events to their end and return the answer; None if it is not among them.

    Args:
        events: Of one run.
        form: How to show them.
        on_the_way: What is going on, for people who see nothing else of it.
        on_leaving: Gives what is said where Ctrl-C ends the reading, for the run's id.
    """
    view = RunView()
    output = open_output()
    try:
        with _shown(output, form, on_the_way) as drawing:
            for event in events:
                view = view.after(event)
                if form is Form.EVENTS:
                    output.json_line(message_json(event.wire))
                elif drawing is not None:
                    drawing.show(view)
    except KeyboardInterrupt:
        if on_leaving is not None and view.run_id:
            sys.stderr.write(visible(on_leaving(view.run_id)) + "\n")
        raise
    return view.answer


@contextmanager
def _shown(output: Output, form: Form, on_the_way: str) -> Iterator[RunDrawing | None]:
    if form is Form.TEXT and output.animated:
        drawing = RunDrawing(marks=output.marks, clock=time.monotonic)
        with output.drawing(drawing.picture):
            yield drawing
    else:
        with open_output(sys.stderr).waiting(on_the_way):
            yield None
