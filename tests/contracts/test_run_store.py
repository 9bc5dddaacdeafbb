"""What every `RunStore` promises. A new implementation is added to `STORES`.

It is made to keep 3 runs that have ended, with results of 1000 bytes together.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from agentmesh.errors import NotFound
from orchestrator_svc.adapters.memory_run_store import MemoryRunStore
from orchestrator_svc.app.ledger import Ledger
from orchestrator_svc.app.ports.planner import Question
from orchestrator_svc.app.ports.run_store import RunStore
from orchestrator_svc.app.run import Run, RunState, StepRecord
from orchestrator_svc.core.outcome import Outcome, StepOutcome
from tests.fakes.clock import ManualClock

KEPT = 3
MAX_RESULT_BYTES = 1000


@asynccontextmanager
async def memory() -> AsyncIterator[RunStore]:
    yield MemoryRunStore(KEPT, max_result_bytes=MAX_RESULT_BYTES)


STORES: dict[str, Callable[[], AbstractAsyncContextManager[RunStore]]] = {"memory": memory}


@pytest.fixture(params=STORES)
async def store(request: pytest.FixtureRequest) -> AsyncIterator[RunStore]:
    async with STORES[request.param]() as made:
        yield made


def new_run(number: int) -> Run:
    clock = ManualClock()
    return Run(f"{number:032x}", Question(f"question {number}"), clock.now(), clock, clock.monotonic(), Ledger())


async def end(store: RunStore, run: Run, state: RunState = RunState.FINISHED) -> None:
    run.end(state, NotFound("gone") if state is RunState.FAILED else None)
    await store.put(run)


async def known(store: RunStore, *runs: Run) -> list[str]:
    """The questions of those that are remembered."""
    found = [await store.get(run.id) for run in runs]
    return [run.question.query for run in found if run is not None]


async def test_a_run_that_was_never_put_is_not_remembered(store: RunStore) -> None:
    assert await store.get("0" * 32) is None


async def test_a_run_is_found_while_it_runs(store: RunStore) -> None:
    run = new_run(1)
    await store.put(run)
    found = await store.get(run.id)
    assert found is not None
    assert (found.id, found.state, found.question) == (run.id, RunState.RUNNING, run.question)


@pytest.mark.parametrize("state", [RunState.FINISHED, RunState.FAILED, RunState.CANCELLED])
async def test_a_run_that_ended_is_found_as_it_ended(store: RunStore, state: RunState) -> None:
    run = new_run(1)
    await store.put(run)
    await end(store, run, state)
    found = await store.get(run.id)
    assert found is not None
    assert (found.state, found.ended_at) == (state, run.ended_at)
    assert (found.error is None) == (state is not RunState.FAILED)


async def test_of_runs_that_ended_the_latest_are_kept(store: RunStore) -> None:
    runs = [new_run(number) for number in range(KEPT + 2)]
    for run in runs:
        await store.put(run)
    for run in reversed(runs):
        await end(store, run)
    assert await known(store, *runs) == ["question 0", "question 1", "question 2"]


def with_results(number: int, *sizes: int) -> Run:
    run = new_run(number)
    for place, size in enumerate(sizes):
        outcome = Outcome(StepOutcome.SUCCEEDED, result={}, result_bytes=size)
        run.steps[f"s{place}"] = StepRecord(outcome, None, run.started_at, 0.0)
    return run


async def test_of_runs_with_large_results_fewer_are_kept(store: RunStore) -> None:
    runs = [with_results(number, 300, 200) for number in range(3)]
    for run in runs:
        await end(store, run)
    assert await known(store, *runs) == ["question 1", "question 2"]


async def test_the_latest_run_is_kept_whatever_its_size_until_another_has_ended(store: RunStore) -> None:
    huge, small = with_results(1, 5000), with_results(2, 10)
    await end(store, huge)
    assert await known(store, huge) == ["question 1"]
    await end(store, small)
    assert await known(store, huge, small) == ["question 2"]


async def test_a_run_in_flight_is_never_forgotten(store: RunStore) -> None:
    running = new_run(0)
    await store.put(running)
    others = [new_run(number) for number in range(1, 3 * KEPT)]
    for run in others:
        await store.put(run)
        await end(store, run)
    assert await known(store, running) == ["question 0"]
    await end(store, running)
    assert await known(store, running, *others) == ["question 0", "question 7", "question 8"]


async def test_more_runs_may_be_in_flight_than_are_kept(store: RunStore) -> None:
    runs = [new_run(number) for number in range(3 * KEPT)]
    for run in runs:
        await store.put(run)
    assert len(await known(store, *runs)) == 3 * KEPT


async def test_putting_a_run_that_ended_again_forgets_no_other(store: RunStore) -> None:
    runs = [new_run(number) for number in range(KEPT)]
    for run in runs:
        await end(store, run)
    await store.put(runs[0])
    assert len(await known(store, *runs)) == KEPT
