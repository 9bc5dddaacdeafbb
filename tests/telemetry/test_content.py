"""Nothing that is asked, answered or sent is in telemetry, unless content is captured: then, where that is said."""

from __future__ import annotations

import contextlib
import json
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import grpc.aio
import pytest
import structlog
from google.protobuf import json_format

from agentmesh.deadline import Deadline
from agentmesh.jsonvalues import JsonObject
from agentmesh.reasons import reason_of
from agentmesh.telemetry import names
from agentmesh.telemetry.logs import PROCESSORS
from agentmesh.v1 import (
    agent_service_pb2,
    agent_service_pb2_grpc,
    orchestrator_service_pb2_grpc,
    registry_service_pb2,
)
from agentmesh.v1 import orchestrator_service_pb2 as pb
from orchestrator_svc.app.ledger import Ledger
from orchestrator_svc.app.ports.planner import Question, Routing
from orchestrator_svc.core.catalog import Catalog
from tests.api.http.client import error_in, events_in, post
from tests.e2e.errors import refusal_of
from tests.e2e.mesh import Mesh, minds, running_mesh
from tests.e2e.processes import ROOT, running
from tests.fakes.planner import FixedPlanner
from tests.fakes.scripted_llm import ScriptedLlm
from tests.telemetry.collectors import Collector, collecting
from tests.telemetry.recording import Metrics, Spans
from tests.telemetry.secretive import ASKED, HANGS, KEY, ORCHESTRATOR, REFUSED, SECRET, question, script, vault_agent

IS_SECRET = re.compile("marker.4c1e7d")
TOKEN = f"{SECRET}-of-billing"
API_KEY = f"sk-{SECRET}"
HEADERS = {"authorization": f"Bearer {TOKEN}", "x-secret": SECRET, "baggage": f"user={SECRET}"}


@dataclass
class Told:
    """All that telemetry tells: values by where they are."""

    lines: Sequence[Mapping[str, Any]]
    spans: Spans
    metrics: Metrics

    def secrets(self) -> set[str]:
        """Where the secret is."""
        return {where for where, value in self._all() if IS_SECRET.search(json.dumps(value, default=str))}

    def _all(self) -> Iterator[tuple[str, object]]:
        for line in self.lines:
            for key, value in line.items():
                yield f"line {line['event']}: {key}", value
        for one in self.spans.ended:
            kind = one.name.partition(" ")[0]
            attributes = dict(one.attributes or {})
            events = [(event.name, dict(event.attributes or {})) for event in one.events]
            for key, value in attributes.items():
                yield f"span {kind}: {key}", value
            for name, inside in events:
                for key, value in inside.items():
                    yield f"span {kind}, event {name}: {key}", value
            rest = json.loads(one.to_json())
            rest.pop("attributes")
            rest.pop("events")
            yield f"span {kind}", [rest, [name for name, _ in events]]
        for name in (value for value in vars(names).values() if isinstance(value, str)):
            for point in self.metrics.points(name):
                yield f"metric {name}", str(point)


@pytest.fixture
def told(spans: Spans, metrics: Metrics, caplog: pytest.LogCaptureFixture) -> Iterator[Told]:
    with structlog.testing.capture_logs(processors=PROCESSORS) as lines:
        yield Told(lines, spans, metrics)
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == [], "libraries say nothing"


def settings_for(llm: ScriptedLlm) -> dict[str, str]:
    """With secrets in all that may hold one."""
    return {
        "AGENTMESH_LLM_BASE_URL": llm.base_url.replace("://", f"://user:{SECRET}@"),
        "AGENTMESH_LLM_API_KEY": API_KEY,
        "AGENTMESH_LLM_MODELS": "scripted-1",
        "AGENTMESH_LLM_MAX_ATTEMPTS": "1",
        "AGENTMESH_MAX_ATTEMPTS": "2",
        "AGENTMESH_RETRY_BACKOFF_SECONDS": "0.01",
        "AGENTMESH_CALLER_TOKENS": json.dumps({"billing": TOKEN}),
    }


@pytest.fixture
async def mesh() -> AsyncIterator[Mesh]:
    async with (
        ScriptedLlm(script=script, max_completions=None) as llm,
        running_mesh(vault_agent(), settings=settings_for(llm)) as a_mesh,
    ):
        yield a_mesh


Ask = Callable[[Mesh, JsonObject], Awaitable[str]]
"""Asks, and gives the outcome or the reason."""


async def over_grpc(mesh: Mesh, body: JsonObject) -> str:
    return await called(mesh, f"{ORCHESTRATOR}/Ask", body)


async def called(mesh: Mesh, method: str, body: JsonObject) -> str:
    service, _, rpc = method.rpartition("/")
    stub: Any = mesh.orchestrator if service == ORCHESTRATOR else mesh.registry
    module = pb if service == ORCHESTRATOR else registry_service_pb2
    message = json_format.ParseDict(body, getattr(module, f"{rpc}Request")())
    try:
        answer = await getattr(stub, rpc)(message, metadata=tuple(HEADERS.items()))
    except grpc.aio.AioRpcError as error:
        return refusal_of(error).reason
    return outcome_in(json_format.MessageToDict(answer))


async def over_grpc_stream(mesh: Mesh, body: JsonObject) -> str:
    message = json_format.ParseDict({"ask": body}, pb.AskStreamRequest())
    try:
        events = [event async for event in mesh.orchestrator.AskStream(message, metadata=tuple(HEADERS.items()))]
    except grpc.aio.AioRpcError as error:
        return refusal_of(error).reason
    return outcome_in(json_format.MessageToDict(events[-1])["event"]["finished"])


async def over_http(mesh: Mesh, body: JsonObject) -> str:
    answer = await post(mesh.http, f"/{ORCHESTRATOR}/Ask", body, **HEADERS)
    return outcome_in(answer.json) if answer.status == 200 else reason_in(answer.json)


async def over_http_events(mesh: Mesh, body: JsonObject) -> str:
    headers = {**HEADERS, "accept": "text/event-stream"}
    answer = await post(mesh.http, f"/{ORCHESTRATOR}/AskStream", {"ask": body}, **headers)
    events = events_in(answer.body)
    name, last = events[-1]
    if name == "error":
        return reason_in(last.get("error", last))
    (finished,) = [event["event"]["finished"] for _, event in events[:-1] if "finished" in event["event"]]
    return outcome_in(finished)


def outcome_in(answer: Mapping[str, Any]) -> str:
    return str(answer["outcome"]).removeprefix("RUN_OUTCOME_")


def reason_in(answer: Mapping[str, Any]) -> str:
    return str(reason_of(error_in(dict(answer))))


WAYS = [over_grpc, over_grpc_stream, over_http, over_http_events]


@pytest.mark.parametrize("ask", WAYS, ids=lambda way: way.__name__)
async def test_however_a_question_ends_the_secret_is_nowhere(ask: Ask, mesh: Mesh, told: Told) -> None:
    ends = {name: await ask(mesh, question(name)) for name in ASKED}
    assert ends == {name: case.ends for name, case in ASKED.items()}
    await told.spans.all_ended()
    assert told.secrets() == set()


async def test_of_callers_that_leave_and_of_deadlines_nothing_is_left_either(mesh: Mesh, told: Told) -> None:
    request = json_format.ParseDict(question(HANGS), pb.AskRequest())
    with pytest.raises(grpc.aio.AioRpcError):
        await mesh.orchestrator.Ask(request, metadata=tuple(HEADERS.items()), timeout=0.3)
    request.request_id += " again"
    call = mesh.orchestrator.AskStream(pb.AskStreamRequest(ask=request), metadata=tuple(HEADERS.items()))
    async for event in call:
        if event.event.HasField("step_started"):
            call.cancel()
            break
    await told.spans.all_ended()
    assert told.secrets() == set()


async def test_whatever_is_refused_the_secret_is_nowhere(mesh: Mesh, told: Told) -> None:
    assert await over_grpc(mesh, question("answered")) == "COMPLETE"
    ends = [(one.method, await called(mesh, one.method, one.body)) for one in REFUSED]
    assert ends == [(one.method, one.reason) for one in REFUSED]
    for one in REFUSED:
        answer = await post(mesh.http, f"/{one.method}", one.body, **HEADERS)
        assert reason_in(answer.json) == one.reason
    await told.spans.all_ended()
    assert told.secrets() == set()


async def test_what_is_no_request_at_all_leaves_nothing_either(mesh: Mesh, told: Told) -> None:
    ask = f"/{ORCHESTRATOR}/Ask"
    answers = [
        await post(mesh.http, ask, SECRET.encode(), **HEADERS),
        await post(mesh.http, ask, {SECRET: SECRET}, **HEADERS),
        await post(mesh.http, ask, {"query": {SECRET: SECRET}}, **HEADERS),
        await post(mesh.http, f"{ask}?{KEY}={SECRET}", {"query": 1}, **HEADERS),
        await post(mesh.http, f"/{SECRET}/{SECRET}", {}, **HEADERS),
        await post(mesh.http, f"/{ORCHESTRATOR}/{KEY}", {}, **HEADERS),
        await post(mesh.http, ask, {"query": SECRET}, authorization=f"Bearer nobody-{SECRET}"),
        await post(mesh.http, ask, {"query": SECRET}, content_type=SECRET),
        await post(mesh.http, ask, {"query": SECRET}, connect_timeout_ms=SECRET),
    ]
    assert all(400 <= answer.status < 500 for answer in answers)
    unknown: Any = mesh.channel.unary_unary(f"/{ORCHESTRATOR}/{KEY}")
    garbage: Any = mesh.channel.unary_unary(ask)
    for call, headers in ((unknown, HEADERS), (garbage, HEADERS), (garbage, {"authorization": SECRET})):
        with pytest.raises(grpc.aio.AioRpcError):
            await call(SECRET.encode(), metadata=tuple(headers.items()))
    await told.spans.all_ended()
    assert told.secrets() == set()


async def test_an_agent_that_is_called_directly_leaves_nothing_either(mesh: Mesh, told: Told) -> None:
    listing = await mesh.registry.ListAgents(registry_service_pb2.ListAgentsRequest())
    calls: list[tuple[JsonObject, str]] = [
        ({"skill": SECRET}, "SKILL_NOT_FOUND"),
        ({"skill": "keep", "arguments": {"text": 1, SECRET: SECRET, KEY: 1}}, "ARGUMENTS_INVALID"),
        ({"skill": "keep", "arguments": {"text": {SECRET: SECRET}}}, "ARGUMENTS_INVALID"),
        ({"skill": "keep", "arguments": {"text": "a", "options": {SECRET: SECRET}}}, "ARGUMENTS_INVALID"),
        ({"skill": "keep", "arguments": {"text": SECRET}, "skillDigest": SECRET}, "SKILL_CHANGED"),
        ({"skill": "crash", "arguments": {"text": SECRET}, "idempotencyKey": SECRET}, "INTERNAL"),
    ]
    async with grpc.aio.insecure_channel(listing.agents[0].endpoints[0].address) as channel:
        agent = agent_service_pb2_grpc.AgentStub(channel)
        for body, reason in calls:
            request = json_format.ParseDict(body, agent_service_pb2.ExecuteRequest())
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await agent.Execute(request, metadata=tuple(HEADERS.items()))
            assert refusal_of(caught.value).reason == reason
    await told.spans.all_ended()
    assert told.secrets() == set()


class Broken(FixedPlanner):
    """Has a bug that quotes the question."""

    async def route(self, question: Question, catalog: Catalog, ledger: Ledger, deadline: Deadline) -> Routing:
        raise ZeroDivisionError(question.query)


@pytest.mark.parametrize("ask", WAYS, ids=lambda way: way.__name__)
async def test_of_a_bug_in_the_orchestrator_the_lines_of_code_are_told(ask: Ask, told: Told) -> None:
    async with running_mesh(vault_agent(), minds=minds(Broken([]))) as mesh:
        assert await ask(mesh, {"query": SECRET}) == "INTERNAL"
    await told.spans.all_ended()
    assert told.secrets() == set()
    (line,) = [line for line in told.lines if line["event"] == "unexpected error"]
    assert "in route\n" in line["exception"]
    assert line["exception"].endswith("ZeroDivisionError: <withheld>")


CAPTURED = {
    "line rpc: error",
    "line rpc: violations",
    "line no completion: detail",
    "line result_refused: error",
    "line unexpected error: exception",
    "span invoke_workflow: agentmesh.question",
    "span invoke_workflow: agentmesh.answer",
    "span chat: gen_ai.input.messages",
    "span chat: gen_ai.output.messages",
    "span execute_tool: gen_ai.tool.call.arguments",
    "span execute_tool: gen_ai.tool.call.result",
    "span execute_tool, event exception: exception.message",
}


def test_the_documentation_says_where() -> None:
    text = (ROOT / "docs/observability.md").read_text().partition("<!-- captured -->")[2]
    documented = {tuple(re.findall(r"`([^`]+)`", row)) for row in text.splitlines() if row.startswith("| ")}
    for place in CAPTURED:
        where, _, what = place.rpartition(": ")
        name = where.rpartition(" ")[2] if where.startswith("span") else where.removeprefix("line ")
        assert any(row[:1] == (name,) and what in row for row in documented), place


@pytest.mark.usefixtures("capturing")
async def test_where_content_is_captured_it_is_where_the_documentation_says(mesh: Mesh, told: Told) -> None:
    for name in ASKED:
        await over_grpc(mesh, question(name))
    await told.spans.all_ended()
    assert told.secrets() == CAPTURED
    everything = str(told.lines) + "".join(one.to_json() for one in told.spans.ended)
    assert not any(key in everything for key in (TOKEN, API_KEY)), (
        "what somebody proves to be somebody with is no content"
    )


# --- processes ---


async def everything_of_processes(**environment: str) -> tuple[str, str, str]:
    """What an orchestrator and an agent log and export of every case."""
    async with ScriptedLlm(script=script, max_completions=None) as llm:
        with collecting(Collector()) as collector:
            common = {
                "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{collector.address}",
                "OTEL_EXPORTER_OTLP_HEADERS": f"api-key={SECRET}",
                "AGENTMESH_LOG_LEVEL": "debug",
                **environment,
            }
            own = {"AGENTMESH_LISTEN": "127.0.0.1:0", **settings_for(llm)}
            async with running("-m", "orchestrator_svc", environment={**common, **own}) as orchestrator:
                address = str((await orchestrator.says("orchestrator is listening"))["address"])
                where = {"AGENTMESH_ORCHESTRATOR_ADDRESS": address}
                async with running("-m", "tests.telemetry.secretive", environment={**common, **where}) as agent:
                    await orchestrator.says("agent registered")
                    async with grpc.aio.insecure_channel(address) as channel:
                        asked: Any = orchestrator_service_pb2_grpc.OrchestratorStub(channel)
                        for name in ASKED:
                            with contextlib.suppress(grpc.aio.AioRpcError):
                                request = json_format.ParseDict(question(name), pb.AskRequest())
                                await asked.Ask(request, metadata=tuple(HEADERS.items()))
                    assert await agent.stop() == 0
                assert await orchestrator.stop() == 0
        exported = "".join(str(one) for one in (*collector.resources, *collector.spans, *collector.metrics))
        assert len(collector.spans) > len(ASKED)
        return "".join(orchestrator.lines), "".join(agent.lines), exported


async def test_of_processes_it_is_in_no_line_and_no_export() -> None:
    for text in await everything_of_processes():
        assert IS_SECRET.search(text) is None


async def test_where_their_environment_says_so_content_is_captured_and_each_process_warns_of_it() -> None:
    orchestrator, agent, exported = await everything_of_processes(AGENTMESH_CAPTURE_CONTENT="1")
    for lines in (orchestrator, agent):
        assert lines.count('"content is captured: ') == 1
    assert all(IS_SECRET.search(text) for text in (orchestrator, agent, exported))
    assert not any(key in text for text in (orchestrator, agent, exported) for key in (TOKEN, API_KEY))
