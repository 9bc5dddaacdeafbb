"""Events of a run for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from agentmesh.client.async_stream import AsyncStream, Call
from agentmesh.client.course import EventMessage, RunCourse
from agentmesh.client.events import RunEvent
from agentmesh.client.reading_events import read_event
from agentmesh.client.turns import Turns
from agentmesh.jsonvalues import OFF_LOOP_BYTES


class AsyncRunEvents(AsyncStream[EventMessage, RunEvent]):
    """The events of one run, to be read once; the request is sent when reading begins.

    Leaving the loop early - by `break`, by an exception, with the task - cancels the call at once, and so does
    dropping this object. To leave a loop and read on, use `async with`: then the end of the block cancels.

        async for event in mesh.ask_stream("..."):
            if isinstance(event, Finished):
                print(event.answer.text)

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
        """As `AsyncStream`; events up to `after_sequence` were not asked for of `peer`, as errors call the server."""
        super().__init__(open_call, RunCourse(peer, after_sequence), turns)

    async def _read(self, message: EventMessage) -> RunEvent:
        """A large one in a thread, as in `AsyncMeshClient.ask`."""
        if message.event.ByteSize() > OFF_LOOP_BYTES:
            return await asyncio.to_thread(read_event, message.event)
        return read_event(message.event)
