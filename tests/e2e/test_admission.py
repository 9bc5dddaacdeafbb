"""A full orchestrator over real gRPC: who is refused, who is not, and what those who are refused hear."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import grpc
import grpc.aio
import pytest
from google.protobuf import duration_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from agentmesh.agent import Agent
from agentmesh.jsonvalues import JsonObject
from agentmesh.v1 import orchestrator_service_pb2 as pb
from agentmesh.v1 import plan_pb2, registry_service_pb2, run_pb2
from tests.e2e.errors import Refusal, refusal_of
from tests.e2e.mesh import Mesh, minds, running_mesh
from tests.e2e.probe import Probe
from tests.fakes.planner import FixedPlanner

AskStream: TypeAlias = "grpc.aio.UnaryStreamCall[pb.AskStreamRequest, pb.AskStreamResponse]"
WatchRun: TypeAlias = "grpc.aio.UnaryStreamCall[pb.WatchRunRequest, pb.WatchRunResponse]"
WAIT: JsonObject = {"id": "w", "skill": "probe_agent__wait"}
PLAN = pb.ExecutePlanRequest(
    plan=plan_pb2.Plan(steps=[plan_pb2.PlanStep(id="e", skill="probe_agent__echo")]),
    answer_format=pb.ANSWER_FORMAT_RAW,
)


def ask(mesh: Mesh, request_id: str = "") -> grpc.aio.UnaryUnaryCall[pb.AskRequest, run_pb2.AskResponse]:
    return mesh.orchestrator.Ask(pb.AskRequest(query="?", request_id=request_id))


async def first_event(stream: AskStream | WatchRun) -> str:
    """What a reader sees first; it leaves then."""
    try:
        async for message in stream:
            return str(message.event.WhichOneof("event"))
    finally:
        stream.cancel()
    raise AssertionError("the stream has no event")


async def refused(call: Awaitable[object]) -> Refusal:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return refusal_of(caught.value)


def registration(agent: Agent, address: str) -> registry_service_pb2.RegisterRequest:
    ttl = duration_pb2.Duration(seconds=60)
    return registry_service_pb2.RegisterRequest(card=agent.card(), address=address, ttl=ttl)


@asynccontextmanager
async def mesh_for_one(probe: Probe, wait_seconds: float = 0) -> AsyncIterator[Mesh]:
    """It answers one question at a time, each by waiting for the probe."""
    settings = {"AGENTMESH_MAX_CONCURRENT_ASKS": "1", "AGENTMESH_ADMISSION_WAIT_SECONDS": str(wait_seconds)}
    async with running_mesh(probe.agent(), minds=minds(FixedPlanner([WAIT])), settings=settings) as mesh:
        yield mesh


@asynccontextmanager
async def full(probe: Probe) -> AsyncIterator[Mesh]:
    """The same, with a question that is being answered."""
    async with mesh_for_one(probe) as mesh:
        asking = asyncio.ensure_future(ask(mesh))
        await probe.started.wait()
        yield mesh
        probe.release.set()
        assert (await asking).outcome == run_pb2.RUN_OUTCOME_COMPLETE


WORK: dict[str, Callable[[Mesh], Awaitable[object]]] = {
    "Ask": ask,
    "AskStream": lambda mesh: first_event(
        mesh.orchestrator.AskStream(pb.AskStreamRequest(ask=pb.AskRequest(query="?")))
    ),
    "ExecutePlan": lambda mesh: mesh.orchestrator.ExecutePlan(PLAN),
    "Plan": lambda mesh: mesh.orchestrator.Plan(pb.PlanRequest(query="?")),
}


@pytest.mark.parametrize("rpc", WORK)
async def test_work_is_refused_at_once_and_told_when_to_come_back(probe: Probe, rpc: str) -> None:
    async with full(probe) as mesh:
        refusal = await refused(WORK[rpc](mesh))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
    assert refusal.retry_seconds is not None
    assert refusal.retry_seconds >= 0.1
    assert probe.calls == ["wait"]


async def test_health_reflection_and_everything_that_is_no_work_are_served_by_a_full_server(probe: Probe) -> None:
    async with full(probe) as mesh:
        health: Any = health_pb2_grpc.HealthStub(mesh.channel)
        assert (await health.Check(health_pb2.HealthCheckRequest())).status == health_pb2.HealthCheckResponse.SERVING

        reflection: Any = reflection_pb2_grpc.ServerReflectionStub(mesh.channel)  # type: ignore[arg-type]  # typed for grpc
        question = reflection_pb2.ServerReflectionRequest(list_services="")
        async for listing in reflection.ServerReflectionInfo(iter([question])):
            assert "agentmesh.v1.Orchestrator" in {service.name for service in listing.list_services_response.service}

        [run] = (await mesh.orchestrator.ListRuns(pb.ListRunsRequest())).runs
        shown = await mesh.orchestrator.GetRun(pb.GetRunRequest(run_id=run.run_id))
        assert shown.run.state == run_pb2.RUN_STATE_RUNNING
        assert await first_event(mesh.orchestrator.WatchRun(pb.WatchRunRequest(run_id=run.run_id))) == "accepted"

        assert await mesh.agents() == {"probe_agent"}
        other = Probe().agent("other_agent")
        async with await other.start() as running:
            lease = (await mesh.registry.Register(registration(other, running.address))).lease_id
            await mesh.registry.Heartbeat(registry_service_pb2.HeartbeatRequest(lease_id=lease))
            await mesh.registry.Deregister(registry_service_pb2.DeregisterRequest(lease_id=lease))


async def test_a_cancelled_run_makes_room(probe: Probe) -> None:
    async with mesh_for_one(probe) as mesh:
        asking = ask(mesh)
        await probe.started.wait()
        [run] = (await mesh.orchestrator.ListRuns(pb.ListRunsRequest())).runs
        await mesh.orchestrator.CancelRun(pb.CancelRunRequest(run_id=run.run_id))
        assert (await refused(asking)).reason == "RUN_CANCELLED"
        probe.release.set()
        assert (await ask(mesh)).outcome == run_pb2.RUN_OUTCOME_COMPLETE


async def test_one_more_may_wait_for_its_turn(probe: Probe) -> None:
    async with mesh_for_one(probe, wait_seconds=30) as mesh:
        first = ask(mesh)
        await probe.started.wait()
        second = ask(mesh)
        assert (await refused(ask(mesh))).reason == "OVERLOADED"  # as many wait as may run
        probe.release.set()
        answers = await asyncio.gather(first, second)
    assert [answer.outcome for answer in answers] == [run_pb2.RUN_OUTCOME_COMPLETE] * 2
    assert probe.calls == ["wait", "wait"]


async def test_a_repetition_joins_the_run_that_is_in_flight_without_a_place(probe: Probe) -> None:
    async with mesh_for_one(probe) as mesh:
        first = ask(mesh, "the same")
        await probe.started.wait()
        stream = pb.AskStreamRequest(ask=pb.AskRequest(query="?", request_id="the same"))
        assert await first_event(mesh.orchestrator.AskStream(stream)) == "accepted"
        joined = [ask(mesh, "the same") for _ in range(5)]
        probe.release.set()
        answers = await asyncio.gather(first, *joined)
    assert len({answer.run_id for answer in answers}) == 1
    assert probe.calls == ["wait"]


async def test_a_repetition_is_answered_from_memory_without_a_place(probe: Probe) -> None:
    async with mesh_for_one(probe) as mesh:
        probe.release.set()
        answer = await ask(mesh, "the same")
        probe.release.clear()
        probe.started.clear()
        asking = ask(mesh)
        await probe.started.wait()
        again = await ask(mesh, "the same")
        assert (again.run_id, again.replayed) == (answer.run_id, True)
        probe.release.set()
        await asking
