"""Threads for blocking functions: bounded, with the caller's context, and left behind when the caller goes.

Not concurrent.futures: it joins its threads when the process ends, so one stuck call would keep the process alive.
These threads are daemons.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from contextvars import copy_context
from typing import Final, TypeVar

T = TypeVar("T")

DEFAULT_THREADS: Final = 32


class Threads:
    """Runs functions in at most `limit` threads at a time, left-behind ones included; further calls wait their turn."""

    def __init__(self, limit: int = DEFAULT_THREADS) -> None:
        self._free = asyncio.Semaphore(limit)

    async def run(self, function: Callable[[], T], begun: Callable[[], None]) -> T:
        """Return what the function returns, or raise what it raises; context variables are those of the caller.

        `begun` is called in the event loop as soon as the function has its thread: then cancelling comes too late.
        Cancelling the caller returns at once; the thread goes on by itself, and its outcome is dropped.
        """
        await self._free.acquire()
        loop = asyncio.get_running_loop()
        outcome: asyncio.Future[T] = loop.create_future()
        context = copy_context()

        def settle(result: T | None, error: BaseException | None) -> None:
            self._free.release()
            if outcome.done():  # cancelled
                return
            if error is not None:
                outcome.set_exception(error)
            else:
                outcome.set_result(result)  # type: ignore[arg-type] # without an error there is a result

        def work() -> None:
            result: T | None = None
            error: BaseException | None = None
            try:
                result = context.run(function)
            except StopIteration as stop:  # a future cannot hold it
                error = RuntimeError("the function raised StopIteration")
                error.__cause__ = stop
            except BaseException as raised:  # noqa: BLE001 - handed to the caller
                error = raised
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(settle, result, error)

        try:
            threading.Thread(target=work, name="skill", daemon=True).start()
        except RuntimeError:  # the system has no more threads
            self._free.release()
            raise
        begun()
        return await outcome
