"""Budgets over real gRPC: what is spent is counted at the agents and at the model, not taken from what is said."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import grpc.aio
import pytest

from agentmesh.jsonvalues import Json
from agentmesh.v1 import orchestrator_service_pb2 as pb
from agentmesh.v1 import plan_pb2, run_pb2
from tests.e2e.errors import Refusal, refusal_of
from tests.e2e.mesh import Mesh, running_mesh
from tests.e2e.probe import Probe
from tests.fakes.llm_replies import Fails, Streams, calls, says
from tests.fakes.scripted_llm import ScriptedLlm

PRICES = '{"scripted-1": {"input_per_million": 1.0, "output_per_million": 10.0}}'
ECHO: tuple[str, Json] = ("probe_agent__echo", {"text": "x"})
TEN: list[tuple[str, Json]] = [("probe_agent__echo", {"text": str(number)}) for number in range(10)]
NOBODY_WROTE = "The budget of this question did not allow a language model to write the answer"


@asynccontextmanager
async def mesh_with(llm: ScriptedLlm, probe: Probe, **settings: str) -> AsyncIterator[Mesh]:
    environment = {"AGENTMESH_LLM_BASE_URL": llm.base_url, "AGENTMESH_LLM_MODELS": "scripted-1", **settings}
    async with running_mesh(probe.agent(), settings=environment) as mesh:
        yield mesh


async def ask(mesh: Mesh, *, raw: bool = False, **budget: float) -> run_pb2.AskResponse:
    answer_format = pb.ANSWER_FORMAT_RAW if raw else pb.ANSWER_FORMAT_TEXT
    limits = pb.Budget(**budget)  # type: ignore[arg-type]  # fields by name
    return await mesh.orchestrator.Ask(pb.AskRequest(query="?", answer_format=answer_format, budget=limits))


async def refused(mesh: Mesh, **budget: float) -> Refusal:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await ask(mesh, raw=False, **budget)
    refusal = refusal_of(raised.value)
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "BUDGET_EXCEEDED")
    assert refusal.retry_seconds is None
    return refusal


def reasons(response: run_pb2.AskResponse) -> Counter[int]:
    return Counter(step.reason for step in response.steps)


async def test_ten_parallel_steps_with_a_budget_of_three_calls_reach_the_agent_three_times(
    llm: ScriptedLlm, probe: Probe
) -> None:
    llm.to_route(calls(*TEN))
    llm.to_write(says("Three of ten."))
    async with mesh_with(llm, probe) as mesh:
        response = await ask(mesh, agent_calls=3)
    assert len(probe.calls) == response.usage.agent_calls == 3
    assert reasons(response)[run_pb2.STEP_REASON_BUDGET_EXCEEDED] == 7
    assert (response.outcome, response.answer) == (run_pb2.RUN_OUTCOME_PARTIAL, "Three of ten.")


async def test_no_call_within_the_budget_is_an_error_that_names_the_limit(llm: ScriptedLlm, probe: Probe) -> None:
    llm.to_route(calls(ECHO))
    async with mesh_with(llm, probe) as mesh:
        refusal = await refused(mesh, agent_calls=0)
        run = (await mesh.orchestrator.GetRun(pb.GetRunRequest(run_id=refusal.metadata["run_id"]))).run
    assert refusal.limits == {"budget.agent_calls": "the budget of this run allows 0 agent calls"}
    assert (run.state, run.result.usage.llm_calls, probe.calls) == (run_pb2.RUN_STATE_FAILED, 1, [])


async def test_one_completion_is_a_plan_and_the_results_are_rendered(llm: ScriptedLlm, probe: Probe) -> None:
    llm.to_route(calls(ECHO))
    async with mesh_with(llm, probe) as mesh:
        response = await ask(mesh, llm_calls=1)
    assert (response.outcome, response.answer_source) == (
        run_pb2.RUN_OUTCOME_PARTIAL,
        run_pb2.ANSWER_SOURCE_RENDERED,
    )
    assert response.answer.startswith(NOBODY_WROTE)
    assert (response.usage.llm_calls, response.usage.llm_requests, len(llm.requests)) == (1, 1, 1)


async def test_raw_with_one_completion_is_complete(llm: ScriptedLlm, probe: Probe) -> None:
    llm.to_route(calls(ECHO))
    async with mesh_with(llm, probe) as mesh:
        response = await ask(mesh, raw=True, llm_calls=1)
    assert (response.outcome, response.answer) == (run_pb2.RUN_OUTCOME_COMPLETE, "")


async def test_what_leaves_no_room_for_a_plan_is_refused_before_a_model_is_asked(
    llm: ScriptedLlm, probe: Probe
) -> None:
    async with mesh_with(llm, probe, AGENTMESH_LLM_PRICES=PRICES) as mesh:
        limits = [(await refused(mesh, **budget)).limits for budget in ({"llm_calls": 0}, {"tokens": 50})]
        dear = await refused(mesh, cost_usd=0.000_001)
    assert [list(each) for each in (*limits, dear.limits)] == [
        ["budget.llm_calls"],
        ["budget.tokens"],
        ["budget.cost_usd"],
    ]
    assert llm.requests == []


async def test_a_limit_of_cost_needs_prices(llm: ScriptedLlm, probe: Probe) -> None:
    async with mesh_with(llm, probe) as mesh:
        refusal = await refused(mesh, cost_usd=1.0)
    assert "set its price in AGENTMESH_LLM_PRICES" in refusal.message
    assert llm.requests == []


async def test_tokens_that_routing_used_are_missing_for_the_answer(llm: ScriptedLlm, probe: Probe) -> None:
    llm.to_route(calls(ECHO, usage=(29_000, 900)))
    async with mesh_with(llm, probe) as mesh:
        response = await ask(mesh, tokens=30_000)
    assert (response.outcome, response.answer_source) == (
        run_pb2.RUN_OUTCOME_PARTIAL,
        run_pb2.ANSWER_SOURCE_RENDERED,
    )
    assert response.usage.input_tokens + response.usage.output_tokens == 29_900
    assert [request.routes for request in llm.requests] == [True]


async def test_retries_are_paid_from_the_same_budget(llm: ScriptedLlm, probe: Probe) -> None:
    limited = Fails(429, headers={"retry-after-ms": "1"})
    llm.to_route(limited, calls(ECHO, usage=(10_000, 100)))
    llm.to_write(limited, Streams(("It ", "says ")))
    async with mesh_with(llm, probe, AGENTMESH_LLM_PRICES=PRICES) as mesh:
        response = await ask(mesh, tokens=16_000, cost_usd=0.2)
    assert len(llm.requests) == response.usage.llm_requests == 4
    assert (response.outcome, response.usage.llm_calls) == (run_pb2.RUN_OUTCOME_PARTIAL, 2)
    assert response.usage.cost_usd == pytest.approx(0.011)
    assert response.answer.startswith(NOBODY_WROTE)


async def test_pieces_of_a_model_that_broke_off_are_void_when_the_renderer_takes_over(
    llm: ScriptedLlm, probe: Probe
) -> None:
    llm.to_route(calls(ECHO, usage=(10_000, 100)))
    llm.to_write(Streams(("It ", "says ")))
    async with mesh_with(llm, probe) as mesh:
        request = pb.AskStreamRequest(ask=pb.AskRequest(query="?", budget=pb.Budget(tokens=16_000)))
        events = [message.event async for message in mesh.orchestrator.AskStream(request)]
    kinds = [str(event.WhichOneof("event")) for event in events]
    reset = kinds.index("answer_reset")
    before, after = (
        [event.answer_token.text for event in part if event.HasField("answer_token")]
        for part in (events[:reset], events[reset:])
    )
    assert before == ["It ", "says "]
    assert "".join(after) == events[-1].finished.answer
    assert "".join(after).startswith(NOBODY_WROTE)


@pytest.mark.parametrize("budget", [{}, {"agent_calls": 9, "llm_calls": 2}], ids=["no budget", "a larger one"])
async def test_the_limits_of_the_server_hold_for_every_caller(
    llm: ScriptedLlm, probe: Probe, budget: dict[str, float]
) -> None:
    llm.to_route(calls(*TEN))
    async with mesh_with(llm, probe, AGENTMESH_BUDGET_AGENT_CALLS="2", AGENTMESH_BUDGET_LLM_CALLS="1") as mesh:
        response = await ask(mesh, raw=False, **budget)
    assert (response.usage.agent_calls, len(probe.calls)) == (2, 2)
    assert (response.usage.llm_calls, len(llm.requests)) == (1, 1)


async def test_a_plan_of_the_caller_has_a_budget_too(llm: ScriptedLlm, probe: Probe) -> None:
    steps = [plan_pb2.PlanStep(id=f"s{number}", skill="probe_agent__echo") for number in range(3)]
    plan = plan_pb2.Plan(steps=steps)
    async with mesh_with(llm, probe) as mesh:
        request = pb.ExecutePlanRequest(plan=plan, query="?", budget=pb.Budget(agent_calls=1, llm_calls=0))
        result = (await mesh.orchestrator.ExecutePlan(request)).result
    assert (result.outcome, len(probe.calls)) == (run_pb2.RUN_OUTCOME_PARTIAL, 1)
    assert result.answer.startswith(NOBODY_WROTE)
    assert llm.requests == []
