"""How runs end: each once, and as what their callers were told."""

from __future__ import annotations

import asyncio

import pytest

from agentmesh.deadline import Deadline
from agentmesh.errors import DeadlineExceeded, Internal
from agentmesh.incidents import as_internal
from orchestrator_svc.adapters.memory_run_store import MemoryRunStore
from orchestrator_svc.adapters.system_clock import SystemClock
from orchestrator_svc.app.ports.planner import Question
from orchestrator_svc.app.run import Run, RunState
from orchestrator_svc.app.runs import Runs


async def ended(raised: BaseException | None, seconds: float = 60.0) -> Run:
    """A run whose block raised this."""
    runs = Runs(MemoryRunStore(10), SystemClock())
    run = runs.begin(Question("?"))
    deadline = Deadline.after(seconds)
    if raised is None:
        async with runs.open(run, deadline):
            assert (await runs.get(run.id)).state is RunState.RUNNING
    else:
        with pytest.raises(type(raised)) as caught:
            async with runs.open(run, deadline):
                raise raised
        assert caught.value is raised
    return await runs.get(run.id)


async def test_it_is_remembered_from_its_beginning_and_finished_at_its_end() -> None:
    assert (await ended(None)).state is RunState.FINISHED


async def test_when_the_caller_left_it_was_cancelled() -> None:
    assert (await ended(asyncio.CancelledError())).state is RunState.CANCELLED


async def test_when_its_time_was_up_it_failed_because_nobody_left() -> None:
    run = await ended(asyncio.CancelledError(), seconds=0)
    assert run.state is RunState.FAILED
    assert isinstance(run.error, DeadlineExceeded)
    assert run.error.metadata["run_id"] == run.id


async def test_a_bug_is_remembered_under_the_id_that_the_caller_gets() -> None:
    bug = ZeroDivisionError("marker")
    run = await ended(bug)
    assert isinstance(run.error, Internal)
    assert run.error.message == as_internal(bug).message
    assert "marker" not in run.error.message
