"""Virtual time is exact, and takes none."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.fakes.virtual_time import NothingWillHappen, VirtualClock, deadline_after, now, run, virtual_time


@virtual_time
async def test_sleeping_takes_exactly_as_long_as_asked() -> None:
    for seconds in (0.1, 0.2, 3600, 1e-6):
        began = now()
        await asyncio.sleep(seconds)
        assert now() - began == pytest.approx(seconds, abs=2e-9)


@virtual_time
async def test_timers_fire_in_the_order_of_their_moments() -> None:
    fired: list[float] = []

    async def sleeper(seconds: float) -> None:
        await asyncio.sleep(seconds)
        fired.append(seconds)

    await asyncio.gather(*(sleeper(seconds) for seconds in (3, 1, 2)))
    assert fired == [1, 2, 3]
    assert now() == 3


@virtual_time
async def test_a_timeout_fires_when_its_deadline_has_come_not_before() -> None:
    deadline = deadline_after(0.3)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(deadline.remaining()):
            await asyncio.Event().wait()
    assert deadline.expired
    assert now() == pytest.approx(0.3, abs=2e-9)


@virtual_time
async def test_the_clock_stands_still_while_a_thread_works() -> None:
    sleeper = asyncio.create_task(asyncio.sleep(5))
    await asyncio.sleep(0)
    await asyncio.to_thread(time.sleep, 0.001)
    assert now() == 0
    await sleeper
    assert now() == 5


@virtual_time
async def test_the_virtual_clock_tells_the_time_of_the_loop() -> None:
    clock = VirtualClock()
    began = clock.now()
    await clock.sleep(90)
    assert (clock.now() - began).total_seconds() == clock.monotonic() == 90


def test_waiting_for_what_nobody_does_is_an_error_at_once() -> None:
    with pytest.raises(NothingWillHappen):
        run(asyncio.Event().wait())
