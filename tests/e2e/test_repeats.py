"""The same request again: one run, one answer, whatever happens to those who wait for it."""

from __future__ import annotations

import asyncio

import grpc
import grpc.aio
import pytest

from agentmesh.v1 import card_pb2, run_pb2
from agentmesh.v1 import orchestrator_service_pb2 as pb
from tests.e2e.errors import refusal_of
from tests.e2e.mesh import running_mesh
from tests.e2e.probe import Probe
from tests.e2e.test_ask import mesh_with
from tests.fakes.llm_replies import calls, says
from tests.fakes.scripted_llm import ScriptedLlm

CALLERS = 50
SAME = pb.AskRequest(query="what is up?", request_id="order-7")


async def test_fifty_identical_asks_are_one_run_and_one_that_leaves_harms_no_other(
    llm: ScriptedLlm, probe: Probe
) -> None:
    llm.to_route(calls(("probe_agent__wait", {}), ("probe_agent__echo", {"text": "x"})))
    llm.to_write(says("all is well"))
    async with mesh_with(llm, probe) as mesh:
        asked = [mesh.orchestrator.Ask(SAME) for _ in range(CALLERS)]
        answers = [asyncio.ensure_future(call) for call in asked]
        await probe.started.wait()
        asked[0].cancel()
        with pytest.raises(asyncio.CancelledError):
            await answers[0]
        probe.release.set()
        given = await asyncio.gather(*answers[1:])
        late = await mesh.orchestrator.Ask(SAME)
    assert len(given) == CALLERS - 1
    # One that came when the run had ended was given the stored answer, and says so.
    for answer in (*given, late):
        answer.replayed = False
    assert len({answer.SerializeToString(deterministic=True) for answer in (*given, late)}) == 1
    assert given[0].answer == "all is well"
    assert len(llm.requests) == 2
    assert sorted(probe.calls) == ["echo", "wait"]


async def test_a_repetition_of_what_has_ended_says_that_it_is_one(llm: ScriptedLlm, probe: Probe) -> None:
    llm.to_route(calls(("probe_agent__echo", {"text": "x"})))
    llm.to_write(says("all is well"))
    async with mesh_with(llm, probe) as mesh:
        first = await mesh.orchestrator.Ask(SAME)
        again = await mesh.orchestrator.Ask(SAME)
        streamed = [m.event async for m in mesh.orchestrator.AskStream(pb.AskStreamRequest(ask=SAME))]
    assert (first.replayed, again.replayed, streamed[-1].finished.replayed) == (False, True, True)
    assert again.run_id == first.run_id == streamed[-1].finished.run_id
    assert [event.sequence for event in streamed] == list(range(1, len(streamed) + 1))


async def test_another_content_under_the_same_request_id_is_refused(llm: ScriptedLlm, probe: Probe) -> None:
    llm.to_route(calls(("probe_agent__echo", {"text": "x"})))
    llm.to_write(says("all is well"))
    async with mesh_with(llm, probe) as mesh:
        await mesh.orchestrator.Ask(SAME)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await mesh.orchestrator.Ask(pb.AskRequest(query="what is down?", request_id="order-7"))
    refusal = refusal_of(caught.value)
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_ID_REUSED")


async def test_a_repeated_plan_that_orders_something_orders_it_once(probe: Probe) -> None:
    request = pb.ExecutePlanRequest(
        answer_format=pb.ANSWER_FORMAT_RAW, max_effect=card_pb2.EFFECT_SIDE_EFFECT, request_id="order-7"
    )
    step = request.plan.steps.add(id="o", skill="probe_agent__order")
    step.arguments.update({"item": "paper"})
    async with running_mesh(probe.agent()) as mesh:
        runs = await asyncio.gather(*(mesh.orchestrator.ExecutePlan(request) for _ in range(10)))
    assert probe.calls == ["order"]
    assert len({run.result.run_id for run in runs}) == 1
    assert {run.result.outcome for run in runs} == {run_pb2.RUN_OUTCOME_COMPLETE}
