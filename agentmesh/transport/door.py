"""Which calls a server takes: all, then none but those that work in flight needs, and in the end none at all."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any, Final

from agentmesh import errors

_QUIET_SECONDS: Final = 0.02
_MOST_WAITS_FOR_QUIET: Final = 25


class Door:
    """Every call comes in through here, and is counted until its answer has left.

    Args:
        while_draining: Methods that are taken until the end, as `/agentmesh.v1.Registry/Heartbeat`.
    """

    def __init__(self, while_draining: Collection[str] = ()) -> None:
        self._while_draining = frozenset(name.removeprefix("/") for name in while_draining)
        self._in_flight: set[asyncio.Task[Any]] = set()
        self._draining = False
        self._held: int | None = None  # calls; None: none is

    @property
    def calls(self) -> Collection[asyncio.Task[Any]]:
        """The calls whose answer has not left yet."""
        return self._in_flight

    @property
    def refuses(self) -> bool:
        """Whether new calls are refused."""
        return self._draining

    async def enter(self, method: str) -> None:
        """Take the call that this task serves.

        Args:
            method: As `agentmesh.v1.Registry/Heartbeat`.

        Raises:
            errors.ShuttingDown: It is not taken.
        """
        if self._draining and self._held is None and method not in self._while_draining:
            raise errors.ShuttingDown("this server is shutting down and takes no new calls; try another")
        task = asyncio.current_task()
        assert task is not None
        # The task of a call ends when its answer has left, and not before: only then may a draining server stop.
        self._in_flight.add(task)
        task.add_done_callback(self._in_flight.discard)
        if self._held is not None:
            self._held += 1
            await asyncio.Event().wait()

    def refuse_new_calls(self) -> None:
        """Answer every later call UNAVAILABLE, SHUTTING_DOWN."""
        self._draining = True

    async def hold_new_calls(self) -> None:
        """Leave every later call without an answer, and return when for a moment none has come.

        Then the server may stop: it breaks its connections, which is UNAVAILABLE to those who wait for an answer. But
        calls that it has not begun to handle it drops before that, and these are CANCELLED to their callers.
        """
        self._held = 0
        for _ in range(_MOST_WAITS_FOR_QUIET):
            seen = self._held
            await asyncio.sleep(_QUIET_SECONDS)
            if self._held == seen:
                return
