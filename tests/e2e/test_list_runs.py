"""ListRuns over real gRPC: what became of runs, newest first, page by page."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import grpc.aio
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from agentmesh.jsonvalues import JsonObject
from agentmesh.plan_messages import plan_from_json
from agentmesh.v1 import orchestrator_service_pb2 as pb
from agentmesh.v1 import run_pb2
from tests.e2e.errors import refusal_of
from tests.e2e.mesh import Mesh, minds, running_mesh
from tests.e2e.probe import Probe
from tests.fakes.planner import FixedPlanner

ECHO: JsonObject = {"id": "e", "skill": "probe_agent__echo"}
FAIL: JsonObject = {"id": "f", "skill": "probe_agent__fail", "arguments": {"how": "not_found"}}
WAIT: JsonObject = {"id": "w", "skill": "probe_agent__wait"}


async def execute(mesh: Mesh, *steps: JsonObject, conversation_id: str = "") -> str:
    """Run a plan; returns the id of its run, also if it fails."""
    request = pb.ExecutePlanRequest(
        plan=plan_from_json({"steps": list(steps)}),
        query="an own plan",
        answer_format=pb.ANSWER_FORMAT_RAW,
        conversation_id=conversation_id,
    )
    try:
        return (await mesh.orchestrator.ExecutePlan(request)).result.run_id
    except grpc.aio.AioRpcError as error:
        return refusal_of(error).metadata["run_id"]


@asynccontextmanager
async def in_flight(mesh: Mesh, probe: Probe) -> AsyncIterator[None]:
    """One run more, which waits."""
    waiting = asyncio.create_task(execute(mesh, WAIT))
    await probe.started.wait()
    yield
    probe.release.set()
    await waiting


async def listed(mesh: Mesh, **wanted: object) -> list[run_pb2.RunSummary]:
    response = await mesh.orchestrator.ListRuns(pb.ListRunsRequest(**wanted))  # type: ignore[arg-type]  # its fields
    return list(response.runs)


async def test_every_run_is_listed_with_what_became_of_it(mesh: Mesh, probe: Probe) -> None:
    nobody = await mesh.orchestrator.Ask(pb.AskRequest(query="who can do this?", conversation_id="c-1"))
    complete = await execute(mesh, ECHO, conversation_id="c-1")
    partial = await execute(mesh, ECHO, FAIL)
    failed = await execute(mesh, FAIL)
    async with in_flight(mesh, probe):
        running, *ended = await listed(mesh)
        assert (running.state, running.usage.agent_calls) == (run_pb2.RUN_STATE_RUNNING, 1)
        assert not running.HasField("ended_at")
        assert [run.run_id for run in ended] == [failed, partial, complete, nobody.run_id]
        assert [run.state for run in ended] == [run_pb2.RUN_STATE_FAILED, *[run_pb2.RUN_STATE_FINISHED] * 3]
        assert [run.outcome for run in ended] == [
            run_pb2.RUN_OUTCOME_UNSPECIFIED,
            run_pb2.RUN_OUTCOME_PARTIAL,
            run_pb2.RUN_OUTCOME_COMPLETE,
            run_pb2.RUN_OUTCOME_NO_AGENT,
        ]
        assert [run.query for run in ended] == ["an own plan"] * 3 + ["who can do this?"]
        assert [run.conversation_id for run in ended] == ["", "", "c-1", "c-1"]
        assert [run.usage.llm_calls for run in ended] == [0, 0, 0, 1]
        assert all(run.started_at.ToNanoseconds() <= run.ended_at.ToNanoseconds() for run in ended)


async def test_what_is_asked_for_is_listed(mesh: Mesh, probe: Probe) -> None:
    runs = {
        "complete": await execute(mesh, ECHO, conversation_id="c-1"),
        "partial": await execute(mesh, ECHO, FAIL, conversation_id="c-2"),
        "failed": await execute(mesh, FAIL, conversation_id="c-1"),
    }
    names = {run_id: name for name, run_id in runs.items()}
    middle = (await listed(mesh))[1].started_at

    async def found(**wanted: object) -> list[str]:
        return [names.get(run.run_id, "running") for run in await listed(mesh, **wanted)]

    async with in_flight(mesh, probe):
        assert await found(state=run_pb2.RUN_STATE_RUNNING) == ["running"]
    assert await found(state=run_pb2.RUN_STATE_FAILED) == ["failed"]
    assert await found(outcome=run_pb2.RUN_OUTCOME_PARTIAL) == ["partial"]
    assert await found(conversation_id="c-1") == ["failed", "complete"]
    assert await found(conversation_id="c-1", state=run_pb2.RUN_STATE_FINISHED) == ["complete"]
    assert await found(started_before=middle) == ["complete"]
    assert await found(started_after=middle, conversation_id="c-2") == ["partial"]


async def test_pages_are_gone_through_by_their_tokens_while_runs_begin(mesh: Mesh) -> None:
    run_ids = [await execute(mesh, ECHO) for _ in range(5)]
    seen: list[str] = []
    request = pb.ListRunsRequest(page_size=2)
    while True:
        page = await mesh.orchestrator.ListRuns(request)
        seen += [run.run_id for run in page.runs]
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
        await execute(mesh, ECHO)
    assert seen == run_ids[::-1]


async def test_runs_that_are_forgotten_are_not_listed(probe: Probe) -> None:
    settings = {"AGENTMESH_RUNS_KEPT": "2"}
    async with running_mesh(probe.agent(), minds=minds(FixedPlanner([])), settings=settings) as mesh:
        run_ids = [await execute(mesh, ECHO) for _ in range(4)]
        assert [run.run_id for run in await listed(mesh)] == run_ids[:1:-1]


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (pb.ListRunsRequest(page_token="of something else"), "page_token"),
        (pb.ListRunsRequest(page_token="x" * 513), "page_token"),
        (pb.ListRunsRequest(page_size=1001), "page_size"),
        (pb.ListRunsRequest(conversation_id="c" * 129), "conversation_id"),
        (pb.ListRunsRequest(started_after=Timestamp(seconds=10**15)), "started_after"),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
async def test_what_is_wrong_with_a_request_is_named(mesh: Mesh, request_: pb.ListRunsRequest, field: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await mesh.orchestrator.ListRuns(request_)
    refusal = refusal_of(caught.value)
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_INVALID")
    assert refusal.fields == {field: "RULE"}
