"""Streams for asyncio. Whoever stops reading ends the call: nobody works for a reader that has gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from types import AsyncGeneratorType, TracebackType
from typing import Generic, Protocol, Self, TypeVar

from agentmesh.client.course import Course
from agentmesh.client.turns import Turns
from agentmesh.errors import MeshError

M = TypeVar("M")
M_co = TypeVar("M_co", covariant=True)
E = TypeVar("E")


class Call(Protocol[M_co]):
    """A call under way whose messages come one after the other."""

    def __aiter__(self) -> AsyncIterator[M_co]: ...

    def cancel(self) -> bool: ...


class AsyncStream(AsyncIterator[E], Generic[M, E]):
    """What one call gives, to be read once; the request is sent when reading begins.

    Leaving the loop early - by `break`, by an exception, with the task - cancels the call at once, and so does
    dropping this object. To leave a loop and read on, use `async with`: then the end of the block cancels.
    """

    def __init__(self, open_call: Callable[[float | None], Call[M]], course: Course[E], turns: Turns) -> None:
        """Prepare; nothing is sent yet.

        Args:
            open_call: Sends the request, with this timeout.
            course: How the stream goes, and may end.
            turns: Whether another call is made where one ends before anything came.
        """
        self._open_call = open_call
        self._course = course
        self._turns = turns
        self._in_block = False
        self._call: Call[M] | None = None
        self._messages: AsyncIterator[M] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def _read(self, message: M) -> E | None:
        """Return what a message says; None if that is for a later one to say."""
        raise NotImplementedError

    def __aiter__(self) -> AsyncIterator[E]:
        return self if self._in_block else _Loop(self)

    async def __anext__(self) -> E:
        self._course.check_not_left()
        if self._course.over:
            raise StopAsyncIteration
        try:
            while True:
                item = await self._read(await self._next())
                if item is not None:
                    return self._course.saw(item)
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

    async def _next(self) -> M:
        while True:
            try:
                return await anext(self._begun())
            except MeshError as error:
                pause = None if self._course.begun else self._turns.pause_after(error)
                if pause is None:
                    raise
            self._messages = self._call = None
            await asyncio.sleep(pause)
            self._course.check_not_left()

    def _begun(self) -> AsyncIterator[M]:
        if self._messages is None:
            self._loop = asyncio.get_running_loop()
            self._call = self._open_call(self._turns.timeout())
            self._messages = aiter(self._call)
        return self._messages


class _Loop(AsyncIterator[E]):
    """Lives as long as one `async for`: an iterator is dropped the moment that its loop is left, however that is."""

    def __init__(self, stream: AsyncStream[M, E]) -> None:
        self._stream = stream

    async def __anext__(self) -> E:
        return await anext(self._stream)

    def __del__(self) -> None:
        self._stream.cancel()


def _is_cancelled(task: asyncio.Task[object] | None) -> bool:
    return task is not None and task.cancelling() > 0
