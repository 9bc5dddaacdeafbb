"""Events of a run for code without an event loop; as `agentmesh.client.async_events`."""

from __future__ import annotations

from collections.abc import Callable

from agentmesh.client.course import EventMessage, RunCourse
from agentmesh.client.events import RunEvent
from agentmesh.client.reading_events import read_event
from agentmesh.client.sync_stream import Call, Stream
from agentmesh.client.turns import Turns


class RunEvents(Stream[EventMessage, RunEvent]):
    """The events of one run, to be read once by one thread; the request is sent when reading begins.

    Leaving the loop early - by `break`, by an exception, by Ctrl-C - cancels the call at once, and so does dropping
    this object. To leave a loop and read on, use `with`: then the end of the block cancels.

    Raises as `ask` does where the run fails; `errors.RemoteError` where the stream ends without an answer and without
    an error.
    """

    def __init__(
        self,
        open_call: Callable[[float | None], Call[EventMessage]],
        peer: str,
        turns: Turns,
        *,
        after_sequence: int = 0,
    ) -> None:
        """As `Stream`; events up to `after_sequence` were not asked for."""
        super().__init__(open_call, peer, RunCourse(peer, after_sequence), turns)

    def _read(self, message: EventMessage) -> RunEvent:
        return read_event(message.event)
