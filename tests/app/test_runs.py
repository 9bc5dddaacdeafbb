"""How runs end, and to whom they belong: attached callers, repetitions, watchers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from structlog.testing import capture_logs

from agentmesh.cards import Effect
from agentmesh.deadline import Deadline
from agentmesh.errors import (
    AllStepsFailed,
    DeadlineExceeded,
    Internal,
    NotFound,
    Overloaded,
    RequestIdReused,
    RunCancelled,
    RunNotFound,
    SkillFailed,
)
from agentmesh.jsonvalues import JsonObject
from orchestrator_svc.adapters.memory_run_store import MemoryRunStore
from orchestrator_svc.app.admission import Admission
from orchestrator_svc.app.ledger import Ledger
from orchestrator_svc.app.live_run import Attached
from orchestrator_svc.app.ports.planner import Question, Routing
from orchestrator_svc.app.request import ANONYMOUS, RunRequest
from orchestrator_svc.app.run import Run, RunState
from orchestrator_svc.app.run_events import Accepted, AnswerToken, Finished, Planned, StepFinished, StepStarted
from orchestrator_svc.app.scope import Scope
from orchestrator_svc.core.catalog import Catalog
from tests.app.mesh import Mesh, mesh
from tests.app.skills import ONE, answers, failing
from tests.fakes.agent_caller import SkillFunction
from tests.fakes.clock import ManualClock
from tests.fakes.planner import FixedPlanner

SAME = RunRequest(Question("?"), request_id="order-7")
WRITE: JsonObject = {"id": "w", "skill": "four__write"}
ANY_EFFECT = Scope(max_effect=Effect.SIDE_EFFECT)


class Gate:
    """A skill that has begun, and answers when it is let."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.open = asyncio.Event()

    async def skill(self, arguments: JsonObject) -> JsonObject:
        self.begun.set()
        await self.open.wait()
        return {}


class Caller:
    """Somebody who waits for a run."""

    def __init__(self, a_mesh: Mesh, request: RunRequest, seconds: float = 60.0) -> None:
        self._attached: asyncio.Future[Attached] = asyncio.get_running_loop().create_future()
        self.task = asyncio.create_task(self._wait(a_mesh, request, seconds))

    async def _wait(self, a_mesh: Mesh, request: RunRequest, seconds: float) -> Run:
        async with a_mesh.runs.attached(request, Deadline.after(seconds)) as attached:
            self._attached.set_result(attached)
            return await attached.ended()

    async def attached(self) -> Attached:
        return await self._attached

    async def leave(self) -> None:
        self.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await self.task


async def waiting(a_mesh: Mesh, request: RunRequest) -> tuple[Caller, Run]:
    caller = Caller(a_mesh, request)
    return caller, (await caller.attached()).run


# --- how a run ends ---


async def test_at_its_deadline_a_run_has_failed_because_nobody_left(catalog: Catalog) -> None:
    a_mesh = await mesh(catalog, FixedPlanner([ONE]), {"one__read": Gate().skill})
    with pytest.raises(DeadlineExceeded) as caught:
        await a_mesh.ask(seconds=0)
    [run] = a_mesh.begun
    assert run.state is RunState.FAILED
    assert caught.value.metadata["run_id"] == run.id


async def test_a_run_that_is_cancelled_before_its_first_step_ends_as_well(catalog: Catalog) -> None:
    admission = Admission(1, 0)
    a_mesh = await mesh(catalog, FixedPlanner([ONE]), {"one__read": Gate().skill}, admission=admission)
    async with a_mesh.runs.attached(RunRequest(Question("?")), Deadline.after(60)) as attached:
        await a_mesh.runs.close()
        with pytest.raises(RunCancelled):
            await attached.ended()
    assert admission.inside == 0


async def test_a_bug_is_remembered_under_the_id_that_the_caller_gets(catalog: Catalog) -> None:
    class Broken(FixedPlanner):
        async def route(self, question: Question, catalog: Catalog, ledger: Ledger, deadline: Deadline) -> Routing:
            raise ZeroDivisionError("marker")

    a_mesh = await mesh(catalog, Broken([]), {})
    with pytest.raises(Internal) as caught, capture_logs() as log:
        await a_mesh.ask()
    assert "marker" not in caught.value.message
    [incident] = [line["incident"] for line in log if line["event"] == "unexpected error"]
    assert incident in caught.value.message
    assert (await a_mesh.runs.get(a_mesh.begun[0].id, ANONYMOUS)).error is caught.value


async def test_its_end_is_one_line_in_the_log_also_when_nobody_waits(catalog: Catalog) -> None:
    gate = Gate()
    a_mesh = await mesh(catalog, FixedPlanner([ONE]), {"one__read": gate.skill})
    with capture_logs() as log:
        asker, run = await waiting(a_mesh, RunRequest(Question("?"), keep_running=True))
        await gate.begun.wait()
        await asker.leave()
        gate.open.set()
        await run.journal.closed()
        await asyncio.sleep(0)
    [line] = [line for line in log if line["event"] == "run"]
    assert (line["state"], line["outcome"], line["llm_calls"], line["agent_calls"]) == ("FINISHED", "COMPLETE", 2, 1)


async def test_its_events_tell_its_story(catalog: Catalog) -> None:
    a_mesh = await mesh(catalog, FixedPlanner([ONE]), {"one__read": answers})
    async with a_mesh.runs.attached(RunRequest(Question("?")), Deadline.after(60)) as attached:
        entries = [entry async for entry in attached.events()]
    assert [entry.sequence for entry in entries] == list(range(1, len(entries) + 1))
    assert [entry.event for entry in entries] == [
        Accepted(),
        Planned(),
        StepStarted("a", None, 1, "fake:one"),
        StepFinished("a"),
        AnswerToken("written "),
        AnswerToken("by a model"),
        Finished(),
    ]


async def test_the_events_of_a_run_that_fails_end_with_its_error(catalog: Catalog) -> None:
    a_mesh = await mesh(catalog, FixedPlanner([ONE]), {"one__read": failing(NotFound("gone"))})
    async with a_mesh.runs.attached(RunRequest(Question("?")), Deadline.after(60)) as attached:
        events = attached.events()
        assert [(await anext(events)).event for _ in range(4)][-1] == StepFinished("a")
        with pytest.raises(AllStepsFailed, match="gone"):
            await anext(events)


# --- to whom it belongs ---


async def test_when_the_last_caller_leaves_the_run_is_cancelled_down_to_the_agents(catalog: Catalog) -> None:
    gate = Gate()
    a_mesh = await mesh(catalog, FixedPlanner([ONE]), {"one__read": gate.skill})
    first, run = await waiting(a_mesh, SAME)
    second, joined = await waiting(a_mesh, SAME)
    assert joined is run
    await gate.begun.wait()
    await first.leave()
    assert not run.ended_at
    await second.leave()
    await run.journal.closed()
    assert run.state is RunState.CANCELLED
    assert [call.step_id for call in a_mesh.caller.cancelled] == ["a"]


async def test_a_watcher_keeps_a_run_alive(catalog: Catalog) -> None:
    gate = Gate()
    a_mesh = await mesh(catalog, FixedPlanner([ONE]), {"one__read": gate.skill})
    asker, run = await waiting(a_mesh, RunRequest(Question("?")))
    await gate.begun.wait()
    async with a_mesh.runs.watching(run.id, ANONYMOUS) as watcher:
        await asker.leave()
        gate.open.set()
        assert (await watcher.ended()).state is RunState.FINISHED


async def test_a_run_that_is_to_be_kept_running_is_left_by_everybody_and_answers(catalog: Catalog) -> None:
    gate = Gate()
    a_mesh = await mesh(catalog, FixedPlanner([ONE]), {"one__read": gate.skill})
    asker, run = await waiting(a_mesh, RunRequest(Question("?"), keep_running=True))
    await gate.begun.wait()
    await asker.leave()
    gate.open.set()
    await run.journal.closed()
    assert (run.state, run.answer) == (RunState.FINISHED, "written by a model")


async def test_a_run_that_is_kept_running_ends_at_its_own_deadline(catalog: Catalog) -> None:
    gate = Gate()
    a_mesh = await mesh(catalog, FixedPlanner([ONE]), {"one__read": gate.skill})
    asker = Caller(a_mesh, RunRequest(Question("?"), raw=True, keep_running=True), seconds=0.3)
    run = (await asker.attached()).run
    await gate.begun.wait()
    await asker.leave()
    await run.journal.closed()
    assert run.state is RunState.FAILED


async def test_cancelling_a_run_ends_it_for_everybody(catalog: Catalog) -> None:
    gate = Gate()
    a_mesh = await mesh(catalog, FixedPlanner([ONE]), {"one__read": gate.skill})
    callers = [await waiting(a_mesh, SAME) for _ in range(3)]
    await gate.begun.wait()
    run = await a_mesh.runs.cancel(callers[0][1].id, ANONYMOUS)
    assert run.state is RunState.CANCELLED
    for caller, _ in callers:
        with pytest.raises(RunCancelled):
            await caller.task


async def test_cancelling_a_run_that_has_ended_changes_nothing(catalog: Catalog) -> None:
    a_mesh = await mesh(catalog, FixedPlanner([ONE]), {"one__read": answers})
    run = await a_mesh.ask()
    assert (await a_mesh.runs.cancel(run.id, ANONYMOUS)).state is RunState.FINISHED


async def test_a_run_of_another_caller_does_not_exist(catalog: Catalog) -> None:
    a_mesh = await mesh(catalog, FixedPlanner([ONE]), {"one__read": answers})
    run = await a_mesh.answered(RunRequest(Question("?"), caller="billing"))
    assert await a_mesh.runs.get(run.id, "billing") is run
    with pytest.raises(RunNotFound):
        await a_mesh.runs.get(run.id, "shipping")
    with pytest.raises(RunNotFound):
        await a_mesh.runs.cancel(run.id, "shipping")
    with pytest.raises(RunNotFound):
        async with a_mesh.runs.watching(run.id, "shipping"):
            pass


# --- the same request again ---


async def test_fifty_identical_requests_are_one_run(catalog: Catalog) -> None:
    gate = Gate()
    planner = FixedPlanner([ONE])
    a_mesh = await mesh(catalog, planner, {"one__read": gate.skill})
    callers = [Caller(a_mesh, SAME) for _ in range(50)]
    await gate.begun.wait()
    await callers[0].leave()
    gate.open.set()
    runs = [await caller.task for caller in callers[1:]]
    assert len({id(run) for run in runs}) == 1
    assert runs[0].answer == "written by a model"
    assert (len(planner.questions), len(a_mesh.model.briefs), len(a_mesh.caller.started)) == (1, 1, 1)


async def test_a_repetition_of_what_has_finished_gets_its_answer(catalog: Catalog) -> None:
    planner = FixedPlanner([ONE])
    a_mesh = await mesh(catalog, planner, {"one__read": answers})
    run = await a_mesh.answered(SAME)
    async with a_mesh.runs.attached(SAME, Deadline.after(60)) as again:
        assert (again.replayed, await again.ended()) == (True, run)
    assert len(planner.questions) == 1


async def test_watching_what_has_finished_is_no_repetition_of_its_request(catalog: Catalog) -> None:
    a_mesh = await mesh(catalog, FixedPlanner([ONE]), {"one__read": answers})
    run = await a_mesh.answered(SAME)
    async with a_mesh.runs.watching(run.id, ANONYMOUS) as watcher:
        assert (watcher.replayed, await watcher.ended()) == (False, run)


async def test_after_its_time_a_repetition_is_a_new_request(catalog: Catalog) -> None:
    clock = ManualClock()
    store = MemoryRunStore(10, clock=clock, replay_seconds=5)
    a_mesh = await mesh(catalog, FixedPlanner([ONE]), {"one__read": answers}, store=store, clock=clock)
    run = await a_mesh.answered(SAME)
    clock.advance(6)
    assert (await a_mesh.answered(SAME)).id != run.id


async def test_another_caller_may_use_the_same_request_id(catalog: Catalog) -> None:
    a_mesh = await mesh(catalog, FixedPlanner([ONE]), {"one__read": answers})
    mine = await a_mesh.answered(SAME)
    theirs = await a_mesh.answered(RunRequest(Question("!"), request_id="order-7", caller="billing"))
    assert mine.id != theirs.id


@pytest.mark.parametrize(
    "other",
    [
        RunRequest(Question("!"), request_id="order-7"),
        RunRequest(Question("?"), request_id="order-7", raw=True),
        RunRequest(Question("?"), {"steps": []}, request_id="order-7"),
        RunRequest(Question("?"), request_id="order-7", scope=ANY_EFFECT),
        RunRequest(Question("?"), request_id="order-7", conversation_id="c"),
    ],
    ids=["query", "format", "plan", "effect", "conversation"],
)
async def test_a_request_id_with_another_content_is_refused(catalog: Catalog, other: RunRequest) -> None:
    a_mesh = await mesh(catalog, FixedPlanner([ONE]), {"one__read": answers})
    await a_mesh.answered(SAME)
    with pytest.raises(RequestIdReused):
        await a_mesh.answered(other)


async def test_what_failed_without_changing_anything_runs_afresh(catalog: Catalog) -> None:
    planner = FixedPlanner([ONE])
    a_mesh = await mesh(catalog, planner, {"one__read": failing(NotFound("gone"))})
    for _ in range(2):
        with pytest.raises(Exception, match="gone"):
            await a_mesh.answered(SAME)
    assert len(planner.questions) == 2
    assert len({run.id for run in a_mesh.begun}) == 2


async def test_what_was_cancelled_without_changing_anything_runs_afresh(catalog: Catalog) -> None:
    gate = Gate()
    a_mesh = await mesh(catalog, FixedPlanner([ONE]), {"one__read": gate.skill})
    caller, run = await waiting(a_mesh, SAME)
    await gate.begun.wait()
    await caller.leave()
    await run.journal.closed()
    gate.open.set()
    assert (await a_mesh.answered(SAME)).id != run.id


def hangs(gate: Gate) -> SkillFunction:
    return gate.skill


def refuses(gate: Gate) -> SkillFunction:
    return failing(SkillFailed("the printer is out of paper"))


@pytest.mark.parametrize("how", [refuses, hangs], ids=["failed", "cancelled"])
async def test_what_may_have_changed_something_is_not_done_again(
    catalog: Catalog, how: Callable[[Gate], SkillFunction]
) -> None:
    gate = Gate()
    a_mesh = await mesh(catalog, FixedPlanner([WRITE]), {"four__write": how(gate)})
    order = RunRequest(Question("?"), request_id="order-7", scope=ANY_EFFECT)
    caller, run = await waiting(a_mesh, order)
    if how is hangs:
        await gate.begun.wait()
        caller.task.cancel()
    await asyncio.wait([caller.task])
    await run.journal.closed()
    assert run.error is not None
    with pytest.raises(type(run.error)) as caught:
        await a_mesh.answered(order)
    assert caught.value.metadata["run_id"] == run.id
    assert caught.value.metadata["may_have_changed_things"] == "true"
    assert len(a_mesh.caller.started) == 1


async def test_a_repetition_of_what_is_being_cancelled_waits_for_its_end_and_runs_afresh(catalog: Catalog) -> None:
    gate, cleaned = Gate(), asyncio.Event()

    async def cleans_up(arguments: JsonObject) -> JsonObject:
        try:
            return await gate.skill(arguments)
        finally:
            await cleaned.wait()

    a_mesh = await mesh(catalog, FixedPlanner([ONE]), {"one__read": cleans_up})
    first, abandoned = await waiting(a_mesh, SAME)
    await gate.begun.wait()
    await first.leave()
    again = Caller(a_mesh, SAME)
    gate.open.set()
    cleaned.set()
    answered = await again.task
    assert (abandoned.state, answered.state) == (RunState.CANCELLED, RunState.FINISHED)


async def test_what_may_have_changed_something_when_a_bug_broke_the_run_is_not_done_again(catalog: Catalog) -> None:
    async def breaks(arguments: JsonObject) -> JsonObject:
        raise ZeroDivisionError

    a_mesh = await mesh(catalog, FixedPlanner([WRITE]), {"four__write": breaks})
    order = RunRequest(Question("?"), request_id="order-7", scope=ANY_EFFECT)
    for _ in range(2):
        with pytest.raises(Internal):
            await a_mesh.answered(order)
    assert len(a_mesh.caller.started) == 1
    first, repeated = a_mesh.begun
    assert first is repeated
    assert first.steps["w"].outcome.effect_unknown


async def test_after_a_crash_a_repetition_executes_the_stored_plan_with_the_same_keys(catalog: Catalog) -> None:
    store = MemoryRunStore(10, clock=ManualClock(), replay_seconds=60)
    gate, planner = Gate(), FixedPlanner([{**ONE, "arguments": {"x": "${string(now)}"}}])
    crashed = await mesh(catalog, planner, {"one__read": gate.skill}, store=store)
    asker, run = await waiting(crashed, SAME)
    await gate.begun.wait()

    survivor = await mesh(catalog, FixedPlanner([]), {"one__read": answers}, store=store)
    again = await survivor.answered(SAME)
    assert (again.id, again.state, again.plan_source) == (run.id, RunState.FINISHED, run.plan_source)
    assert again.ledger.llm_calls == 2
    [before], [after] = crashed.caller.started, survivor.caller.started
    assert (after.arguments, after.idempotency_key) == (before.arguments, before.idempotency_key)
    await asker.leave()


# --- how many at once ---


async def test_one_run_too_many_is_refused_and_joining_or_repeating_is_not(catalog: Catalog) -> None:
    gate = Gate()
    a_mesh = await mesh(catalog, FixedPlanner([ONE]), {"one__read": gate.skill}, admission=Admission(1, 0))
    first, run = await waiting(a_mesh, SAME)
    with pytest.raises(Overloaded):
        await a_mesh.ask()
    with pytest.raises(Overloaded):
        await a_mesh.runs.plan(RunRequest(Question("?")), Deadline.after(60))
    second, joined = await waiting(a_mesh, SAME)
    assert joined is run
    gate.open.set()
    await asyncio.gather(first.task, second.task)
    third, replayed = await waiting(a_mesh, SAME)
    assert (await third.task) is replayed is run
    assert (await a_mesh.ask()).state is RunState.FINISHED
