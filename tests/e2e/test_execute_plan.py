"""ExecutePlan over real gRPC: flow, failures, sizes, and what is left when a caller leaves."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Mapping
from typing import Any

import grpc
import grpc.aio
import pytest
from google.protobuf import json_format, struct_pb2

from agentmesh.agent import Agent, Call, current_call
from agentmesh.jsonvalues import OFF_LOOP_BYTES, Json
from agentmesh.transport import from_struct
from agentmesh.v1 import (
    agent_service_pb2,
    agent_service_pb2_grpc,
    card_pb2,
    orchestrator_service_pb2,
    registry_service_pb2,
    run_pb2,
)
from tests.e2e.card_server import serving_card
from tests.e2e.errors import refusal_of
from tests.e2e.mesh import Mesh, minds, running_mesh
from tests.e2e.probe import Probe
from tests.fakes.planner import FixedPlanner


def raw(*steps: Mapping[str, Any], **fields: object) -> orchestrator_service_pb2.ExecutePlanRequest:
    return json_format.ParseDict(
        {"plan": {"steps": list(steps)}, "answer_format": "ANSWER_FORMAT_RAW", **fields},
        orchestrator_service_pb2.ExecutePlanRequest(),
    )


async def run(mesh: Mesh, *steps: Mapping[str, Any], **fields: object) -> dict[str, run_pb2.StepResult]:
    response = await mesh.orchestrator.ExecutePlan(raw(*steps, **fields))
    return {step.step_id: step for step in response.result.steps}


FIND = {"id": "scan", "skill": "probe_agent__find", "arguments": {"names": ["web", "db"]}}


async def test_conditions_and_repeats_run_over_real_agents(mesh: Mesh) -> None:
    steps = await run(
        mesh,
        FIND,
        {
            "id": "first",
            "skill": "probe_agent__echo",
            "arguments": {"text": "${scan.result[0].component}"},
            "when": "size(scan.result) > 0",
        },
        {
            "id": "each",
            "skill": "probe_agent__echo",
            "for_each": "scan.result",
            "arguments": {"text": "is ${item.component} up?", "number": "${index}"},
        },
        {"id": "never", "skill": "probe_agent__echo", "when": "size(scan.result) > 5"},
    )
    assert from_struct(steps["first"].result) == {"text": "web", "number": 0}
    assert [from_struct(item.result) for item in steps["each"].items] == [
        {"text": "is web up?", "number": 0},
        {"text": "is db up?", "number": 1},
    ]
    assert steps["never"].outcome == run_pb2.STEP_OUTCOME_SKIPPED
    assert steps["never"].reason == run_pb2.STEP_REASON_CONDITION_FALSE


async def test_a_large_plan_is_checked_in_a_thread_and_runs_as_any_other(mesh: Mesh) -> None:
    steps = await run(
        mesh,
        {"id": "long", "skill": "probe_agent__echo", "arguments": {"text": "x" * OFF_LOOP_BYTES}},
        {
            "id": "length",
            "skill": "probe_agent__echo",
            "arguments": {"text": "long", "number": "${size(long.text)}"},
            "when": "size(long.text) > 5",
        },
    )
    assert from_struct(steps["length"].result) == {"text": "long", "number": OFF_LOOP_BYTES}


async def test_a_step_starts_while_a_sibling_still_waits(mesh: Mesh) -> None:
    """`let_go` can only run if its own step does not wait for `slow`, which waits for it."""
    steps = await run(
        mesh,
        {"id": "slow", "skill": "probe_agent__wait"},
        {"id": "fast", "skill": "probe_agent__echo"},
        {"id": "after", "skill": "probe_agent__let_go", "depends_on": ["fast"]},
    )
    assert {step.outcome for step in steps.values()} == {run_pb2.STEP_OUTCOME_SUCCEEDED}


async def test_a_caller_that_leaves_is_seen_by_the_agent(mesh: Mesh, probe: Probe) -> None:
    call = mesh.orchestrator.ExecutePlan(raw({"id": "slow", "skill": "probe_agent__wait"}))
    waiting = asyncio.ensure_future(_outcome(call))
    await probe.started.wait()
    call.cancel()
    await probe.cancelled.wait()
    assert await waiting is grpc.StatusCode.CANCELLED
    run_id = dict(await call.trailing_metadata()).get("agentmesh-run-id")
    assert run_id is None or isinstance(run_id, str)


async def test_a_deadline_of_the_caller_reaches_the_agent(mesh: Mesh, probe: Probe) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await mesh.orchestrator.ExecutePlan(raw({"id": "slow", "skill": "probe_agent__wait"}), timeout=0.4)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    await probe.cancelled.wait()


async def test_an_error_has_its_code_reason_and_the_first_failure(mesh: Mesh) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await run(mesh, {"id": "gone", "skill": "probe_agent__fail", "arguments": {"how": "not_found"}})
    refusal = refusal_of(caught.value)
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.NOT_FOUND, "ALL_STEPS_FAILED")
    assert refusal.metadata["step_id"] == "gone"
    assert refusal.metadata["step_reason"] == "AGENT_ERROR"
    remembered = await mesh.orchestrator.GetRun(
        orchestrator_service_pb2.GetRunRequest(run_id=refusal.metadata["run_id"])
    )
    assert remembered.run.state == run_pb2.RUN_STATE_FAILED
    assert remembered.run.error.code == grpc.StatusCode.NOT_FOUND.value[0]
    assert remembered.run.result.steps[0].agent_reason == "NOT_FOUND"


async def test_what_a_skill_raises_by_mistake_reaches_no_caller(mesh: Mesh) -> None:
    marker = "marker-7f3a"
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await run(mesh, {"id": "bug", "skill": "probe_agent__fail", "arguments": {"how": marker}})
    assert marker not in str(caught.value)
    assert marker.encode() not in b"".join(
        value if isinstance(value, bytes) else value.encode() for _, value in caught.value.trailing_metadata()
    )
    refusal = refusal_of(caught.value)
    remembered = await mesh.orchestrator.GetRun(
        orchestrator_service_pb2.GetRunRequest(run_id=refusal.metadata["run_id"])
    )
    without_plan = remembered.run.result
    without_plan.ClearField("plan")
    assert marker not in str(without_plan)


async def test_every_violation_of_a_plan_is_reported_at_once(mesh: Mesh) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await run(
            mesh,
            {"id": "Scan", "skill": "probe_agent__fnd"},
            {"id": "b", "skill": "probe_agent__echo", "arguments": {"txt": 1, "number": "many"}, "when": "scan.x"},
            {"id": "c", "skill": "probe_agent__echo", "depends_on": ["c"]},
        )
    refusal = refusal_of(caught.value)
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "PLAN_INVALID")
    assert refusal.fields == {
        "steps[0].id": "STEP_ID_INVALID",
        "steps[0].skill": "SKILL_UNKNOWN",
        "steps[1].arguments.txt": "ARGUMENT_UNKNOWN",
        "steps[1].arguments.number": "ARGUMENT_INVALID",
        "steps[1].when": "STEP_UNKNOWN",
        "steps[2]": "CYCLE",
    }
    assert "probe_agent__find" in refusal.descriptions["steps[0].skill"]


async def test_a_side_effect_needs_to_be_allowed(mesh: Mesh, probe: Probe) -> None:
    step: dict[str, Json] = {"id": "buy", "skill": "probe_agent__order", "arguments": {"item": "tea"}}
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await run(mesh, step)
    assert refusal_of(caught.value).reason == "EFFECT_NOT_ALLOWED"
    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
    assert probe.calls == []
    steps = await run(mesh, step, max_effect="EFFECT_SIDE_EFFECT")
    assert steps["buy"].outcome == run_pb2.STEP_OUTCOME_SUCCEEDED
    assert probe.calls == ["order"]


async def test_results_that_are_too_many_leave_the_largest_out_and_get_run_has_them(mesh: Mesh) -> None:
    response = await mesh.orchestrator.ExecutePlan(
        raw(
            *(
                {"id": f"b{kilobytes}", "skill": "probe_agent__blob", "arguments": {"kilobytes": kilobytes}}
                for kilobytes in (1000, 900, 800, 700)
            )
        )
    )
    omitted = {step.step_id: step.result_omitted for step in response.result.steps}
    assert omitted == {"b1000": True, "b900": False, "b800": False, "b700": False}
    assert response.ByteSize() < 4 * 1024 * 1024
    whole = await mesh.orchestrator.GetRun(
        orchestrator_service_pb2.GetRunRequest(run_id=response.result.run_id, step_id="b1000")
    )
    assert len(str(from_struct(whole.run.result.steps[0].result)["blob"])) == 1000 * 1024


async def test_of_many_items_the_smallest_are_carried_and_get_run_has_each(mesh: Mesh) -> None:
    response = await mesh.orchestrator.ExecutePlan(
        raw(
            {
                "id": "each",
                "skill": "probe_agent__blob",
                "for_each": [900, 1000, 800, 700],
                "arguments": {"kilobytes": "${item}"},
            }
        )
    )
    (step,) = response.result.steps
    assert [item.result_omitted for item in step.items] == [False, True, False, False]
    assert [item.HasField("result") for item in step.items] == [True, False, True, True]
    assert step.result_omitted
    assert step.items[1].result_bytes > 1000 * 1024
    one = await mesh.orchestrator.GetRun(
        orchestrator_service_pb2.GetRunRequest(run_id=response.result.run_id, step_id="each", item_index=1)
    )
    (item,) = one.run.result.steps[0].items
    assert item.index == 1
    assert len(str(from_struct(item.result)["blob"])) == 1000 * 1024


async def test_a_result_that_fits_no_response_with_others_is_fetched_alone(mesh: Mesh) -> None:
    # Numbers take five times as much on the wire as in JSON.
    response = await mesh.orchestrator.ExecutePlan(
        raw({"id": "many", "skill": "probe_agent__zeros", "arguments": {"count": 300_000}})
    )
    assert response.result.steps[0].result_omitted
    run_id = response.result.run_id
    whole = await mesh.orchestrator.GetRun(orchestrator_service_pb2.GetRunRequest(run_id=run_id))
    assert whole.run.result.steps[0].result_omitted
    alone = await mesh.orchestrator.GetRun(orchestrator_service_pb2.GetRunRequest(run_id=run_id, step_id="many"))
    assert len(alone.run.result.steps[0].result.fields["result"].list_value.values) == 300_000


async def test_a_response_fits_its_reader_with_its_plan(mesh: Mesh) -> None:
    echoes = (
        {"id": f"e{number}", "skill": "probe_agent__echo", "arguments": {"text": "x" * 340_000}} for number in range(3)
    )
    blobs = (
        {"id": f"b{number}", "skill": "probe_agent__blob", "arguments": {"kilobytes": 1000}} for number in range(2)
    )
    response = await mesh.orchestrator.ExecutePlan(raw(*echoes, *blobs))
    assert [step.step_id for step in response.result.steps if step.result_omitted] == ["b1"]
    assert response.ByteSize() < 4 * 1024 * 1024


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ({"step_id": "nope"}, "STEP_NOT_FOUND"),
        ({"step_id": "nope", "item_index": 0}, "STEP_NOT_FOUND"),
        ({"step_id": "scan", "item_index": 0}, "STEP_NOT_FOUND"),
        ({"step_id": "each", "item_index": 2}, "STEP_NOT_FOUND"),
        ({"item_index": 0}, "REQUEST_INVALID"),
    ],
)
async def test_a_step_or_an_item_that_a_run_does_not_have_is_not_found(
    mesh: Mesh, place: dict[str, Any], reason: str
) -> None:
    each = {"id": "each", "skill": "probe_agent__echo", "for_each": ["a", "b"]}
    response = await mesh.orchestrator.ExecutePlan(raw(FIND, each))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await mesh.orchestrator.GetRun(orchestrator_service_pb2.GetRunRequest(run_id=response.result.run_id, **place))
    assert refusal_of(caught.value).reason == reason


class ForeignAgent(agent_service_pb2_grpc.AgentServicer):
    """An agent that was not written with our SDK and checks nothing."""

    def __init__(self, card: card_pb2.AgentCard, result: struct_pb2.Struct | None) -> None:
        self._card = card
        self._result = result

    async def Describe(
        self, request: agent_service_pb2.DescribeRequest, context: object
    ) -> agent_service_pb2.DescribeResponse:
        return agent_service_pb2.DescribeResponse(card=self._card)

    def ExecuteStream(
        self, request: agent_service_pb2.ExecuteStreamRequest, context: object
    ) -> AsyncIterator[agent_service_pb2.ExecuteStreamResponse]:
        raise NotImplementedError

    async def Execute(
        self, request: agent_service_pb2.ExecuteRequest, context: object
    ) -> agent_service_pb2.ExecuteResponse:
        return agent_service_pb2.ExecuteResponse(result=self._result)


def _deep(levels: int) -> struct_pb2.Struct:
    struct = struct_pb2.Struct()
    inner = struct
    for _ in range(levels):
        inner = inner.fields["x"].struct_value
    inner.fields["end"].number_value = 1
    return struct


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        (struct_pb2.Struct(fields={"count": struct_pb2.Value(number_value=math.nan)}), "RESULT_NOT_JSON"),
        (struct_pb2.Struct(fields={"count": struct_pb2.Value(string_value="x" * 1_100_000)}), "RESULT_TOO_LARGE"),
        (_deep(26), "RESULT_TOO_DEEP"),
        (struct_pb2.Struct(fields={"count": struct_pb2.Value(string_value="many")}), "RESULT_INVALID"),
        (struct_pb2.Struct(), "RESULT_INVALID"),
        (None, "RESULT_MISSING"),
    ],
    ids=["nan", "large", "deep", "ill-typed", "missing-field", "nothing"],
)
async def test_what_a_foreign_agent_answers_is_checked_whatever_it_is_written_in(
    result: struct_pb2.Struct | None, reason: str
) -> None:
    card = json_format.ParseDict(
        {
            "name": "foreign",
            "version": "1.0.0",
            "skills": [
                {
                    "name": "count",
                    "description": "Counts.",
                    "effect": "EFFECT_READ_ONLY",
                    "output_schema": {
                        "type": "object",
                        "properties": {"count": {"type": "integer"}},
                        "required": ["count"],
                    },
                }
            ],
        },
        card_pb2.AgentCard(),
    )
    server = grpc.aio.server()
    agent_service_pb2_grpc.add_AgentServicer_to_server(ForeignAgent(card, result), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with running_mesh(minds=minds(FixedPlanner([]))) as mesh:
            await mesh.registry.Register(registry_service_pb2.RegisterRequest(card=card, address=f"127.0.0.1:{port}"))
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await run(mesh, {"id": "count", "skill": "foreign__count"})
            assert refusal_of(caught.value).metadata["step_reason"] == reason
    finally:
        await server.stop(None)


def dead_agent(skill: str, effect: str) -> card_pb2.AgentCard:
    """One that nobody serves any more; the second that a call may take bounds the wait for an endpoint as well."""
    named = {"name": skill, "description": "Never does.", "effect": effect, "timeout": "1s"}
    return json_format.ParseDict({"name": "dead", "version": "1.0.0", "skills": [named]}, card_pb2.AgentCard())


async def test_an_agent_that_is_gone_is_unavailable_and_a_retry_may_help(mesh: Mesh) -> None:
    card = dead_agent("answer", "EFFECT_READ_ONLY")
    async with serving_card(card) as address:
        await mesh.registry.Register(registry_service_pb2.RegisterRequest(card=card, address=address))
    await mesh.has_noticed_the_end_of(address)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await run(mesh, {"id": "a", "skill": "dead__answer"})
    refusal = refusal_of(caught.value)
    assert (refusal.code, refusal.metadata["step_reason"]) == (grpc.StatusCode.UNAVAILABLE, "NO_ENDPOINT")


async def test_a_side_effect_that_never_left_is_not_called_unknown(mesh: Mesh) -> None:
    card = dead_agent("pay", "EFFECT_SIDE_EFFECT")
    async with serving_card(card) as address:
        await mesh.registry.Register(registry_service_pb2.RegisterRequest(card=card, address=address))
    await mesh.has_noticed_the_end_of(address)
    steps = await run(mesh, FIND, {"id": "pay", "skill": "dead__pay"}, max_effect="EFFECT_SIDE_EFFECT")
    assert steps["pay"].reason == run_pb2.STEP_REASON_NO_ENDPOINT
    assert not steps["pay"].effect_unknown


async def test_the_agent_is_told_which_run_step_and_item_it_serves(probe: Probe) -> None:
    seen: list[Call] = []
    agent = Agent("caller_agent", version="1.0.0")

    @agent.skill(effect="READ_ONLY")
    async def look(x: str) -> dict[str, Any]:
        """Look."""
        seen.append(current_call())
        return {}

    async with running_mesh(agent, minds=minds(FixedPlanner([]))) as mesh:
        response = await mesh.orchestrator.ExecutePlan(
            raw({"id": "each", "skill": "caller_agent__look", "for_each": ["a", "b"], "arguments": {"x": "${item}"}})
        )
    assert {call.run_id for call in seen} == {response.result.run_id}
    assert {(call.step_id, call.item_index, call.attempt) for call in seen} == {("each", 0, 1), ("each", 1, 1)}
    assert len({call.idempotency_key for call in seen}) == 2


async def _outcome(call: grpc.aio.UnaryUnaryCall[Any, Any]) -> grpc.StatusCode:
    try:
        await call
    except asyncio.CancelledError:
        return grpc.StatusCode.CANCELLED
    except grpc.aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK
