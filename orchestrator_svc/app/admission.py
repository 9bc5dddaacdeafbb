"""Admission: how many questions are worked on at the same time, and for how long one more waits for its turn.

More than the machine can do makes every answer late and none in time. So a bounded number is inside, as many at most
wait for a short time, in the order in which they came, and whoever comes on top of that is refused at once.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from agentmesh.deadline import HOP_MARGIN_SECONDS, Deadline
from agentmesh.errors import Overloaded
from orchestrator_svc.app import metrics

LEAST_RETRY_SECONDS: Final = 0.1
"""A caller is never told to come back sooner."""


class Admission:
    """Used in one event loop. Whoever has entered leaves once, from any task."""

    def __init__(
        self, max_concurrent: int, wait_seconds: float, *, jitter: Callable[[], float] = random.random
    ) -> None:
        """At most `max_concurrent` are inside; `jitter` gives numbers from 0 to 1."""
        self._max_concurrent = max_concurrent
        self._wait_seconds = wait_seconds
        self._jitter = jitter
        self._inside = 0
        # A place goes from the one that leaves straight to the first that waits: while somebody waits none is free, so
        # a newcomer cannot overtake. A dict, because those that give up leave from the middle.
        self._waiting: dict[asyncio.Future[bool], None] = {}

    @property
    def inside(self) -> int:
        """Places that are taken."""
        return self._inside

    @property
    def waiting(self) -> int:
        """How many wait for a place; never more than there are places."""
        return len(self._waiting)

    async def enter(self, deadline: Deadline) -> None:
        """Take a place: at once if one is free, else the first that is left within the time to wait.

        Raises:
            Overloaded: None was left in time, or before the deadline less the margin of a hop; at once if as many wait
                already as there are places. It says when to try again: after one to two times the time to wait (at
                least 0.1 s), so that those who were refused together do not come back together.
        """
        if self._inside < self._max_concurrent:
            self._inside += 1
            metrics.ask_entered()
            return
        seconds = min(self._wait_seconds, deadline.remaining() - HOP_MARGIN_SECONDS)
        if seconds <= 0 or len(self._waiting) >= self._max_concurrent or not await self._turn_within(seconds):
            metrics.ask_shed()
            raise self._overloaded()

    def leave(self) -> None:
        """Give the place to the first that waits, or free it.

        Raises:
            RuntimeError: Nobody is inside.
        """
        if not self._inside:
            raise RuntimeError("nobody is inside")
        for waiter in self._waiting:
            # One whose task was cancelled is here until that task runs again; it waits for nothing any more.
            if not waiter.done():
                del self._waiting[waiter]
                waiter.set_result(True)
                return
        self._inside -= 1
        metrics.ask_left()

    @asynccontextmanager
    async def place(self, deadline: Deadline) -> AsyncIterator[None]:
        """Enter, and leave at the end."""
        await self.enter(deadline)
        try:
            yield
        finally:
            self.leave()

    async def _turn_within(self, seconds: float) -> bool:
        """Whether a place was given to this caller."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[bool] = loop.create_future()
        self._waiting[waiter] = None
        # Not asyncio.timeout: it would take the place back that was given in the same turn of the loop.
        timer = loop.call_later(seconds, self._give_up, waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            self._waiting.pop(waiter, None)
            if not waiter.cancelled() and waiter.result():
                self.leave()  # the place was given, and the caller was cancelled before it could take it
            raise
        finally:
            timer.cancel()

    def _give_up(self, waiter: asyncio.Future[bool]) -> None:
        if not waiter.done():
            del self._waiting[waiter]
            waiter.set_result(False)

    def _overloaded(self) -> Overloaded:
        seconds = max(LEAST_RETRY_SECONDS, self._wait_seconds) * (1 + self._jitter())
        return Overloaded(
            f"{self._max_concurrent} questions are being answered already, which is as many as this server takes",
            retry_after_seconds=seconds,
        )
