"""Agents that fail, die and are late, over real gRPC: what they see of retries, and what the caller is told.

Every count is taken at the agent.
"""

from __future__ import annotations

import asyncio
import itertools
import signal
import threading
from collections import defaultdict
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

import grpc
import grpc.aio
import pytest
from google.protobuf import json_format

from agentmesh import errors
from agentmesh.agent import Agent, Call, RunningAgent, current_call
from agentmesh.jsonvalues import JsonObject
from agentmesh.transport import from_struct
from agentmesh.v1 import card_pb2, registry_service_pb2, run_pb2
from agentmesh.v1 import orchestrator_service_pb2 as pb
from tests.e2e.agents.troubled import Trouble, troubled_agent
from tests.e2e.errors import refusal_of
from tests.e2e.mesh import Mesh, minds, running_mesh
from tests.e2e.probe import Probe
from tests.e2e.processes import running
from tests.fakes.planner import FixedPlanner

REPEATABLE = ["look", "store"]
"""READ_ONLY and IDEMPOTENT; `pay` is a SIDE_EFFECT."""
SKILLS = [*REPEATABLE, "pay"]
QUICK = {"AGENTMESH_RETRY_BACKOFF_SECONDS": "0.01"}
UNTIL_IT_WORKS = {"AGENTMESH_MAX_ATTEMPTS": "10", "AGENTMESH_RETRY_BACKOFF_SECONDS": "0.2"}
"""Ten attempts take some seconds together: time enough for another process to take over."""


async def run(mesh: Mesh, *steps: Mapping[str, Any]) -> pb.ExecutePlanResponse:
    """Execute a plan, beside a step that succeeds, so that the run as a whole does not fail."""
    calm = {"id": "calm", "skill": "probe_agent__echo"}
    request = {
        "query": "Will it work?",
        "plan": {"steps": [*steps, calm]},
        "max_effect": "EFFECT_SIDE_EFFECT",
        "include_results": True,
    }
    return await mesh.orchestrator.ExecutePlan(json_format.ParseDict(request, pb.ExecutePlanRequest()))


def step(skill: str) -> dict[str, Any]:
    return {"id": "s", "skill": f"troubled_agent__{skill}", "arguments": {"item": "tea"}}


def mesh_with(trouble: Trouble, settings: Mapping[str, str] = QUICK) -> AbstractAsyncContextManager[Mesh]:
    return running_mesh(troubled_agent(trouble), Probe().agent(), minds=minds(FixedPlanner([])), settings=settings)


async def register(mesh: Mesh, agent: Agent, running_agent: RunningAgent) -> None:
    """List it, as it would do by itself if it were started for this mesh."""
    request = registry_service_pb2.RegisterRequest(card=agent.card(), address=running_agent.address)
    await mesh.registry.Register(request)


def failing_first(times: int, error: errors.MeshError, seen: list[Call]) -> Trouble:
    async def trouble(call: Call) -> None:
        seen.append(call)
        if len(seen) <= times:
            raise error

    return trouble


BUSY = errors.ResourceExhausted("three a minute", retry_after_seconds=0.02)
DOWN = errors.Unreachable("the database does not answer")
"""What a skill lets pass of something that it depends on; it is answered UNAVAILABLE."""


@pytest.mark.parametrize("error", [BUSY, DOWN], ids=["RESOURCE_EXHAUSTED", "UNAVAILABLE"])
@pytest.mark.parametrize("skill", REPEATABLE)
async def test_an_agent_that_fails_the_first_two_attempts_is_called_three_times(
    skill: str, error: errors.MeshError
) -> None:
    seen: list[Call] = []
    async with mesh_with(failing_first(2, error, seen)) as mesh:
        response = await run(mesh, step(skill))
    result = response.result.steps[0]
    assert (result.outcome, result.attempts) == (run_pb2.STEP_OUTCOME_SUCCEEDED, 3)
    assert from_struct(result.result) == {"item": "tea", "attempt": 3}
    assert [call.attempt for call in seen] == [1, 2, 3]
    assert len({call.idempotency_key for call in seen}) == 1
    assert response.result.usage.agent_calls == 4


@pytest.mark.parametrize("error", [BUSY, DOWN], ids=["RESOURCE_EXHAUSTED", "UNAVAILABLE"])
async def test_a_side_effect_that_fails_is_called_once(error: errors.MeshError) -> None:
    seen: list[Call] = []
    async with mesh_with(failing_first(1, error, seen)) as mesh:
        result = (await run(mesh, step("pay"))).result.steps[0]
    assert (result.outcome, result.reason) == (run_pb2.STEP_OUTCOME_FAILED, run_pb2.STEP_REASON_AGENT_ERROR)
    assert (result.attempts, len(seen)) == (1, 1)
    assert not result.effect_unknown, "the agent has answered"


async def test_an_agent_that_fails_for_good_is_called_as_often_as_the_settings_say() -> None:
    seen: list[Call] = []
    async with mesh_with(failing_first(99, BUSY, seen), {**QUICK, "AGENTMESH_MAX_ATTEMPTS": "4"}) as mesh:
        result = (await run(mesh, step("look"))).result.steps[0]
    assert (result.outcome, result.agent_reason) == (run_pb2.STEP_OUTCOME_FAILED, "RESOURCE_EXHAUSTED")
    assert result.attempts == len(seen) == 4


@pytest.mark.parametrize("skill", SKILLS)
async def test_what_does_not_pass_by_itself_is_called_once(skill: str) -> None:
    seen: list[Call] = []
    async with mesh_with(failing_first(99, errors.NotFound("no tea here"), seen)) as mesh:
        result = (await run(mesh, step(skill))).result.steps[0]
    assert (result.outcome, result.agent_reason, result.message) == (
        run_pb2.STEP_OUTCOME_FAILED,
        "NOT_FOUND",
        "no tea here",
    )
    assert result.attempts == len(seen) == 1


@pytest.mark.parametrize("skill", SKILLS)
async def test_an_agent_that_dies_after_it_received_the_request(skill: str) -> None:
    """It is restarted at its address. It gets again what may be repeated, with the same key, and no side effect."""
    seen: list[Call] = []
    successor = troubled_agent(failing_first(0, BUSY, seen))
    async with (
        running_mesh(Probe().agent(), minds=minds(FixedPlanner([])), settings=UNTIL_IT_WORKS) as mesh,
        running(
            "-m", "tests.e2e.agents.troubled", environment={"AGENTMESH_ORCHESTRATOR_ADDRESS": mesh.address}
        ) as victim,
    ):
        address = str((await victim.says("serving"))["address"])
        await victim.says("registered")
        asking = asyncio.create_task(run(mesh, step(skill)))
        called = await victim.says("called")
        assert await victim.ended() == -signal.SIGKILL
        async with await successor.start(address) as restarted:
            await register(mesh, successor, restarted)
            response = await asking
    result = response.result.steps[0]
    assert called["attempt"] == 1
    assert sum('"called"' in line for line in victim.lines) == 1
    assert result.endpoint == address
    if skill == "pay":
        assert (result.outcome, result.reason) == (run_pb2.STEP_OUTCOME_FAILED, run_pb2.STEP_REASON_AGENT_UNAVAILABLE)
        assert (result.attempts, result.effect_unknown, seen) == (1, True, [])
        assert "may or may not have happened" in response.result.answer
    else:
        assert (result.outcome, result.effect_unknown) == (run_pb2.STEP_OUTCOME_SUCCEEDED, False)
        assert [call.idempotency_key for call in seen] == [called["key"]]
        assert result.attempts == seen[0].attempt > 1


@pytest.mark.parametrize("skill", SKILLS)
async def test_an_agent_that_answers_after_its_deadline(skill: str) -> None:
    """Its first answer comes when nobody waits for it any more."""
    seen: list[Call] = []
    nobody_waits = threading.Event()
    answered: list[int] = []

    def work() -> dict[str, Any]:
        """Work for too long, once."""
        call = current_call()
        seen.append(call)
        if len(seen) == 1:
            nobody_waits.wait()
        answered.append(call.attempt)
        return {"attempt": call.attempt}

    agent = Agent("troubled_agent", version="1.0.0")
    effects: dict[str, Any] = {"look": "READ_ONLY", "store": "IDEMPOTENT", "pay": "SIDE_EFFECT"}
    agent.skill(effect=effects[skill], name=skill, timeout_seconds=0.3)(work)
    async with running_mesh(agent, Probe().agent(), minds=minds(FixedPlanner([])), settings=QUICK) as mesh:
        response = await run(mesh, {"id": "s", "skill": f"troubled_agent__{skill}"})
        nobody_waits.set()
    result = response.result.steps[0]
    if skill == "pay":
        assert result.outcome == run_pb2.STEP_OUTCOME_TIMED_OUT
        assert result.reason == run_pb2.STEP_REASON_DEADLINE_EXCEEDED
        assert (result.attempts, result.effect_unknown, len(seen)) == (1, True, 1)
        assert "may or may not have happened" in response.result.answer
        assert answered in ([], [1]), "it did happen, or will"
    else:
        assert (result.outcome, result.attempts) == (run_pb2.STEP_OUTCOME_SUCCEEDED, 2)
        assert from_struct(result.result) == {"attempt": 2}
        assert [call.attempt for call in seen] == [1, 2]
        assert seen[0].idempotency_key == seen[1].idempotency_key


async def test_an_agent_that_is_always_late_leaves_a_step_that_timed_out() -> None:
    cancelled: list[int] = []

    async def hang(call: Call) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(call.attempt)
            raise

    settings = {**QUICK, "AGENTMESH_SKILL_TIMEOUT_SECONDS": "0.2"}
    async with mesh_with(hang, settings) as mesh:
        result = (await run(mesh, step("look"))).result.steps[0]
    assert (result.outcome, result.reason) == (run_pb2.STEP_OUTCOME_TIMED_OUT, run_pb2.STEP_REASON_DEADLINE_EXCEEDED)
    assert result.attempts == 3
    assert cancelled == [1, 2, 3]


async def test_items_are_called_again_one_by_one() -> None:
    seen: defaultdict[int | None, list[Call]] = defaultdict(list)

    async def trouble(call: Call) -> None:
        calls = seen[call.item_index]
        calls.append(call)
        if len(calls) <= (call.item_index or 0):  # item 0 never fails, item 1 once, item 2 twice, item 3 for good
            raise BUSY

    each = {
        "id": "s",
        "skill": "troubled_agent__store",
        "for_each": ["a", "b", "c", "d"],
        "arguments": {"item": "${item}"},
        "optional": True,
    }
    async with mesh_with(trouble) as mesh:
        result = (await run(mesh, each)).result.steps[0]
    assert [(item.outcome, item.attempts) for item in result.items] == [
        (run_pb2.STEP_OUTCOME_SUCCEEDED, 1),
        (run_pb2.STEP_OUTCOME_SUCCEEDED, 2),
        (run_pb2.STEP_OUTCOME_SUCCEEDED, 3),
        (run_pb2.STEP_OUTCOME_FAILED, 3),
    ]
    assert (result.outcome, result.attempts) == (run_pb2.STEP_OUTCOME_SUCCEEDED, 9)
    assert {index: [call.attempt for call in calls] for index, calls in seen.items()} == {
        0: [1],
        1: [1, 2],
        2: [1, 2, 3],
        3: [1, 2, 3],
    }
    keys = [{call.idempotency_key for call in calls} for calls in seen.values()]
    assert all(len(of_item) == 1 for of_item in keys)
    assert len(set[str]().union(*keys)) == 4


async def test_an_outage_under_many_calls_is_not_multiplied() -> None:
    """At most share and burst above what was asked for, although every call may have three attempts."""
    calls, share, burst = 200, 0.2, 10
    count = itertools.count(1)
    seen = 0

    async def down(call: Call) -> None:
        nonlocal seen
        seen = next(count)
        raise DOWN

    each = {
        "id": "s",
        "skill": "troubled_agent__look",
        "for_each": list("x" * (calls // 4)),
        "arguments": {"item": "${item}"},
        "optional": True,
    }
    settings = {**QUICK, "AGENTMESH_RETRY_SHARE": str(share), "AGENTMESH_RETRY_BURST": str(burst)}
    async with mesh_with(down, settings) as mesh:
        responses = await asyncio.gather(*(run(mesh, each) for _ in range(4)))
    results = [response.result.steps[0] for response in responses]
    assert {item.outcome for result in results for item in result.items} == {run_pb2.STEP_OUTCOME_FAILED}
    assert sum(result.attempts for result in results) == seen
    assert calls + burst <= seen <= calls * (1 + share) + burst


async def test_a_side_effect_that_never_left_leaves_its_request_id_free(probe: Probe) -> None:
    """Its agent is gone, and still listed. When it is back, the same request runs afresh."""
    settings = {**QUICK, "AGENTMESH_SKILL_TIMEOUT_SECONDS": "1"}  # bounds the wait for an endpoint as well
    agent = probe.agent()
    request = pb.ExecutePlanRequest(
        max_effect=card_pb2.EFFECT_SIDE_EFFECT, answer_format=pb.ANSWER_FORMAT_RAW, request_id="order-7"
    )
    request.plan.steps.add(id="o", skill="probe_agent__order").arguments.update({"item": "paper"})
    async with running_mesh(minds=minds(FixedPlanner([])), settings=settings) as mesh:
        async with await agent.start() as gone:
            await register(mesh, agent, gone)
        await mesh.has_noticed_the_end_of(gone.address)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await mesh.orchestrator.ExecutePlan(request)
        assert refusal_of(caught.value).metadata["step_reason"] == "NO_ENDPOINT"
        assert probe.calls == []
        async with await agent.start(gone.address) as back:
            await register(mesh, agent, back)
            response = await mesh.orchestrator.ExecutePlan(request)
    assert probe.calls == ["order"]
    assert not response.result.replayed
    assert not response.result.steps[0].effect_unknown


async def test_each_attempt_is_an_event_of_the_run() -> None:
    seen: list[Call] = []
    ask = pb.AskStreamRequest(ask=pb.AskRequest(query="?", answer_format=pb.ANSWER_FORMAT_RAW))
    look: JsonObject = {"id": "s", "skill": "troubled_agent__look"}
    agent = troubled_agent(failing_first(2, BUSY, seen))
    async with running_mesh(agent, minds=minds(FixedPlanner([look])), settings=QUICK) as mesh:
        events = [message.event async for message in mesh.orchestrator.AskStream(ask)]
    started = [event.step_started for event in events if event.HasField("step_started")]
    assert [(event.step_id, event.attempt) for event in started] == [("s", 1), ("s", 2), ("s", 3)]
    assert {event.endpoint for event in started} == {events[-1].finished.steps[0].endpoint}
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
