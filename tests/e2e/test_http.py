"""The mesh over HTTP and JSON: the same work, the same errors as over gRPC, for callers and for agents."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from google.protobuf import json_format

from agentmesh import errors
from agentmesh.agent import Agent
from agentmesh.client.wire_json import message_json
from agentmesh.errors import Code, MeshError
from agentmesh.jsonvalues import JsonObject
from agentmesh.metadata import RUN_ID
from agentmesh.reasons import code_of
from agentmesh.transport import from_rpc_error
from agentmesh.v1 import orchestrator_service_pb2 as pb
from agentmesh.v1 import registry_service_pb2, registry_service_pb2_grpc
from tests.api.http.client import JSON, connected, events_in, get, post, request
from tests.e2e.card_server import serving_card
from tests.e2e.mesh import Mesh, minds, running_mesh
from tests.e2e.probe import Probe
from tests.e2e.processes import ROOT, running
from tests.fakes.planner import FixedPlanner
from tests.transport.test_status import facts

ORCHESTRATOR = "/agentmesh.v1.Orchestrator"
REGISTRY = "/agentmesh.v1.Registry"
ECHO: JsonObject = {"id": "e", "skill": "probe_agent__echo", "arguments": {"text": "hello", "number": 60}}
WAIT: JsonObject = {"id": "w", "skill": "probe_agent__wait"}
BUF = Path(sys.executable).parent / "buf"


def plan(*steps: Mapping[str, Any]) -> dict[str, Any]:
    return {"plan": {"steps": list(steps)}, "answerFormat": "ANSWER_FORMAT_RAW"}


async def both(mesh: Mesh, method: str, body: dict[str, Any], **headers: str) -> tuple[MeshError, MeshError]:
    """The error of one request, through gRPC and through HTTP."""
    service, _, rpc = method.rpartition("/")
    stub: Any = mesh.orchestrator if service == ORCHESTRATOR else mesh.registry
    module = pb if service == ORCHESTRATOR else registry_service_pb2
    message = json_format.ParseDict(body, getattr(module, f"{rpc}Request")())
    seconds = int(headers["connect_timeout_ms"]) / 1000 if headers else None
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await getattr(stub, rpc)(message, timeout=seconds)
    return from_rpc_error(caught.value, "the server"), (await post(mesh.http, method, body, **headers)).error


async def test_a_question_is_answered_as_json_with_its_run_in_the_headers(probe: Probe) -> None:
    async with running_mesh(probe.agent(), minds=minds(FixedPlanner([ECHO]))) as mesh:
        answer = await post(mesh.http, f"{ORCHESTRATOR}/Ask", {"query": "?", "includeResults": True})
        run_id = answer.headers[RUN_ID]
        run = await post(mesh.http, f"{ORCHESTRATOR}/GetRun", {"runId": run_id})
    said = answer.json
    assert (answer.status, said["runId"], said["outcome"]) == (200, run_id, "RUN_OUTCOME_COMPLETE")
    assert said["plan"]["steps"][0]["skill"] == "probe_agent__echo"
    assert said["steps"][0]["result"] == {"text": "hello", "number": 60}
    assert run.json["run"]["result"]["runId"] == run_id


async def test_the_plan_of_an_answer_may_be_sent_back_as_it_is(probe: Probe) -> None:
    async with running_mesh(probe.agent(), minds=minds(FixedPlanner([ECHO]))) as mesh:
        planned = (await post(mesh.http, f"{ORCHESTRATOR}/Plan", {"query": "?"})).json["plan"]
        executed = await post(mesh.http, f"{ORCHESTRATOR}/ExecutePlan", {"plan": planned, "query": "?"})
    assert executed.status == 200, executed.body
    assert executed.json["result"]["steps"][0]["outcome"] == "STEP_OUTCOME_SUCCEEDED"


async def test_an_agent_registers_beats_and_leaves_with_posts_alone() -> None:
    """Its endpoint speaks gRPC, in whatever language; membership needs no gRPC client."""
    agent = Agent("foreign_agent", version="1.0.0", description="Written elsewhere.")

    @agent.skill(effect="READ_ONLY")
    async def greet() -> str:
        """Greet."""
        return "hello"

    card = json_format.MessageToDict(agent.card())
    async with running_mesh(minds=minds(FixedPlanner([]))) as mesh, serving_card(agent.card()) as address:
        body = {"card": card, "address": address, "ttl": "30s"}
        registered = await post(mesh.http, f"{REGISTRY}/Register", body)
        lease = {"leaseId": registered.json["leaseId"]}
        beaten = await post(mesh.http, f"{REGISTRY}/Heartbeat", lease)
        listed = await post(mesh.http, f"{REGISTRY}/ListAgents", {})
        ready = await get(mesh.http, "/readyz")
        left = await post(mesh.http, f"{REGISTRY}/Deregister", lease)
        assert await mesh.agents() == set()
        unknown = await post(mesh.http, f"{REGISTRY}/Heartbeat", lease)
    assert (registered.status, registered.json["ttl"]) == (200, "30s")
    assert "expiresAt" in beaten.json
    assert [found["card"]["name"] for found in listed.json["agents"]] == ["foreign_agent"]
    assert listed.json["agents"][0]["card"] == message_json(agent.card())
    assert (ready.status, left.status) == (200, 200)
    assert (unknown.status, type(unknown.error)) == (404, errors.LeaseNotFound)


@pytest.mark.parametrize(
    ("method", "body", "kind"),
    [
        ("GetRun", {"runId": "f" * 32}, errors.RunNotFound),
        ("GetRun", {"runId": "?"}, errors.RequestInvalid),
        ("ExecutePlan", plan({"id": "a", "skill": "no__such"}, {"id": "a", "skill": "b__c"}), errors.PlanInvalid),
        ("Ask", {}, errors.RequestInvalid),
        ("Ask", {"query": "?", "allowedSkills": ["no__such"]}, errors.UnknownSkill),
        ("CancelRun", {"runId": "f" * 32}, errors.RunNotFound),
    ],
)
async def test_what_is_refused_is_refused_alike(
    mesh: Mesh, method: str, body: dict[str, Any], kind: type[MeshError]
) -> None:
    over_grpc, over_http = await both(mesh, f"{ORCHESTRATOR}/{method}", body)
    assert type(over_http) is kind
    assert _but_run(over_http) == _but_run(over_grpc)


def _but_run(error: MeshError) -> tuple[Any, ...]:
    """Two runs have two ids; the pause before the next attempt has jitter."""
    kind, message, violations, retry, metadata, *others = facts(error)
    return kind, message, violations, retry is None, {key for key in metadata if key != "run_id"}, others


async def test_too_many_questions_are_refused_alike(probe: Probe) -> None:
    settings = {"AGENTMESH_MAX_CONCURRENT_ASKS": "1", "AGENTMESH_ADMISSION_WAIT_SECONDS": "0"}
    async with running_mesh(probe.agent(), minds=minds(FixedPlanner([WAIT])), settings=settings) as mesh:
        asking = asyncio.create_task(post(mesh.http, f"{ORCHESTRATOR}/Ask", {"query": "?"}))
        await probe.started.wait()
        over_grpc, over_http = await both(mesh, f"{ORCHESTRATOR}/Ask", {"query": "?"})
        probe.release.set()
        assert (await asking).status == 200
    assert type(over_http) is errors.Overloaded
    assert _but_run(over_http) == _but_run(over_grpc)


async def test_a_deadline_ends_a_question_alike(probe: Probe) -> None:
    async with running_mesh(probe.agent(), minds=minds(FixedPlanner([WAIT]))) as mesh:
        over_grpc, over_http = await both(mesh, f"{ORCHESTRATOR}/Ask", {"query": "?"}, connect_timeout_ms="400")
    assert {code_of(over_grpc), code_of(over_http)} == {Code.DEADLINE_EXCEEDED}


async def test_a_caller_is_known_by_its_token_and_sees_its_own_runs(probe: Probe) -> None:
    settings = {"AGENTMESH_CALLER_TOKENS": '{"billing": "token-of-the-billing-service"}'}
    billing = {"authorization": "Bearer token-of-the-billing-service"}
    async with running_mesh(probe.agent(), minds=minds(FixedPlanner([ECHO])), settings=settings) as mesh:
        run_id = (await post(mesh.http, f"{ORCHESTRATOR}/Ask", {"query": "?"}, **billing)).headers[RUN_ID]
        own = await post(mesh.http, f"{ORCHESTRATOR}/GetRun", {"runId": run_id}, **billing)
        of_others = await post(mesh.http, f"{ORCHESTRATOR}/GetRun", {"runId": run_id})
        nobodys = await post(mesh.http, f"{ORCHESTRATOR}/Ask", {"query": "?"}, authorization="Bearer of-nobody-at-all")
    assert own.status == 200
    assert (of_others.status, type(of_others.error)) == (404, errors.RunNotFound)
    assert (nobodys.status, type(nobodys.error)) == (401, errors.Unauthenticated)


async def test_a_caller_who_leaves_cancels_the_agents_call(probe: Probe) -> None:
    async with running_mesh(probe.agent(), minds=minds(FixedPlanner([WAIT]))) as mesh:
        async with connected(mesh.http) as connection:
            await connection.send(request(f"{ORCHESTRATOR}/Ask", {"query": "?"}, JSON))
            await probe.started.wait()
        await asyncio.wait_for(probe.cancelled.wait(), 10)


async def test_a_run_is_followed_and_watched_again_as_events(probe: Probe) -> None:
    async with running_mesh(probe.agent(), minds=minds(FixedPlanner([ECHO]))) as mesh:
        asked = await post(mesh.http, f"{ORCHESTRATOR}/AskStream", {"ask": {"query": "?"}}, accept="text/event-stream")
        watched = await post(mesh.http, f"{ORCHESTRATOR}/WatchRun", {"runId": asked.headers[RUN_ID]})
    events = events_in(asked.body)
    assert [name for name, _ in events] == ["message"] * (len(events) - 1) + ["end"]
    sequence = [said["event"]["sequence"] for name, said in events if name == "message"]
    assert sequence == list(range(1, len(events)))
    assert "accepted" in events[0][1]["event"]
    assert "finished" in events[-2][1]["event"]
    assert [said["event"]["sequence"] for _, said in events_in(watched.body)[:-1]] == sequence


async def test_another_client_of_the_connect_protocol_reads_answers_streams_and_errors(probe: Probe) -> None:
    async with running_mesh(probe.agent(), minds=minds(FixedPlanner([ECHO]))) as mesh:
        code, answer = await _buf_curl(mesh.http, "Ask", {"query": "?"})
        assert (code, json.loads(answer)["outcome"]) == (0, "RUN_OUTCOME_COMPLETE")
        code, answer = await _buf_curl(mesh.http, "AskStream", {"ask": {"query": "?"}})
        assert code == 0
        assert answer.count('"sequence"') > 3
        code, answer = await _buf_curl(mesh.http, "GetRun", {"runId": "f" * 32})
        assert (code != 0, json.loads(answer)["details"][0]["debug"]["reason"]) == (True, "RUN_NOT_FOUND")


async def _buf_curl(address: str, rpc: str, body: dict[str, Any]) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        str(BUF), "curl", "--protocol=connect", "--schema=protos", f"--data={json.dumps(body)}",
        f"http://{address}{ORCHESTRATOR}/{rpc}",
        cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate()
    return process.returncode or 0, (out or err).decode()


async def test_a_process_says_where_http_is_drains_it_and_exits_with_0() -> None:
    environment = {"AGENTMESH_LISTEN": "127.0.0.1:0"}
    async with running("-m", "orchestrator_svc", environment=environment) as process:
        http = str((await process.says("orchestrator is listening"))["http"])
        assert not http.endswith(":0")
        async with connected(http) as idle:
            up, ready = await get(http, "/healthz"), await get(http, "/readyz")
            assert await process.stop() == 0
            assert await idle.ends()
    assert (up.status, ready.status, ready.json["reason"]) == (200, 503, "CATALOG_EMPTY")


async def test_a_port_for_http_that_is_taken_is_said_in_one_line(mesh: Mesh) -> None:
    environment = {"AGENTMESH_LISTEN": "127.0.0.1:0", "AGENTMESH_HTTP_LISTEN": mesh.http}
    async with running("-m", "orchestrator_svc", environment=environment) as process:
        assert await process.ended() == 1
    last = process.lines[-1].strip().splitlines()[-1]
    assert last == f"cannot listen on {mesh.http}: Address already in use"


async def test_http_can_be_turned_off() -> None:
    environment = {"AGENTMESH_LISTEN": "127.0.0.1:0", "AGENTMESH_HTTP_LISTEN": "off"}
    async with running("-m", "orchestrator_svc", environment=environment) as process:
        said = await process.says("orchestrator is listening")
        assert said["http"] == "off"
        async with grpc.aio.insecure_channel(str(said["address"])) as channel:
            registry = registry_service_pb2_grpc.RegistryStub(channel)
            await registry.ListAgents(registry_service_pb2.ListAgentsRequest(), timeout=10)
        assert await process.stop() == 0


async def test_agents_are_watched_as_events_from_a_snapshot_on(probe: Probe) -> None:
    async with running_mesh(probe.agent(), minds=minds(FixedPlanner([]))) as mesh, connected(mesh.http) as connection:
        await connection.send(request(f"{REGISTRY}/WatchAgents", {}, JSON))
        status, headers = await connection.head()
        ((name, first),) = events_in(await anext(connection.chunks()))
    assert (status, headers["content-type"], name) == (200, "text/event-stream", "message")
    assert "probe_agent" in json.dumps(first)
