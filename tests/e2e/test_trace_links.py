"""Requests that share one piece of work: each has a trace of its own, with a link to where the work is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from google.protobuf.struct_pb2 import Struct
from opentelemetry.sdk.trace import ReadableSpan

from agentmesh.agent import Agent
from agentmesh.jsonvalues import JsonObject
from agentmesh.telemetry import names
from agentmesh.telemetry.spans import span
from agentmesh.transport import open_channel
from agentmesh.v1 import agent_service_pb2, agent_service_pb2_grpc
from agentmesh.v1 import orchestrator_service_pb2 as pb
from tests.e2e.mesh import Mesh, minds, running_mesh
from tests.e2e.probe import Probe
from tests.e2e.test_ask import ECHO as ECHO_CALL
from tests.e2e.test_ask import mesh_with
from tests.fakes.llm_replies import calls
from tests.fakes.planner import FixedPlanner
from tests.fakes.scripted_llm import ScriptedLlm
from tests.telemetry.recording import Spans
from tests.telemetry.span_tree import attributes_of, context_of

RAW = pb.AskRequest(query="?", answer_format=pb.ANSWER_FORMAT_RAW)
SAME = pb.AskRequest(query="?", answer_format=pb.ANSWER_FORMAT_RAW, request_id="order-7")
WAIT: JsonObject = {"id": "w", "skill": "probe_agent__wait"}
AT_ONCE = 10


@asynccontextmanager
async def waiting_mesh(probe: Probe, spans: Spans) -> AsyncIterator[Mesh]:
    """Every question is answered by a skill that waits to be released."""
    async with running_mesh(probe.agent(), minds=minds(FixedPlanner([WAIT]))) as mesh:
        await spans.all_ended()
        spans.clear()
        yield mesh


def linked(recorded: ReadableSpan) -> list[int]:
    return [link.context.span_id for link in recorded.links]


def told(recorded: ReadableSpan) -> set[str]:
    """What an rpc says of the run that it did not begin."""
    return {names.RUN_JOINED, names.RUN_REPLAYED} & attributes_of(recorded).keys()


async def test_a_repeated_question_is_linked_to_the_run_that_answered_it(spans: Spans, probe: Probe) -> None:
    probe.release.set()
    async with waiting_mesh(probe, spans) as mesh:
        await mesh.orchestrator.Ask(SAME)
        await mesh.orchestrator.Ask(SAME)
        async for _ in mesh.orchestrator.AskStream(pb.AskStreamRequest(ask=SAME)):
            pass
        await spans.all_ended()
    run = spans.only(names.WORKFLOW_SPAN)
    first, again, streamed = spans.named("agentmesh.v1.Orchestrator/Ask")
    assert (linked(first), told(first)) == ([], set())
    for repetition in (again, streamed):
        assert (linked(repetition), told(repetition)) == ([context_of(run).span_id], {names.RUN_REPLAYED})
        assert context_of(repetition).trace_id != context_of(run).trace_id
        assert attributes_of(repetition)[names.RUN_ID] == attributes_of(run)[names.RUN_ID]


async def test_a_repetition_in_the_same_trace_is_one_all_the_same(spans: Spans, probe: Probe) -> None:
    probe.release.set()
    async with waiting_mesh(probe, spans) as mesh:
        async with open_channel(mesh.address, peer="the mesh") as channel:
            orchestrator = type(mesh.orchestrator)(channel)
            with span("the caller"):
                for _ in range(2):
                    await orchestrator.Ask(SAME)
        await spans.all_ended()
    _, again = (found for found in spans.named("agentmesh.v1.Orchestrator/Ask") if found.kind.name == "SERVER")
    assert told(again) == {names.RUN_REPLAYED}


async def test_a_question_that_is_asked_many_times_at_once_is_linked_to_the_one_run(spans: Spans, probe: Probe) -> None:
    async with waiting_mesh(probe, spans) as mesh:
        asked = [asyncio.ensure_future(mesh.orchestrator.Ask(SAME)) for _ in range(AT_ONCE)]
        await probe.started.wait()
        probe.release.set()
        await asyncio.gather(*asked)
        await spans.all_ended()
    run = spans.only(names.WORKFLOW_SPAN)
    assert run.parent is not None
    begun_by = run.parent.span_id
    for request in spans.named("agentmesh.v1.Orchestrator/Ask"):
        if context_of(request).span_id == begun_by:
            assert (linked(request), told(request)) == ([], set())
        else:
            assert told(request) in ({names.RUN_JOINED}, {names.RUN_REPLAYED})
            # To the request that began the run, where there was no more of it yet.
            assert linked(request)[0] in {context_of(run).span_id, begun_by}


async def test_whoever_watches_a_run_is_linked_to_it(spans: Spans, probe: Probe) -> None:
    async with waiting_mesh(probe, spans) as mesh:
        asking = asyncio.ensure_future(mesh.orchestrator.Ask(RAW))
        await probe.started.wait()
        [run] = (await mesh.orchestrator.ListRuns(pb.ListRunsRequest())).runs
        events = aiter(mesh.orchestrator.WatchRun(pb.WatchRunRequest(run_id=run.run_id)))
        await anext(events)
        probe.release.set()
        async for _ in events:
            pass
        await asking
        await spans.all_ended()
    watching = spans.only("agentmesh.v1.Orchestrator/WatchRun")
    assert linked(watching) == [context_of(spans.only(names.WORKFLOW_SPAN)).span_id]


async def test_a_plan_that_was_kept_is_found_without_a_request_to_a_model(
    llm: ScriptedLlm, spans: Spans, probe: Probe
) -> None:
    llm.to_route(calls(ECHO_CALL))
    async with mesh_with(llm, probe) as mesh:
        for _ in range(2):
            await mesh.orchestrator.Ask(RAW)
        await spans.all_ended()
    made, found = spans.named(names.PLAN_SPAN)
    assert [attributes_of(plan)[names.PLAN_SOURCE] for plan in (made, found)] == ["llm", "cache"]
    chat = spans.only("chat")
    assert chat.parent is not None
    assert chat.parent.span_id == context_of(made).span_id


async def test_whoever_waits_for_the_plan_of_another_is_linked_to_its_making(
    llm: ScriptedLlm, spans: Spans, probe: Probe
) -> None:
    llm.to_route(calls(ECHO_CALL))
    llm.delay_seconds = 0.2  # they all ask in the meantime
    async with mesh_with(llm, probe) as mesh:
        await asyncio.gather(*(mesh.orchestrator.Ask(RAW) for _ in range(AT_ONCE)))
        await spans.all_ended()
    chat = spans.only("chat")
    assert chat.parent is not None
    plans = spans.named(names.PLAN_SPAN)
    assert len(plans) == AT_ONCE
    for plan in plans:
        is_made_here = context_of(plan).span_id == chat.parent.span_id
        assert linked(plan) == ([] if is_made_here else [chat.parent.span_id])


@pytest.mark.parametrize("waits", [True, False], ids=["while it runs", "when it has ended"])
async def test_a_side_effect_that_is_called_again_is_linked_to_the_call_that_began_it(
    waits: bool,  # noqa: FBT001
    spans: Spans,
) -> None:
    begun, release = asyncio.Event(), asyncio.Event()
    agent = Agent("paying_agent", version="1.0.0", description="Pays.")

    @agent.skill(effect="SIDE_EFFECT")
    async def pay() -> dict[str, bool]:
        """Pay."""
        begun.set()
        await release.wait()
        return {"paid": True}

    request = agent_service_pb2.ExecuteRequest(skill="pay", idempotency_key="k", arguments=Struct())
    async with await agent.start() as running, open_channel(running.address, peer="the agent") as channel:
        stub: agent_service_pb2_grpc.AgentAsyncStub = agent_service_pb2_grpc.AgentStub(channel)
        first = asyncio.ensure_future(stub.Execute(request))
        await begun.wait()
        if not waits:
            release.set()
            await first
        again = asyncio.ensure_future(stub.Execute(request))
        await spans.has_begun("agentmesh.v1.Agent/Execute", 4)
        release.set()
        await asyncio.gather(first, again)
        await spans.all_ended()
    tool = spans.only("execute_tool")
    assert tool.parent is not None
    served = {context_of(found).span_id: found for found in spans.named("agentmesh.v1.") if found.kind.name == "SERVER"}
    assert linked(served.pop(tool.parent.span_id)) == []
    [repetition] = served.values()
    assert linked(repetition) == [tool.parent.span_id]
