"""The mesh as people run it: an orchestrator and two agents as processes, asked by somebody else's client."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import grpc
import grpc.aio
import pytest
from google.rpc import code_pb2, error_details_pb2
from grpc_health.v1 import health_pb2

from agentmesh.transport import from_struct
from agentmesh.v1 import orchestrator_service_pb2 as pb
from agentmesh.v1 import registry_service_pb2, registry_service_pb2_grpc, run_pb2
from tests.e2e.grpc_client import call
from tests.e2e.processes import Process, running


@pytest.fixture
async def mesh() -> AsyncIterator[tuple[str, dict[str, Process]]]:
    """Address of the orchestrator, which forgets at once who has left, and the processes by name."""
    environment = {"AGENTMESH_LISTEN": "127.0.0.1:0", "AGENTMESH_CATALOG_GRACE_SECONDS": "0"}
    async with AsyncExitStack() as stack:
        orchestrator = await stack.enter_async_context(running("-m", "orchestrator_svc", environment=environment))
        address = str((await orchestrator.says("orchestrator is listening"))["address"])
        processes = {"orchestrator": orchestrator}
        for name in ("stock", "supplier"):
            processes[name] = await stack.enter_async_context(
                running("-m", f"tests.e2e.agents.{name}", environment={"AGENTMESH_ORCHESTRATOR_ADDRESS": address})
            )
        for _ in range(2):
            await orchestrator.says("agent registered")
        yield address, processes


async def test_a_plan_with_a_condition_and_a_repeat_runs_over_two_agent_processes(
    mesh: tuple[str, dict[str, Process]],
) -> None:
    address, _ = mesh
    status, answer = await call(
        address,
        "Orchestrator/ExecutePlan",
        {
            "answer_format": "ANSWER_FORMAT_RAW",
            "plan": {
                "steps": [
                    {"id": "goods", "skill": "stock_agent__list_shelves"},
                    {
                        "id": "counts",
                        "skill": "stock_agent__count",
                        "for_each": "goods.result",
                        "arguments": {"item": "${item}"},
                    },
                    {
                        "id": "order",
                        "skill": "supplier_agent__quote",
                        "when": "counts.exists(c, c.pieces == 0.0)",
                        "arguments": {"item": "${goods.result[0]}", "pieces": 10},
                    },
                    {"id": "praise", "skill": "stock_agent__list_shelves", "when": "size(goods.result) > 100"},
                ]
            },
        },
        pb.ExecutePlanResponse,
    )
    assert status.code == 0, status
    steps = {step.step_id: step for step in answer.result.steps}
    assert [from_struct(item.result) for item in steps["counts"].items] == [{"pieces": 0}, {"pieces": 4}]
    assert from_struct(steps["order"].result) == {"price": 20}
    assert (steps["praise"].outcome, steps["praise"].reason) == (
        run_pb2.STEP_OUTCOME_SKIPPED,
        run_pb2.STEP_REASON_CONDITION_FALSE,
    )
    assert answer.result.usage.agent_calls == 4


async def test_an_error_can_be_read_with_its_details(mesh: tuple[str, dict[str, Process]]) -> None:
    address, _ = mesh
    status, _ = await call(
        address,
        "Orchestrator/ExecutePlan",
        {
            "answer_format": "ANSWER_FORMAT_RAW",
            "plan": {"steps": [{"id": "c", "skill": "stock_agent__count", "arguments": {"item": "gold"}}]},
        },
        pb.ExecutePlanResponse,
    )
    assert status.code == code_pb2.NOT_FOUND
    info = error_details_pb2.ErrorInfo()
    assert any(detail.Unpack(info) for detail in status.details)
    assert (info.domain, info.reason, info.metadata["step_id"]) == ("agentmesh", "ALL_STEPS_FAILED", "c")
    assert "gold" in status.message


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
async def test_every_process_drains_on_a_signal_and_exits_with_0(
    mesh: tuple[str, dict[str, Process]], number: signal.Signals
) -> None:
    address, processes = mesh
    assert await processes["supplier"].stop(number) == 0
    async with grpc.aio.insecure_channel(address) as channel:
        listing = await registry_service_pb2_grpc.RegistryStub(channel).ListAgents(
            registry_service_pb2.ListAgentsRequest()
        )
        assert [agent.card.name for agent in listing.agents] == ["stock_agent"]
    assert await processes["orchestrator"].stop(number) == 0
    assert await processes["stock"].stop(number) == 0


async def test_health_says_whether_there_is_anybody_to_ask(mesh: tuple[str, dict[str, Process]]) -> None:
    address, processes = mesh
    async with grpc.aio.insecure_channel(address) as channel:
        watch = channel.unary_stream(
            "/grpc.health.v1.Health/Watch",
            health_pb2.HealthCheckRequest.SerializeToString,
            health_pb2.HealthCheckResponse.FromString,
        )(health_pb2.HealthCheckRequest(service="agentmesh.v1.Orchestrator"))
        states = aiter(watch)
        assert (await anext(states)).status == health_pb2.HealthCheckResponse.SERVING
        await processes["stock"].stop()
        await processes["supplier"].stop()
        assert (await anext(states)).status == health_pb2.HealthCheckResponse.NOT_SERVING
        watch.cancel()


async def test_a_taken_port_is_said_in_one_line(mesh: tuple[str, dict[str, Process]]) -> None:
    address, _ = mesh
    async with running("-m", "orchestrator_svc", environment={"AGENTMESH_LISTEN": address}) as second:
        assert await second.ended() == 1
    said = [line for line in "".join(second.lines).splitlines() if not line.startswith("{")]
    assert said == [f"cannot listen on {address}: Address already in use"]
