"""What every `Clock` promises."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, timedelta

import pytest

from orchestrator_svc.adapters.system_clock import SystemClock
from orchestrator_svc.app.ports.clock import Clock
from tests.fakes.clock import ManualClock

CLOCKS: dict[str, Callable[[], Clock]] = {"system": SystemClock, "manual": ManualClock}


@pytest.fixture(params=CLOCKS)
def clock(request: pytest.FixtureRequest) -> Clock:
    return CLOCKS[request.param]()


def test_the_time_of_day_is_in_utc_and_says_so(clock: Clock) -> None:
    assert clock.now().tzinfo is UTC


def test_the_clock_for_durations_never_goes_back(clock: Clock) -> None:
    readings = [clock.monotonic() for _ in range(10_000)]
    assert readings == sorted(readings)


def test_the_manual_clock_stands_still_until_it_is_told_and_moves_both_hands() -> None:
    clock = ManualClock()
    moment, reading = clock.now(), clock.monotonic()
    assert (clock.now(), clock.monotonic()) == (moment, reading)
    clock.advance(1.5)
    assert clock.now() - moment == timedelta(seconds=1.5)
    assert clock.monotonic() - reading == 1.5
