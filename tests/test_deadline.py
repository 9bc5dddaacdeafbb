"""A deadline is a moment, passed on as what remains."""

import asyncio
import math

from agentmesh.deadline import Deadline, current_deadline


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_what_remains_shrinks_with_the_clock_and_is_never_negative() -> None:
    clock = Clock()
    deadline = Deadline.after(5, clock)
    assert (deadline.remaining(), deadline.expired) == (5, False)
    clock.now = 104.5
    assert (deadline.remaining(), deadline.expired) == (0.5, False)
    clock.now = 105
    assert (deadline.remaining(), deadline.expired) == (0, True)
    clock.now = 1000
    assert (deadline.remaining(), deadline.expired) == (0, True)


def test_a_deadline_can_be_moved_closer_and_never_further() -> None:
    clock = Clock()
    deadline = Deadline.after(5, clock)
    assert deadline.earlier(0.5).remaining() == 4.5
    assert deadline.at_most(3).remaining() == 3
    assert deadline.at_most(8) == deadline
    assert deadline.earlier(10).expired


def test_never_does_not_pass() -> None:
    assert Deadline.never().remaining() == math.inf
    assert Deadline.never().earlier(1).remaining() == math.inf
    assert Deadline.never().at_most(1).remaining() <= 1


async def test_tasks_and_threads_inherit_the_deadline_of_the_call() -> None:
    token = current_deadline.set(Deadline.never())
    assert await asyncio.create_task(asyncio.to_thread(current_deadline.get)) == Deadline.never()
    current_deadline.reset(token)
    assert current_deadline.get() is None
