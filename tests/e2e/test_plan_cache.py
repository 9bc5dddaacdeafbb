"""The same question over the real stack: routing calls are counted where they arrive."""

from __future__ import annotations

import asyncio
from pathlib import Path

from agentmesh.jsonvalues import Json
from agentmesh.v1 import orchestrator_service_pb2 as pb
from agentmesh.v1 import plan_pb2
from tests.e2e.mesh import running_mesh
from tests.e2e.probe import Probe
from tests.e2e.test_ask import mesh_with
from tests.fakes.llm_replies import calls, says
from tests.fakes.scripted_llm import ScriptedLlm
from tests.redis_server import BINARIES, redis_server

ECHO: tuple[str, Json] = ("probe_agent__echo", {"text": "x"})
QUESTION = "what does it say?"
RAW = pb.AskRequest(query=QUESTION, answer_format=pb.ANSWER_FORMAT_RAW)


async def test_a_hit_with_raw_makes_no_request_to_a_model(llm: ScriptedLlm, probe: Probe) -> None:
    llm.to_route(calls(ECHO))
    async with mesh_with(llm, probe) as mesh:
        first = await mesh.orchestrator.Ask(RAW)
        again = await mesh.orchestrator.Ask(RAW)
    assert (first.plan_source, again.plan_source) == (plan_pb2.PLAN_SOURCE_LLM, plan_pb2.PLAN_SOURCE_CACHE)
    assert (first.usage.llm_calls, again.usage.llm_calls, len(llm.requests)) == (1, 0, 1)
    assert (again.planner, list(again.usage.models)) == ("scripted-1", [])
    assert again.plan == first.plan
    assert probe.calls == ["echo", "echo"]


async def test_a_hit_leaves_one_completion_for_the_answer(llm: ScriptedLlm, probe: Probe) -> None:
    llm.to_route(calls(ECHO))
    llm.to_write(says("one"), says("two"))
    async with mesh_with(llm, probe) as mesh:
        answers = [await mesh.orchestrator.Ask(pb.AskRequest(query=QUESTION)) for _ in range(2)]
    assert [answer.usage.llm_calls for answer in answers] == [2, 1]
    assert [answer.answer for answer in answers] == ["one", "two"]


async def test_looking_at_a_plan_keeps_it_for_asking(llm: ScriptedLlm, probe: Probe) -> None:
    llm.to_route(calls(ECHO))
    async with mesh_with(llm, probe) as mesh:
        shown = await mesh.orchestrator.Plan(pb.PlanRequest(query=QUESTION))
        answer = await mesh.orchestrator.Ask(RAW)
    assert answer.plan == shown.plan
    assert answer.plan_source == plan_pb2.PLAN_SOURCE_CACHE


async def test_the_modes_of_the_cache(llm: ScriptedLlm, probe: Probe) -> None:
    llm.to_route(calls(ECHO), calls(ECHO), calls(ECHO))
    modes = [pb.CACHE_MODE_USE, pb.CACHE_MODE_BYPASS, pb.CACHE_MODE_REFRESH, pb.CACHE_MODE_UNSPECIFIED]
    async with mesh_with(llm, probe) as mesh:
        for mode in modes:
            request = pb.AskRequest(query=QUESTION, answer_format=pb.ANSWER_FORMAT_RAW, cache_mode=mode)
            await mesh.orchestrator.Ask(request)
    assert len(llm.requests) == 3


async def test_twenty_at_once_make_one_routing_call(llm: ScriptedLlm, probe: Probe) -> None:
    llm.to_route(calls(ECHO))
    async with mesh_with(llm, probe) as mesh:
        answers = await asyncio.gather(*(mesh.orchestrator.Ask(RAW) for _ in range(20)))
    assert len(llm.requests) == 1
    assert sum(answer.usage.llm_calls for answer in answers) == 1
    assert len(probe.calls) == 20


async def test_without_time_to_keep_plans_every_question_is_routed(llm: ScriptedLlm, probe: Probe) -> None:
    llm.to_route(calls(ECHO), calls(ECHO))
    async with mesh_with(llm, probe, AGENTMESH_PLAN_CACHE_SECONDS="0") as mesh:
        for _ in range(2):
            await mesh.orchestrator.Ask(RAW)
    assert len(llm.requests) == 2


async def test_orchestrators_on_one_server_share_plans(llm: ScriptedLlm, probe: Probe, tmp_path: Path) -> None:
    llm.to_route(calls(ECHO))
    async with redis_server(BINARIES["valkey"], tmp_path) as server:
        shared = {"AGENTMESH_REGISTRY_URL": server.url}
        async with mesh_with(llm, probe, **shared) as first:
            await first.orchestrator.Ask(RAW)
            model = {"AGENTMESH_LLM_BASE_URL": llm.base_url, "AGENTMESH_LLM_MODELS": "scripted-1"}
            async with running_mesh(settings={**model, **shared}) as second:
                answer = await second.orchestrator.Ask(RAW)
    assert (answer.plan_source, answer.usage.llm_calls) == (plan_pb2.PLAN_SOURCE_CACHE, 0)
    assert probe.calls == ["echo", "echo"]
