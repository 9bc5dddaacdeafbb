"""Whose run is whose: bearer tokens name callers, and a caller sees its own runs."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable

import grpc
import grpc.aio
import pytest
from google.protobuf.message import Message

from agentmesh.jsonvalues import JsonObject
from agentmesh.v1 import orchestrator_service_pb2 as pb
from agentmesh.v1 import orchestrator_service_pb2_grpc, plan_pb2, registry_service_pb2, run_pb2
from tests.e2e.errors import Refusal, refusal_of
from tests.e2e.mesh import Mesh, minds, running_mesh
from tests.e2e.probe import Probe
from tests.e2e.processes import running
from tests.fakes.planner import FixedPlanner

TOKENS = {"billing": "token-of-the-billing-service", "support": "token-of-the-support-service"}
WAIT: JsonObject = {"id": "w", "skill": "probe_agent__wait"}

Metadata = tuple[tuple[str, str], ...]


def bearing(token: str, scheme: str = "Bearer") -> Metadata:
    return (("authorization", f"{scheme} {token}"),)


BILLING, SUPPORT, ANONYMOUS = bearing(TOKENS["billing"]), bearing(TOKENS["support"]), ()


@pytest.fixture
async def mesh(probe: Probe) -> AsyncIterator[Mesh]:
    """A mesh with two callers; every question waits until the probe is released."""
    settings = {"AGENTMESH_CALLER_TOKENS": json.dumps(TOKENS)}
    async with running_mesh(probe.agent(), minds=minds(FixedPlanner([WAIT])), settings=settings) as mesh:
        yield mesh


async def refused(call: Awaitable[Message] | AsyncIterator[Message]) -> Refusal:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await (anext(call) if isinstance(call, AsyncIterator) else call)
    return refusal_of(caught.value)


async def listed(mesh: Mesh, who: Metadata) -> list[str]:
    return [run.run_id for run in (await mesh.orchestrator.ListRuns(pb.ListRunsRequest(), metadata=who)).runs]


async def ask(mesh: Mesh, who: Metadata, request_id: str = "") -> run_pb2.AskResponse:
    request = pb.AskRequest(query="?", answer_format=pb.ANSWER_FORMAT_RAW, request_id=request_id)
    return await mesh.orchestrator.Ask(request, metadata=who)


async def test_a_caller_lists_its_own_runs_and_no_others(mesh: Mesh, probe: Probe) -> None:
    probe.release.set()
    runs = {who: (await ask(mesh, who)).run_id for who in (BILLING, SUPPORT, ANONYMOUS)}
    assert [await listed(mesh, who) for who in runs] == [[run_id] for run_id in runs.values()]


@pytest.mark.parametrize("other", [SUPPORT, ANONYMOUS], ids=["another caller", "a caller without a token"])
async def test_the_run_of_a_caller_is_not_there_for(mesh: Mesh, probe: Probe, other: Metadata) -> None:
    request = pb.AskStreamRequest(ask=pb.AskRequest(query="?", answer_format=pb.ANSWER_FORMAT_RAW))
    asking = mesh.orchestrator.AskStream(request, metadata=BILLING)
    events = aiter(asking)
    run_id = (await anext(events)).event.accepted.run_id
    await probe.started.wait()
    refusals = [
        await refused(mesh.orchestrator.GetRun(pb.GetRunRequest(run_id=run_id), metadata=other)),
        await refused(mesh.orchestrator.CancelRun(pb.CancelRunRequest(run_id=run_id), metadata=other)),
        await refused(aiter(mesh.orchestrator.WatchRun(pb.WatchRunRequest(run_id=run_id), metadata=other))),
    ]
    assert [(one.code, one.reason) for one in refusals] == [(grpc.StatusCode.NOT_FOUND, "RUN_NOT_FOUND")] * 3
    nowhere = await refused(mesh.orchestrator.GetRun(pb.GetRunRequest(run_id="0" * 32), metadata=other))
    assert refusals[0].message == nowhere.message.replace("0" * 32, run_id)
    assert run_id not in await listed(mesh, other)
    probe.release.set()  # it goes on, unharmed
    assert [event.event async for event in events][-1].HasField("finished")
    found = await mesh.orchestrator.GetRun(pb.GetRunRequest(run_id=run_id), metadata=BILLING)
    assert found.run.state == run_pb2.RUN_STATE_FINISHED


async def test_a_request_id_is_its_callers_own(mesh: Mesh, probe: Probe) -> None:
    probe.release.set()
    answers = [await ask(mesh, who, "r-1") for who in (BILLING, SUPPORT, ANONYMOUS, BILLING)]
    assert [answer.replayed for answer in answers] == [False, False, False, True]
    assert len({answer.run_id for answer in answers}) == 3


REQUESTS: dict[str, Message] = {
    "Ask": pb.AskRequest(query="?"),
    "AskStream": pb.AskStreamRequest(ask=pb.AskRequest(query="?")),
    "Plan": pb.PlanRequest(query="?"),
    "ExecutePlan": pb.ExecutePlanRequest(answer_format=pb.ANSWER_FORMAT_RAW, plan=plan_pb2.Plan()),
    "GetRun": pb.GetRunRequest(run_id="0" * 32),
    "ListRuns": pb.ListRunsRequest(),
    "WatchRun": pb.WatchRunRequest(run_id="0" * 32),
    "CancelRun": pb.CancelRunRequest(run_id="0" * 32),
}


@pytest.mark.parametrize("rpc", [method.name for method in pb.DESCRIPTOR.services_by_name["Orchestrator"].methods])
async def test_an_unknown_token_is_refused_by_every_rpc(mesh: Mesh, probe: Probe, rpc: str) -> None:
    method = getattr(mesh.orchestrator, rpc)
    call = method(REQUESTS[rpc], metadata=bearing("token-of-nobody-at-all"))
    refusal = await refused(aiter(call) if isinstance(call, grpc.aio.UnaryStreamCall) else call)
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED")
    assert "nobody-at-all" not in refusal.message
    assert probe.calls == []


@pytest.mark.parametrize(
    "credentials",
    [
        bearing(""),
        bearing(TOKENS["billing"][:-1]),
        bearing(TOKENS["billing"] + "x"),
        bearing(TOKENS["billing"].upper()),
        bearing(TOKENS["billing"], "Basic"),
        (("authorization", TOKENS["billing"]),),
        (*BILLING, *BILLING),
        (*BILLING, *SUPPORT),
    ],
)
async def test_what_is_not_exactly_one_token_of_a_caller_is_refused(mesh: Mesh, credentials: Metadata) -> None:
    refusal = await refused(mesh.orchestrator.ListRuns(pb.ListRunsRequest(), metadata=credentials))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED")


@pytest.mark.parametrize("scheme", ["bearer", "BEARER", "Bearer "])
async def test_the_scheme_may_be_written_in_any_case(mesh: Mesh, scheme: str) -> None:
    assert await listed(mesh, bearing(TOKENS["billing"], scheme)) == []


async def test_agents_need_no_token(mesh: Mesh) -> None:
    assert await mesh.agents() == {"probe_agent"}
    listing = await mesh.registry.ListAgents(
        registry_service_pb2.ListAgentsRequest(), metadata=bearing("token-of-nobody-at-all")
    )
    assert len(listing.agents) == 1


async def test_where_no_caller_is_configured_everybody_is_the_same(probe: Probe) -> None:
    probe.release.set()
    async with running_mesh(probe.agent(), minds=minds(FixedPlanner([WAIT]))) as mesh:
        run_ids = [(await ask(mesh, who)).run_id for who in (BILLING, ANONYMOUS)]
        assert await listed(mesh, bearing("token-of-nobody-at-all")) == run_ids[::-1]


async def test_no_token_is_ever_logged() -> None:
    settings = {
        "AGENTMESH_LISTEN": "127.0.0.1:0",
        "AGENTMESH_LOG_LEVEL": "debug",
        "AGENTMESH_CALLER_TOKENS": json.dumps(TOKENS),
    }
    async with running("-m", "orchestrator_svc", environment=settings) as process:
        address = str((await process.says("orchestrator is listening"))["address"])
        async with grpc.aio.insecure_channel(address) as channel:
            orchestrator = orchestrator_service_pb2_grpc.OrchestratorStub(channel)
            for who in (BILLING, bearing("token-of-nobody-at-all"), (*BILLING, *SUPPORT)):
                with pytest.raises(grpc.aio.AioRpcError):
                    await orchestrator.Ask(pb.AskRequest(query="?"), metadata=who)
        assert await process.stop() == 0
    written = "".join(process.lines)
    assert written.count('"UNAUTHENTICATED"') >= 2
    assert not any(token in written for token in (*TOKENS.values(), "nobody-at-all"))
