"""Which calls a server takes: all, then none but those that work in flight needs, and in the end none at all."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any, Final

from agentmesh import errors

_LOOK_SECONDS: Final = 0.005
_LOOKS_IF_NOBODY_CALLS: Final = 5  # one is not enough: while the machine is busy with something else no call is seen
_LOOKS_IF_SOMEBODY_DOES: Final = 20
_MOST_LOOKS: Final = 100


class Door:
    """Every call comes in through here, and is counted until its answer has left.

    Args:
        while_draining: Methods that are taken until the end, as `/agentmesh.v1.Registry/Heartbeat`.
    """

    def __init__(self, while_draining: Collection[str] = ()) -> None:
        self._while_draining = frozenset(name.removeprefix("/") for name in while_draining)
        self._in_flight: set[asyncio.Task[Any]] = set()
        self._draining = False
        self._holding = False
        self._late_calls = 0  # that came while it drained

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
        if self._draining:
            self._late_calls += 1
        if self._draining and not self._holding and method not in self._while_draining:
            raise errors.ShuttingDown("this server is shutting down and takes no new calls; try another")
        task = asyncio.current_task()
        assert task is not None
        # The task of a call ends when its answer has left, and not before: only then may a draining server stop.
        self._in_flight.add(task)
        task.add_done_callback(self._in_flight.discard)
        if self._holding:
            await asyncio.Event().wait()

    def refuse_new_calls(self) -> None:
        """Answer every later call UNAVAILABLE, SHUTTING_DOWN."""
        self._draining = True

    async def close(self) -> None:
        """Refuse calls until for a moment none has come, and from then on leave them without an answer: another moment
        later the server may stop.

        A server that stops breaks its connections, which is UNAVAILABLE to those who wait for an answer; but before
        that it drops the calls that it has not begun to handle, and these are CANCELLED to their callers. Who calls
        again whenever it is refused would always have one of those, and who gets no answer has none.
        """
        await self._quiet(_LOOKS_IF_SOMEBODY_DOES)
        self._holding = True
        await self._quiet(_MOST_LOOKS)

    async def _quiet(self, most_looks: int) -> None:
        seen, unchanged = self._late_calls, 0
        for _ in range(most_looks):
            await asyncio.sleep(_LOOK_SECONDS)
            seen, unchanged = self._late_calls, unchanged + 1 if seen == self._late_calls else 0
            if unchanged == (_LOOKS_IF_SOMEBODY_DOES if seen else _LOOKS_IF_NOBODY_CALLS):
                return
