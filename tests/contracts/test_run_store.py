"""What every `RunStore` promises. A new implementation is added to `STORES`.

It is made to keep 3 runs that have ended, which take 1000 bytes together, and request_ids for a minute after the end.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

import pytest

from agentmesh.errors import NotFound
from orchestrator_svc.adapters.memory_run_store import MemoryRunStore
from orchestrator_svc.app.journal import Journal
from orchestrator_svc.app.ledger import Ledger
from orchestrator_svc.app.ports.planner import Question, Role, Turn
from orchestrator_svc.app.ports.run_store import RunFilter, RunPosition, RunStore
from orchestrator_svc.app.request import RunRequest
from orchestrator_svc.app.run import Run, RunState, StepRecord
from orchestrator_svc.app.run_events import AnswerToken
from orchestrator_svc.core.outcome import Outcome, StepOutcome
from orchestrator_svc.core.verdict import RunOutcome
from tests.fakes.clock import ManualClock

KEPT = 3
MAX_BYTES = 1000
REPLAY_SECONDS = 60.0
ALMOST = REPLAY_SECONDS - 0.001
AT_REST = (RunState.FINISHED, RunState.FAILED, RunState.CANCELLED)

mine = partial(RunFilter, "anonymous")
"""What a caller without a name asks for."""


@asynccontextmanager
async def memory(kept: int, clock: ManualClock) -> AsyncIterator[RunStore]:
    yield MemoryRunStore(kept, clock=clock, replay_seconds=REPLAY_SECONDS, max_bytes=MAX_BYTES)


STORES: dict[str, Callable[[int, ManualClock], AbstractAsyncContextManager[RunStore]]] = {"memory": memory}


@dataclass
class Ground:
    """A store, and the time that it lives in."""

    store: RunStore
    clock: ManualClock
    made: int = 0

    def new(self, caller: str = "anonymous", request_id: str = "", conversation_id: str = "", query: str = "") -> Run:
        """A run that starts now; ids and questions count up."""
        self.made += 1
        question = Question(query or f"question {self.made}")
        return Run(
            id=f"{self.made:032x}",
            request=RunRequest(question, conversation_id=conversation_id, caller=caller, request_id=request_id),
            started_at=self.clock.now(),
            clock=self.clock,
            began=self.clock.monotonic(),
            ledger=Ledger(),
            journal=Journal(self.clock),
        )

    async def begun(self, caller: str = "anonymous", request_id: str = "", conversation_id: str = "") -> Run:
        run = self.new(caller, request_id, conversation_id)
        assert await self.store.begin(run) is None
        return run

    async def end(self, run: Run, state: RunState = RunState.FINISHED, outcome: RunOutcome | None = None) -> None:
        run.outcome = outcome
        run.end(state, NotFound("gone") if state is RunState.FAILED else None)
        await self.store.put(run)

    async def ended(self, caller: str = "anonymous", request_id: str = "", state: RunState = RunState.FINISHED) -> Run:
        run = await self.begun(caller, request_id)
        await self.end(run, state)
        return run

    async def known(self, *runs: Run) -> list[str]:
        """The questions of those that are remembered."""
        found = [await self.store.get(run.id) for run in runs]
        return [run.question.query for run in found if run is not None]

    async def requested(self, request_id: str, caller: str = "anonymous") -> str | None:
        """The id of the run that has the request_id."""
        found = await self.store.requested(caller, request_id)
        return found.id if found is not None else None

    async def listed(
        self, wanted: RunFilter | None = None, before: RunPosition | None = None, most: int = 99
    ) -> list[int]:
        """The numbers of the runs of one page."""
        page = await self.store.list(wanted or mine(), before=before, limit=most)
        return [int(run.position.run_id, 16) for run in page]


@pytest.fixture(params=STORES)
async def ground(request: pytest.FixtureRequest) -> AsyncIterator[Ground]:
    clock = ManualClock()
    async with STORES[request.param](KEPT, clock) as store:
        yield Ground(store, clock)


@pytest.fixture(params=STORES)
async def wide(request: pytest.FixtureRequest) -> AsyncIterator[Ground]:
    """A store that keeps many runs."""
    clock = ManualClock()
    async with STORES[request.param](10_000, clock) as store:
        yield Ground(store, clock)


# --- what is remembered, and what is forgotten


async def test_a_run_that_never_began_is_not_remembered(ground: Ground) -> None:
    assert await ground.store.get("0" * 32) is None


async def test_a_run_is_found_while_it_runs(ground: Ground) -> None:
    run = await ground.begun()
    found = await ground.store.get(run.id)
    assert found is not None
    assert (found.id, found.state, found.request) == (run.id, RunState.RUNNING, run.request)


@pytest.mark.parametrize("state", AT_REST)
async def test_a_run_that_ended_is_found_as_it_ended(ground: Ground, state: RunState) -> None:
    run = await ground.ended(state=state)
    found = await ground.store.get(run.id)
    assert found is not None
    assert (found.state, found.ended_at) == (state, run.ended_at)
    assert (found.error is None) == (state is not RunState.FAILED)


async def test_of_runs_that_ended_the_latest_are_kept(ground: Ground) -> None:
    runs = [await ground.begun() for _ in range(KEPT + 2)]
    for run in reversed(runs):
        await ground.end(run)
    assert await ground.known(*runs) == ["question 1", "question 2", "question 3"]


def add_results(run: Run, *sizes: int) -> Run:
    for place, size in enumerate(sizes):
        outcome = Outcome(StepOutcome.SUCCEEDED, result={}, result_bytes=size)
        run.steps[f"s{place}"] = StepRecord(outcome, None, run.started_at, 0.0)
    return run


async def test_of_runs_with_large_results_fewer_are_kept(ground: Ground) -> None:
    runs = [add_results(await ground.begun(), 300, 150) for _ in range(3)]
    for run in runs:
        await ground.end(run)
    assert await ground.known(*runs) == ["question 2", "question 3"]


@pytest.mark.parametrize(
    "large",
    [
        RunRequest(Question("x" * 600)),
        RunRequest(Question("?", (Turn(Role.USER, "x" * 600),))),
        RunRequest(Question("?"), {"steps": []}, plan_bytes=600),
    ],
    ids=["question", "history", "plan"],
)
async def test_of_runs_with_large_requests_fewer_are_kept(ground: Ground, large: RunRequest) -> None:
    """Failed ones, too: a caller whose plans are all refused must not fill the memory."""
    runs = [replace(ground.new(), request=large) for _ in range(3)]
    for run in runs:
        assert await ground.store.begin(run) is None
        await ground.end(run, RunState.FAILED)
    assert [await ground.store.get(run.id) is not None for run in runs] == [False, False, True]


async def test_of_runs_with_long_journals_fewer_are_kept(ground: Ground) -> None:
    runs = [await ground.begun() for _ in range(3)]
    for run in runs:
        while run.size_bytes < MAX_BYTES / 2:
            run.journal.write(AnswerToken("word"))
        await ground.end(run)
    assert await ground.known(*runs) == ["question 3"]


async def test_the_latest_run_is_kept_whatever_its_size_until_another_has_ended(ground: Ground) -> None:
    huge, small = add_results(await ground.begun(), 5000), add_results(await ground.begun(), 10)
    await ground.end(huge)
    assert await ground.known(huge) == ["question 1"]
    await ground.end(small)
    assert await ground.known(huge, small) == ["question 2"]


async def test_a_run_in_flight_is_never_forgotten(ground: Ground) -> None:
    running = await ground.begun()
    others = [await ground.ended() for _ in range(3 * KEPT)]
    assert await ground.known(running) == ["question 1"]
    await ground.end(running)
    assert await ground.known(running, *others) == ["question 1", "question 9", "question 10"]


async def test_more_runs_may_be_in_flight_than_are_kept(ground: Ground) -> None:
    runs = [await ground.begun() for _ in range(3 * KEPT)]
    assert len(await ground.known(*runs)) == 3 * KEPT


async def test_putting_a_run_that_ended_again_forgets_no_other_and_counts_it_once(ground: Ground) -> None:
    runs = [add_results(await ground.begun(), 300) for _ in range(KEPT)]
    for run in runs:
        await ground.end(run)
    for _ in range(3):
        await ground.store.put(runs[0])
    assert len(await ground.known(*runs)) == KEPT
    assert len(await ground.listed()) == KEPT


async def test_a_run_that_grew_after_its_end_counts_with_its_new_size_once_it_is_put_again(ground: Ground) -> None:
    first, second = [add_results(await ground.begun(), 300) for _ in range(2)]
    await ground.end(first)
    await ground.end(second)
    await ground.store.put(add_results(second, 900))
    assert await ground.known(first, second) == ["question 2"]


# --- which run a repeated request means


async def test_a_request_id_means_the_run_that_began_with_it(ground: Ground) -> None:
    run = await ground.begun(request_id="r")
    assert await ground.requested("r") == run.id
    assert await ground.requested("other") is None


async def test_a_repetition_is_told_the_run_and_changes_nothing(ground: Ground) -> None:
    run = await ground.begun(request_id="r")
    repeated = ground.new(request_id="r")
    found = await ground.store.begin(repeated)
    assert found is not None
    assert found.id == run.id
    assert await ground.known(run, repeated) == ["question 1"]
    assert await ground.listed() == [1]


async def test_of_a_hundred_runs_that_begin_at_once_with_one_request_id_one_begins(ground: Ground) -> None:
    runs = [ground.new(request_id="r") for _ in range(100)]
    answers = await asyncio.gather(*(ground.store.begin(run) for run in runs))
    (began,) = [run for run, answer in zip(runs, answers, strict=True) if answer is None]
    assert [answer.id for answer in answers if answer is not None] == [began.id] * 99
    assert await ground.known(*runs) == [began.question.query]


async def test_another_caller_with_the_same_request_id_begins_a_run_of_its_own(ground: Ground) -> None:
    mine, theirs = await ground.begun("one", "r"), await ground.begun("two", "r")
    assert await ground.requested("r", "one") == mine.id
    assert await ground.requested("r", "two") == theirs.id


async def test_runs_without_a_request_id_are_each_their_own(ground: Ground) -> None:
    await ground.begun()
    await ground.begun()
    assert await ground.requested("") is None
    assert await ground.listed() == [2, 1]


async def test_a_request_id_is_remembered_for_as_long_as_its_run_takes(ground: Ground) -> None:
    run = await ground.begun(request_id="r")
    ground.clock.advance(100 * REPLAY_SECONDS)
    assert await ground.requested("r") == run.id
    assert await ground.store.begin(ground.new(request_id="r")) is not None


@pytest.mark.parametrize("state", AT_REST)
async def test_a_request_id_is_remembered_for_its_time_after_the_end_and_no_longer(
    ground: Ground, state: RunState
) -> None:
    run = await ground.begun(request_id="r")
    ground.clock.advance(5)
    await ground.end(run, state)
    ground.clock.advance(ALMOST)
    assert await ground.requested("r") == run.id
    ground.clock.advance(REPLAY_SECONDS - ALMOST)
    assert await ground.requested("r") is None
    assert await ground.known(run) == ["question 1"]


async def test_after_its_time_a_request_id_belongs_to_the_next_run_that_begins_with_it(ground: Ground) -> None:
    await ground.ended(request_id="r")
    ground.clock.advance(REPLAY_SECONDS)
    later = await ground.begun(request_id="r")
    assert await ground.requested("r") == later.id


async def test_a_request_id_goes_with_its_run(ground: Ground) -> None:
    run = await ground.ended(request_id="r")
    for _ in range(KEPT):
        await ground.ended()
    assert await ground.known(run) == []
    assert await ground.requested("r") is None
    await ground.begun(request_id="r")


async def test_a_request_id_that_was_released_is_free_and_the_run_stays(ground: Ground) -> None:
    run = await ground.ended(request_id="r", state=RunState.FAILED)
    await ground.store.release(run)
    assert await ground.requested("r") is None
    again = await ground.begun(request_id="r")
    assert await ground.known(run, again) == ["question 1", "question 2"]


async def test_releasing_a_run_twice_or_without_a_request_id_changes_nothing(ground: Ground) -> None:
    run, plain = await ground.ended(request_id="r"), await ground.ended()
    for one in (run, run, plain):
        await ground.store.release(one)
    assert await ground.known(run, plain) == ["question 1", "question 2"]


async def test_an_earlier_run_takes_the_request_id_of_a_later_one_neither_by_release_nor_when_it_is_forgotten(
    ground: Ground,
) -> None:
    earlier = await ground.ended(request_id="r")
    await ground.store.release(earlier)
    later = await ground.begun(request_id="r")
    await ground.store.release(earlier)
    assert await ground.requested("r") == later.id
    for _ in range(KEPT):
        await ground.ended()
    assert await ground.known(earlier) == []
    assert await ground.requested("r") == later.id


async def test_ten_thousand_request_ids_leave_those_of_the_runs_that_are_kept(ground: Ground) -> None:
    runs = [await ground.ended(request_id=f"r{number}") for number in range(10_000)]
    remembered = [number for number in range(10_000) if await ground.requested(f"r{number}") is not None]
    assert remembered == [9997, 9998, 9999]
    assert len(await ground.known(*runs)) == len(await ground.listed()) == KEPT


# --- lists


async def test_a_new_store_lists_nothing(ground: Ground) -> None:
    assert await ground.listed() == []


async def test_runs_are_listed_newest_first_those_in_flight_included(wide: Ground) -> None:
    for state in (RunState.RUNNING, *AT_REST):
        run = await wide.begun()
        wide.clock.advance(1)
        if state is not RunState.RUNNING:
            await wide.end(run, state)
    assert await wide.listed() == [4, 3, 2, 1]


async def test_the_list_goes_by_the_start_whatever_ended_or_was_put_first(wide: Ground) -> None:
    late, early = wide.new(), wide.new()
    late.started_at += timedelta(seconds=5)
    await wide.store.begin(late)
    await wide.store.begin(early)
    await wide.end(late)
    await wide.end(early)
    assert await wide.listed() == [1, 2]


async def test_runs_that_started_together_are_listed_by_id_the_greatest_first(wide: Ground) -> None:
    runs = [wide.new() for _ in range(5)]
    for place in (2, 0, 4, 1, 3):
        await wide.store.begin(runs[place])
    assert await wide.listed() == [5, 4, 3, 2, 1]
    assert await wide.listed(before=RunPosition(wide.clock.now(), f"{3:032x}")) == [2, 1]


async def test_a_summary_says_what_the_run_says_now(wide: Ground) -> None:
    run = wide.new("billing", conversation_id="c", query="q" * 250)
    await wide.store.begin(run)
    (running,) = await wide.store.list(RunFilter("billing"), before=None, limit=1)
    assert (running.state, running.outcome, running.ended_at) == (RunState.RUNNING, None, None)
    wide.clock.advance(2)
    run.ledger.agent_calls = 3
    await wide.end(run, outcome=RunOutcome.PARTIAL)
    (ended,) = await wide.store.list(RunFilter("billing"), before=None, limit=1)
    assert ended.position == RunPosition(run.started_at, run.id)
    assert (ended.query, ended.conversation_id) == ("q" * 200, "c")
    assert (ended.state, ended.outcome, ended.ended_at) == (RunState.FINISHED, RunOutcome.PARTIAL, run.ended_at)
    assert ended.ledger.agent_calls == 3


async def test_a_run_that_came_to_no_answer_has_no_outcome(wide: Ground) -> None:
    await wide.end(await wide.begun(), RunState.CANCELLED, RunOutcome.COMPLETE)
    (summary,) = await wide.store.list(mine(), before=None, limit=1)
    assert summary.outcome is None
    assert await wide.listed(mine(outcome=RunOutcome.COMPLETE)) == []


async def test_a_caller_is_listed_its_own_runs_only(wide: Ground) -> None:
    for caller in ("one", "two", "one", "anonymous"):
        await wide.begun(caller)
    assert await wide.listed(RunFilter("one")) == [3, 1]
    assert await wide.listed(RunFilter("two")) == [2]
    assert await wide.listed(RunFilter("nobody")) == []


async def test_at_most_so_many_are_listed(wide: Ground) -> None:
    for _ in range(5):
        await wide.begun()
    assert await wide.listed(most=2) == [5, 4]
    assert await wide.listed(most=5) == await wide.listed(most=6) == [5, 4, 3, 2, 1]


async def some_runs(ground: Ground) -> dict[int, Run]:
    """Nine runs, a second apart, in every state, with every outcome, of two conversations."""
    ends = [
        *((RunState.FINISHED, outcome) for outcome in RunOutcome),
        (RunState.RUNNING, None),
        (RunState.FAILED, None),
        (RunState.CANCELLED, None),
        *((RunState.FINISHED, outcome) for outcome in RunOutcome),
    ]
    runs = {}
    for number, (state, outcome) in enumerate(ends, start=1):
        run = runs[number] = await ground.begun(conversation_id="even" if number % 2 == 0 else "odd")
        if state is not RunState.RUNNING:
            await ground.end(run, state, outcome)
        ground.clock.advance(1)
    return runs


def start(number: int) -> datetime:
    """When a run of `some_runs` started."""
    return ManualClock().now() + timedelta(seconds=number - 1)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (mine(), [9, 8, 7, 6, 5, 4, 3, 2, 1]),
        (mine(state=RunState.RUNNING), [4]),
        (mine(state=RunState.FAILED), [5]),
        (mine(state=RunState.CANCELLED), [6]),
        (mine(state=RunState.FINISHED), [9, 8, 7, 3, 2, 1]),
        (mine(outcome=RunOutcome.COMPLETE), [7, 1]),
        (mine(outcome=RunOutcome.NO_AGENT), [9, 3]),
        (mine(conversation_id="even"), [8, 6, 4, 2]),
        (mine(conversation_id="unheard of"), []),
        (mine(started_after=start(3)), [9, 8, 7, 6, 5, 4, 3]),
        (mine(started_before=start(3)), [2, 1]),
        (mine(started_after=start(3), started_before=start(6)), [5, 4, 3]),
        (mine(started_after=start(6), started_before=start(3)), []),
        (mine(state=RunState.FAILED, outcome=RunOutcome.COMPLETE), []),
        (mine(outcome=RunOutcome.PARTIAL, conversation_id="even"), [8, 2]),
        (mine(RunState.FINISHED, RunOutcome.PARTIAL, "even", start(3), start(9)), [8]),
    ],
)
async def test_filters_alone_and_together(wide: Ground, wanted: RunFilter, found: list[int]) -> None:
    await some_runs(wide)
    assert await wide.listed(wanted) == found


async def test_pages_continue_inside_the_bounds_of_time(wide: Ground) -> None:
    runs = await some_runs(wide)
    wanted = mine(started_after=start(3), started_before=start(8))
    assert await wide.listed(wanted, most=2) == [7, 6]
    assert await wide.listed(wanted, RunPosition.of(runs[6]), most=2) == [5, 4]
    assert await wide.listed(wanted, RunPosition.of(runs[4]), most=2) == [3]
    assert await wide.listed(wanted, RunPosition.of(runs[9]), most=2) == [7, 6]


async def every_page(ground: Ground, wanted: RunFilter, size: int) -> list[int]:
    numbers: list[int] = []
    before = None
    while page := await ground.store.list(wanted, before=before, limit=size):
        numbers += [int(run.position.run_id, 16) for run in page]
        before = page[-1].position
    return numbers


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
async def test_pages_together_are_the_whole_list(wide: Ground, size: int) -> None:
    for number in range(20):
        await wide.begun()
        wide.clock.advance(number % 3)  # some start together
    assert await every_page(wide, mine(), size) == list(range(20, 0, -1))


async def test_the_only_run_that_is_wanted_is_found_among_thousands(wide: Ground) -> None:
    await wide.begun(conversation_id="c")
    for _ in range(5000):
        wide.clock.advance(1)
        await wide.begun()
    assert await wide.listed(mine(conversation_id="c")) == [1]
    assert await wide.listed(mine(conversation_id="unheard of")) == []
    assert await every_page(wide, mine(), 700) == list(range(5001, 0, -1))


async def test_a_page_continues_where_the_last_one_ended_while_runs_begin_end_and_are_forgotten(ground: Ground) -> None:
    running = []
    for _ in range(6):
        running.append(await ground.begun())
        ground.clock.advance(1)
    first = await ground.store.list(mine(), before=None, limit=2)
    position = first[-1].position
    assert int(position.run_id, 16) == 5
    for run in (*running[3:5], running[1]):  # the last one shown is among those that end, and are then forgotten
        await ground.end(run)
    for _ in range(KEPT):
        await ground.ended()
    assert await ground.known(running[4]) == []
    assert await ground.listed(before=position) == [3, 1]


async def test_a_run_that_ends_between_two_pages_is_shown_by_what_it_is_when_its_page_is_read(wide: Ground) -> None:
    runs = await some_runs(wide)
    wanted = mine(state=RunState.RUNNING)
    await wide.end(runs[4])
    assert await wide.listed(wanted, RunPosition.of(runs[9])) == []
