"""Where a trace comes from and where it goes on: W3C trace context and baggage, over gRPC and over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from opentelemetry import baggage, context
from opentelemetry.trace import format_span_id, format_trace_id

from agentmesh import errors
from agentmesh.agent import Agent
from agentmesh.jsonvalues import JsonObject
from agentmesh.metadata import RUN_ID, TRACE_ID
from agentmesh.telemetry import names
from agentmesh.telemetry.spans import span
from agentmesh.transport import open_channel
from agentmesh.v1 import orchestrator_service_pb2 as pb
from agentmesh.v1 import orchestrator_service_pb2_grpc, registry_service_pb2
from tests.api.http.client import events_in, post
from tests.e2e.errors import refusal_of
from tests.e2e.mesh import Mesh, minds, running_mesh
from tests.e2e.probe import Probe
from tests.fakes.planner import FixedPlanner
from tests.telemetry.recording import Spans
from tests.telemetry.rpc_ways import Way
from tests.telemetry.span_tree import attributes_of, context_of
from tests.transport.support import Context

ORCHESTRATOR = "/agentmesh.v1.Orchestrator"
ECHO: JsonObject = {"id": "e", "skill": "probe_agent__echo"}
FAIL: JsonObject = {"id": "f", "skill": "probe_agent__fail", "arguments": {"how": "not_found"}}
TRACE = "0af7651916cd43dd8448eb211c80319c"
CALLER = "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{CALLER}-01"
NOT_SAMPLED = f"00-{TRACE}-{CALLER}-00"
ASK = pb.AskRequest(query="?", answer_format=pb.ANSWER_FORMAT_RAW)


def traces(spans: Spans) -> set[str]:
    return {format_trace_id(context_of(found).trace_id) for found in spans.ended}


async def quiet(spans: Spans) -> None:
    """From here on it is the test that is recorded."""
    await spans.all_ended()
    spans.clear()


@pytest.fixture
async def mesh(spans: Spans) -> AsyncIterator[Mesh]:
    async with running_mesh(Probe().agent(), minds=minds(FixedPlanner([ECHO]))) as running:
        await quiet(spans)
        yield running


async def test_a_trace_goes_on_from_the_caller_down_to_the_skill(mesh: Mesh, spans: Spans) -> None:
    call = mesh.orchestrator.Ask(ASK, metadata=(("traceparent", TRACEPARENT),))
    response = await call
    trailing = dict(await call.trailing_metadata())
    await spans.all_ended()
    assert traces(spans) == {TRACE} == {response.trace_id}
    assert (trailing[TRACE_ID], trailing[RUN_ID]) == (TRACE, response.run_id)
    server = spans.only("agentmesh.v1.Orchestrator/Ask")
    assert server.parent is not None
    assert format_span_id(server.parent.span_id) == CALLER
    assert len(spans.named("execute_tool")) == 1


async def test_a_stream_goes_on_with_it_too(mesh: Mesh, spans: Spans) -> None:
    call = mesh.orchestrator.AskStream(pb.AskStreamRequest(ask=ASK), metadata=(("traceparent", TRACEPARENT),))
    events = [message.event async for message in call]
    await spans.all_ended()
    assert traces(spans) == {TRACE} == {events[-1].finished.trace_id}
    assert dict(await call.trailing_metadata())[TRACE_ID] == TRACE


@pytest.mark.parametrize("metadata", [(), (("traceparent", "00-nonsense"),)], ids=["none", "malformed"])
async def test_without_a_trace_of_the_caller_every_question_begins_one(
    metadata: tuple[tuple[str, str], ...], mesh: Mesh, spans: Spans
) -> None:
    answers = [await mesh.orchestrator.Ask(ASK, metadata=metadata) for _ in range(2)]
    await spans.all_ended()
    assert len({answer.trace_id for answer in answers}) == 2
    assert traces(spans) == {answer.trace_id for answer in answers}
    assert all(found.parent is None for found in spans.named("agentmesh.v1.Orchestrator/Ask"))


async def test_a_caller_who_does_not_sample_decides_that_for_all(mesh: Mesh, spans: Spans) -> None:
    response = await mesh.orchestrator.Ask(ASK, metadata=(("traceparent", NOT_SAMPLED),))
    assert response.trace_id == TRACE, "for the logs, and for whoever asks the caller"
    assert await spans.all_ended() == []


async def test_baggage_reaches_the_skill(spans: Spans) -> None:
    heard: list[object] = []
    agent = Agent("curious_agent", version="1.0.0", description="Hears.")

    @agent.skill(effect="READ_ONLY")
    async def hear() -> dict[str, str]:
        """Hear."""
        heard.append(baggage.get_baggage("tenant"))
        return {}

    steps: list[JsonObject] = [{"id": "h", "skill": "curious_agent__hear"}]
    async with running_mesh(agent, minds=minds(FixedPlanner(steps))) as mesh:
        await mesh.orchestrator.Ask(ASK, metadata=(("baggage", "tenant=blue"),))
        async with open_channel(mesh.address, peer="the mesh") as channel:
            token = context.attach(baggage.set_baggage("tenant", "green"))
            try:
                await orchestrator_service_pb2_grpc.OrchestratorStub(channel).Ask(ASK)
            finally:
                context.detach(token)
    assert heard == ["blue", "green"]
    await spans.all_ended()


async def test_a_failure_says_in_which_trace_it_is(spans: Spans) -> None:
    async with running_mesh(Probe().agent(), minds=minds(FixedPlanner([FAIL]))) as mesh:
        metadata = (("traceparent", TRACEPARENT),)
        asked = mesh.orchestrator.Ask(ASK, metadata=metadata)
        streamed = mesh.orchestrator.AskStream(pb.AskStreamRequest(ask=ASK), metadata=metadata)
        with pytest.raises(grpc.aio.AioRpcError) as one:
            await asked
        with pytest.raises(grpc.aio.AioRpcError) as other:
            async for _ in streamed:
                pass
        for caught, call in ((one, asked), (other, streamed)):
            refusal = refusal_of(caught.value)
            assert (refusal.reason, refusal.metadata["trace_id"]) == ("ALL_STEPS_FAILED", TRACE)
            assert dict(await call.trailing_metadata())[TRACE_ID] == TRACE
    await spans.all_ended()


async def test_over_http_it_is_the_same_trace_by_another_protocol(mesh: Mesh, spans: Spans) -> None:
    answer = await post(mesh.http, f"{ORCHESTRATOR}/Ask", {"query": "?"}, traceparent=TRACEPARENT)
    await spans.all_ended()
    assert traces(spans) == {TRACE} == {answer.json["traceId"]}
    assert answer.headers[TRACE_ID] == TRACE
    server = spans.only("agentmesh.v1.Orchestrator/Ask")
    assert (attributes_of(server)[names.RPC_SYSTEM], attributes_of(server)[names.RPC_STATUS_CODE]) == (
        "connectrpc",
        "OK",
    )
    assert server.parent is not None
    assert format_span_id(server.parent.span_id) == CALLER


async def test_over_http_a_stream_too(mesh: Mesh, spans: Spans) -> None:
    body = {"ask": {"query": "?"}}
    answer = await post(
        mesh.http, f"{ORCHESTRATOR}/AskStream", body, accept="text/event-stream", traceparent=TRACEPARENT
    )
    assert events_in(answer.body)[-1][0] == "end"
    await spans.all_ended()
    assert traces(spans) == {TRACE}
    assert attributes_of(spans.only("agentmesh.v1.Orchestrator/AskStream"))[names.RPC_SYSTEM] == "connectrpc"


async def test_over_http_a_failure_is_told_as_over_grpc(spans: Spans) -> None:
    async with running_mesh(Probe().agent(), minds=minds(FixedPlanner([FAIL]))) as mesh:
        await quiet(spans)
        answer = await post(mesh.http, f"{ORCHESTRATOR}/Ask", {"query": "?"}, traceparent=TRACEPARENT)
        await spans.all_ended()
    assert isinstance(answer.error, errors.AllStepsFailed)
    assert answer.error.metadata["trace_id"] == TRACE
    server = spans.only("agentmesh.v1.Orchestrator/Ask")
    assert (attributes_of(server)[names.RPC_STATUS_CODE], server.status.description) == ("NOT_FOUND", None)


async def test_requests_over_one_connection_have_traces_of_their_own(mesh: Mesh, spans: Spans) -> None:
    first, second = [
        await post(mesh.http, f"{ORCHESTRATOR}/Ask", {"query": "?"}, connection="keep-alive") for _ in range(2)
    ]
    await spans.all_ended()
    assert first.json["traceId"] != second.json["traceId"]


async def test_what_a_server_was_started_in_is_not_what_calls_it(spans: Spans) -> None:
    async def nothing(given: Context) -> None:
        del given

    with span("start-up") as start_up:
        async with Way.UNARY.served(nothing) as agent:
            token = context.attach(context.Context())
            try:
                await Way.UNARY.call(type(agent.stub)(agent.bare))
            finally:
                context.detach(token)
    await spans.all_ended()
    served = spans.only(Way.UNARY)
    assert served.parent is None
    assert context_of(served).trace_id != start_up.get_span_context().trace_id


async def test_heartbeats_and_health_leave_no_span(mesh: Mesh, spans: Spans) -> None:
    async with open_channel(mesh.address, peer="the mesh") as channel:
        health: Any = health_pb2_grpc.HealthStub(channel)
        await health.Check(health_pb2.HealthCheckRequest())
        registry = type(mesh.registry)(channel)
        with pytest.raises(errors.MeshError):
            await registry.Heartbeat(registry_service_pb2.HeartbeatRequest(lease_id="none"))
    assert await spans.all_ended() == []
