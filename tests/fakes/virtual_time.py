"""Time that passes when nobody has anything to do: hours of waiting take no time, and every moment is exact.

The loop is asyncio's own over a selector that does not wait. Whenever nothing is ready it moves the clock of the loop
to the next timer, so `asyncio.sleep`, `asyncio.timeout` and deadlines on that clock see exactly the times they ask for.
While a thread works for the loop (`asyncio.to_thread`) the clock stands still. Only for what stays in one process: the
clock runs away from sockets that somebody else writes to.
"""

from __future__ import annotations

import asyncio
import functools
import math
import selectors
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Executor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar, TypeVarTuple, Unpack

from agentmesh.deadline import Deadline

if TYPE_CHECKING:
    from _typeshed import FileDescriptorLike

_P = ParamSpec("_P")
_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")

_NANOSECONDS: Final = 1_000_000_000


class NothingWillHappen(Exception):
    """Every task waits, and no timer is set: the code under test hangs."""


class _EagerSelector(selectors.BaseSelector):
    """Finds what is ready; instead of waiting for it, it moves the clock."""

    def __init__(self) -> None:
        self._real = selectors.DefaultSelector()
        self.nanoseconds = 0
        self.threads = 0
        """Threads that work for the loop."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if self.threads and timeout != 0:
            return self._real.select(None)
        ready = self._real.select(0)
        if ready or timeout == 0:
            return ready
        if timeout is None:
            raise NothingWillHappen
        # Up to the timer or just past it: one that fires early would find a last part of a nanosecond left.
        self.nanoseconds += math.ceil(timeout * _NANOSECONDS)
        return []

    def register(self, fileobj: FileDescriptorLike, events: int, data: object = None) -> selectors.SelectorKey:
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: FileDescriptorLike) -> selectors.SelectorKey:
        return self._real.unregister(fileobj)

    def get_map(self) -> Mapping[FileDescriptorLike, selectors.SelectorKey]:
        return self._real.get_map()

    def close(self) -> None:
        self._real.close()


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock begins at 0 and jumps from timer to timer."""

    def __init__(self) -> None:
        self._eager = _EagerSelector()
        super().__init__(self._eager)

    def time(self) -> float:
        return self._eager.nanoseconds / _NANOSECONDS

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[Unpack[_Ts]], _T], *args: *_Ts
    ) -> asyncio.Future[_T]:
        future = super().run_in_executor(executor, func, *args)
        self._eager.threads += 1
        future.add_done_callback(self._thread_ended)
        return future

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:  # noqa: ASYNC109  as in asyncio
        self._eager.threads += 1  # asyncio waits for the threads in a thread of its own
        try:
            await super().shutdown_default_executor()
        finally:
            self._eager.threads -= 1

    def _thread_ended(self, _: asyncio.Future[Any]) -> None:
        self._eager.threads -= 1


def run(coroutine: Coroutine[Any, Any, _T]) -> _T:
    """Run it on a virtual clock that begins at 0.

    Raises:
        NothingWillHappen: It waits for what nobody will do.
    """
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(coroutine)


def virtual_time(test: Callable[_P, Coroutine[Any, Any, _T]]) -> Callable[_P, _T]:
    """Make a test that is a coroutine one that runs on a virtual clock."""

    @functools.wraps(test)
    def on_virtual_time(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        return run(test(*args, **kwargs))

    return on_virtual_time


def now() -> float:
    """Seconds since the test began."""
    return asyncio.get_running_loop().time()


def deadline_after(seconds: float) -> Deadline:
    """A deadline on the virtual clock."""
    return Deadline.after(seconds, asyncio.get_running_loop().time)


class VirtualClock:
    """Implements `Clock` over the running loop."""

    def __init__(self, start: datetime = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)) -> None:
        self._start = start

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self.monotonic())

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
