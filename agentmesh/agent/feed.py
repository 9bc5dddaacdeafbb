"""How far a skill has come: from whichever thread says so, to those who watch the call."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from agentmesh.transport.details import cut
from agentmesh.v1 import agent_service_pb2

MAX_MESSAGE_BYTES: Final = 1024
"""Of the text that comes with a progress; a longer one is cut."""


class Watch:
    """The progress of one call for one reader: an iterator that ends with the call.

    Only the latest that was not read is kept, so that a skill may go as fast as it likes.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._lock = threading.Lock()
        self._latest: agent_service_pb2.Progress | None = None
        self._changed = asyncio.Event()
        self._ended = False

    def put(self, progress: agent_service_pb2.Progress) -> None:
        """Take the place of what was not read yet. From any thread."""
        with self._lock:
            is_told = self._latest is not None
            self._latest = progress
        if is_told:
            return
        if threading.get_ident() == self._thread:
            self._changed.set()
            return
        with suppress(RuntimeError):  # the loop is closed: nobody reads any more
            self._loop.call_soon_threadsafe(self._changed.set)

    def end(self) -> None:
        """Let the reader have the latest, and then end. From the thread of the event loop."""
        self._ended = True
        self._changed.set()

    def __aiter__(self) -> Watch:
        return self

    async def __anext__(self) -> agent_service_pb2.Progress:
        while True:
            with self._lock:
                latest, self._latest = self._latest, None
            if latest is not None:
                return latest
            if self._ended:
                raise StopAsyncIteration
            self._changed.clear()
            await self._changed.wait()


class Feed:
    """The progress of one call for everybody who watches it; mostly nobody does, and then posting does nothing."""

    def __init__(self) -> None:
        self._watches: tuple[Watch, ...] = ()  # replaced as a whole: other threads read it

    def post(self, fraction: float | None, message: str) -> None:
        """Hand it to every watch. From any thread."""
        watches = self._watches
        if watches:
            share = None if fraction is None else float(fraction)
            progress = agent_service_pb2.Progress(fraction=share, message=cut(str(message), MAX_MESSAGE_BYTES))
            for watch in watches:
                watch.put(progress)

    @contextmanager
    def watched(self) -> Iterator[Watch]:
        """Watch from now on, and until the block is left. In the event loop."""
        watch = Watch()
        self._watches = (*self._watches, watch)
        try:
            yield watch
        finally:
            self._watches = tuple(other for other in self._watches if other is not watch)
