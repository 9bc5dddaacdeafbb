"""Admission: never too many inside, the first that waits is the first that enters, no place is ever lost."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentmesh.deadline import HOP_MARGIN_SECONDS, Deadline
from agentmesh.errors import Overloaded
from orchestrator_svc.app.admission import LEAST_RETRY_SECONDS, Admission
from tests.fakes.virtual_time import deadline_after, now, run, virtual_time

WAIT_SECONDS = 0.5


async def settled() -> None:
    """Everything that can happen now has happened."""
    for _ in range(5):
        await asyncio.sleep(0)


async def refused_after(admission: Admission, deadline: Deadline) -> float:
    began = now()
    with pytest.raises(Overloaded):
        await admission.enter(deadline)
    return now() - began


async def full(places: int, wait_seconds: float = WAIT_SECONDS) -> Admission:
    admission = Admission(places, wait_seconds)
    for _ in range(places):
        await admission.enter(Deadline.never())
    return admission


@virtual_time
async def test_as_many_as_there_are_places_enter_at_once() -> None:
    admission = await full(3)
    assert (admission.inside, admission.waiting, now()) == (3, 0, 0)


@virtual_time
@pytest.mark.parametrize("wait_seconds", [0.25, 0.5, 60])
async def test_one_more_is_refused_when_the_time_to_wait_is_over(wait_seconds: float) -> None:
    admission = await full(1, wait_seconds)
    assert await refused_after(admission, Deadline.never()) == pytest.approx(wait_seconds, abs=1e-6)
    assert admission.waiting == 0


@virtual_time
async def test_nobody_waits_longer_than_its_deadline_allows() -> None:
    admission = await full(1)
    seconds = await refused_after(admission, deadline_after(0.3))
    assert seconds == pytest.approx(0.3 - HOP_MARGIN_SECONDS, abs=1e-6)


@virtual_time
async def test_without_time_to_wait_one_more_is_refused_at_once() -> None:
    assert await refused_after(await full(2, 0), Deadline.never()) == 0
    assert await refused_after(await full(2), deadline_after(HOP_MARGIN_SECONDS)) == 0


@virtual_time
async def test_as_many_wait_as_there_are_places_and_the_next_is_refused_at_once() -> None:
    admission = await full(2)
    waiters = [asyncio.create_task(admission.enter(Deadline.never())) for _ in range(2)]
    await settled()
    assert await refused_after(admission, Deadline.never()) == 0
    admission.leave()
    admission.leave()
    await asyncio.gather(*waiters)
    assert (admission.inside, admission.waiting, now()) == (2, 0, 0)


@virtual_time
async def test_a_place_that_is_left_goes_to_the_first_that_waits_not_to_a_newcomer() -> None:
    admission = await full(1)
    entered: list[str] = []

    async def client(name: str) -> None:
        await admission.enter(Deadline.never())
        entered.append(name)

    first = asyncio.create_task(client("first"))
    await settled()
    admission.leave()
    newcomer = asyncio.create_task(client("newcomer"))
    await settled()
    assert entered == ["first"]
    admission.leave()
    await asyncio.gather(first, newcomer)
    assert entered == ["first", "newcomer"]


@virtual_time
async def test_one_that_is_cancelled_in_the_moment_it_gets_its_place_passes_it_on() -> None:
    admission = await full(2)
    cancelled, next_one = (asyncio.create_task(admission.enter(Deadline.never())) for _ in range(2))
    await settled()
    admission.leave()
    cancelled.cancel()
    await settled()
    assert cancelled.cancelled()
    assert next_one.done()
    assert (admission.inside, admission.waiting) == (2, 0)


@virtual_time
async def test_one_that_is_cancelled_in_the_moment_before_gets_none() -> None:
    admission = await full(2)
    cancelled, next_one = (asyncio.create_task(admission.enter(Deadline.never())) for _ in range(2))
    await settled()
    cancelled.cancel()
    admission.leave()
    await settled()
    assert next_one.done()
    assert (admission.inside, admission.waiting) == (2, 0)


@virtual_time
async def test_a_place_is_left_however_the_block_ends() -> None:
    admission = Admission(1, 0)

    async def fails_with(error: BaseException) -> None:
        async with admission.place(Deadline.never()):
            assert admission.inside == 1
            raise error

    for error in (ValueError(), asyncio.CancelledError()):
        with pytest.raises(type(error)):
            await fails_with(error)
        assert admission.inside == 0


def test_leaving_without_having_entered_is_a_mistake() -> None:
    with pytest.raises(RuntimeError):
        Admission(1, 0).leave()


@virtual_time
@pytest.mark.parametrize(
    ("wait_seconds", "jitter", "seconds"),
    [(0.5, 0.0, 0.5), (0.5, 0.5, 0.75), (0.0, 0.0, LEAST_RETRY_SECONDS), (0.0, 1.0, 2 * LEAST_RETRY_SECONDS)],
)
async def test_who_is_refused_hears_when_to_try_again(wait_seconds: float, jitter: float, seconds: float) -> None:
    admission = Admission(1, wait_seconds, jitter=lambda: jitter)
    await admission.enter(Deadline.never())
    with pytest.raises(Overloaded) as caught:
        await admission.enter(Deadline.never())
    assert caught.value.retry_after_seconds == pytest.approx(seconds)


@dataclass
class Crowd:
    """Clients of one admission: each comes, stays until it is sent away, and leaves."""

    places: int
    inside: set[int] = field(default_factory=set)
    entered: list[int] = field(default_factory=list)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)
    gates: list[asyncio.Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.admission = Admission(self.places, WAIT_SECONDS)

    def comes(self) -> None:
        self.gates.append(asyncio.Event())
        self.tasks.append(asyncio.create_task(self._client(len(self.tasks))))

    def sent_away(self, number: int) -> None:
        if self.inside:
            self.gates[sorted(self.inside)[number % len(self.inside)]].set()

    def cancelled(self, number: int) -> None:
        if here := [task for task in self.tasks if not task.done()]:
            here[number % len(here)].cancel()

    async def all_gone(self) -> None:
        for gate in self.gates:
            gate.set()
        ends = await asyncio.gather(*self.tasks, return_exceptions=True)
        assert {type(end) for end in ends} <= {type(None), asyncio.CancelledError}

    def holds(self) -> None:
        """What is true whenever nothing more can happen by itself."""
        assert self.admission.inside == len(self.inside) <= self.places
        assert self.admission.waiting <= self.places
        assert not self.admission.waiting or self.admission.inside == self.places
        settled_ones = sum(task.done() for task in self.tasks)
        assert settled_ones + self.admission.inside + self.admission.waiting == len(self.tasks)

    async def _client(self, number: int) -> None:
        with contextlib.suppress(Overloaded):
            async with self.admission.place(Deadline.never()):
                self.inside.add(number)
                self.entered.append(number)
                assert len(self.inside) <= self.places
                try:
                    await self.gates[number].wait()
                finally:
                    self.inside.remove(number)


class Step(StrEnum):
    """What may happen next; each comes with a number, which says to whom or for how long."""

    COMES = "comes"
    SENT_AWAY = "sent away"
    CANCELLED = "cancelled"
    ONE_TURN = "one turn of the loop"
    SETTLES = "settles"
    TIME_PASSES = "time passes"


async def takes(crowd: Crowd, step: Step, number: int) -> None:
    match step:
        case Step.COMES:
            crowd.comes()
        case Step.SENT_AWAY:
            crowd.sent_away(number)
        case Step.CANCELLED:
            crowd.cancelled(number)
        case Step.ONE_TURN:
            await asyncio.sleep(0)
        case Step.SETTLES:
            await settled()
            crowd.holds()
        case Step.TIME_PASSES:
            # Now and then the time of one that waits is over in the very moment in which a place is left.
            await asyncio.sleep(WAIT_SECONDS * number / 50)


async def story(places: int, steps: Sequence[tuple[Step, int]]) -> None:
    """Whatever happens, no place is lost, none is made, and the order is kept."""
    crowd = Crowd(places)
    for step, number in steps:
        await takes(crowd, step, number)
    await settled()
    crowd.holds()
    assert crowd.entered == sorted(crowd.entered)
    await crowd.all_gone()
    assert (crowd.admission.inside, crowd.admission.waiting) == (0, 0)
    for _ in range(places):
        await crowd.admission.enter(Deadline.never())


@settings(max_examples=300)
@given(places=st.integers(1, 3), steps=st.lists(st.tuples(st.sampled_from(Step), st.integers(0, 50)), max_size=60))
def test_whatever_happens_no_place_is_lost_none_is_made_and_the_order_is_kept(
    places: int, steps: list[tuple[Step, int]]
) -> None:
    run(story(places, steps))


def test_nor_by_anything_that_can_happen_around_the_moment_in_which_a_place_is_handed_over() -> None:
    one_inside_and_one_waiting = [(Step.COMES, 0), (Step.COMES, 0), (Step.ONE_TURN, 0)]
    moves = [(Step.COMES, 0), (Step.SENT_AWAY, 0), (Step.CANCELLED, 0), (Step.CANCELLED, 1), (Step.ONE_TURN, 0)]

    async def every_story() -> None:
        for steps in itertools.product(moves, repeat=5):
            await story(1, [*one_inside_and_one_waiting, *steps])

    run(every_story())
