"""Events of a run for asyncio. Whoever stops reading ends the call: nobody works for a reader that has gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from types import AsyncGeneratorType, TracebackType
from typing import Protocol, Self

from agentmesh.client.course import Course, EventMessage
from agentmesh.client.events import RunEvent
from agentmesh.client.reading_events import read_event
from agentmesh.errors import MeshError
from agentmesh.jsonvalues import OFF_LOOP_BYTES
from agentmesh.v1 import run_event_pb2


class _Call(Protocol):
    def __aiter__(self) -> AsyncIterator[EventMessage]: ...

    def cancel(self) -> bool: ...


class AsyncRunEvents(AsyncIterator[RunEvent]):
    """The events of one run, to be read once; the request is sent when reading begins.

    Leaving the loop early - by `break`, by an exception, with the task - cancels the call at once, and so does
    dropping this object. To leave a loop and read on, use `async with`: then the end of the block cancels.

        async for event in mesh.ask_stream("..."):
            if isinstance(event, Finished):
                print(event.answer.text)

    Raises as `ask` does where the run fails; `errors.RemoteError` where the stream ends without an answer and without
    an error.

    Args:
        open_call: Sends the request.
        peer: What texts of errors call the server.
        after_sequence: Events up to this one were not asked for.
    """

    def __init__(self, open_call: Callable[[], _Call], peer: str, *, after_sequence: int = 0) -> None:
        self._open_call = open_call
        self._course = Course(peer, after_sequence)
        self._in_block = False
        self._call: _Call | None = None
        self._messages: AsyncIterator[EventMessage] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def __aiter__(self) -> AsyncIterator[RunEvent]:
        return self if self._in_block else _Loop(self)

    async def __anext__(self) -> RunEvent:
        self._course.check_not_left()
        if self._course.over:
            raise StopAsyncIteration
        try:
            message = await anext(self._begun())
            return self._course.saw(await _read(message.event))
        except StopAsyncIteration:
            self._course.end()
            raise
        except MeshError:
            self._course.over = True
            raise
        except BaseException as error:
            if isinstance(error, asyncio.CancelledError) and not _is_cancelled(asyncio.current_task()):
                self._course.check_not_left()  # another task has called `cancel`: that cancels the call, not this task
            self.cancel()
            raise

    async def __aenter__(self) -> Self:
        self._in_block = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Cancel the call, if it has not ended."""
        self.cancel()
        if isinstance(self._messages, AsyncGeneratorType) and not self._messages.ag_running:
            await self._messages.aclose()

    def cancel(self) -> None:
        """As `aclose`, without waiting; from any task or thread. Whoever reads gets `errors.RunCancelled`."""
        self._course.leave()
        if self._call is None or self._loop is None:
            return
        call, self._call = self._call, None
        with suppress(RuntimeError):  # a loop that is closed has no calls
            self._loop.call_soon_threadsafe(call.cancel)

    def __del__(self) -> None:
        self.cancel()

    def _begun(self) -> AsyncIterator[EventMessage]:
        if self._messages is None:
            self._loop = asyncio.get_running_loop()
            self._call = self._open_call()
            self._messages = aiter(self._call)
        return self._messages


class _Loop(AsyncIterator[RunEvent]):
    """Lives as long as one `async for`: an iterator is dropped the moment that its loop is left, however that is."""

    def __init__(self, events: AsyncRunEvents) -> None:
        self._events = events

    async def __anext__(self) -> RunEvent:
        return await anext(self._events)

    def __del__(self) -> None:
        self._events.cancel()


def _is_cancelled(task: asyncio.Task[object] | None) -> bool:
    return task is not None and task.cancelling() > 0


async def _read(message: run_event_pb2.RunEvent) -> RunEvent:
    """A large one in a thread, as in `AsyncMeshClient.ask`."""
    if message.ByteSize() > OFF_LOOP_BYTES:
        return await asyncio.to_thread(read_event, message)
    return read_event(message)
