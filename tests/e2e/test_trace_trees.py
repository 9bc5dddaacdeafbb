"""What one trace of a question looks like in each mode: the files in tests/telemetry/trees are the contract.

Real orchestrator, real agents, real gRPC and HTTP, in one process, so that every span is recorded here.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from agentmesh.jsonvalues import Json, JsonObject
from agentmesh.plan_messages import plan_from_json
from agentmesh.v1 import orchestrator_service_pb2 as pb
from tests.e2e.mesh import Mesh, running_mesh
from tests.fakes.llm_replies import calls, says
from tests.fakes.scripted_llm import ScriptedLlm
from tests.telemetry.recording import Spans
from tests.telemetry.small_mesh import three_agents
from tests.telemetry.span_tree import check_tree

ASK = pb.AskRequest(query="How is the checkout?")
REPORT: tuple[str, Json] = ("data_agent__get_report", {"component": "checkout"})
SCAN: tuple[str, Json] = ("analytics_agent__scan", {"count": 2})
CHECK_EACH: Sequence[JsonObject] = (
    {"id": "scan", "skill": "analytics_agent__scan", "arguments": {"count": 2}},
    {
        "id": "each",
        "skill": "config_agent__check_config",
        "for_each": "scan.anomalies",
        "arguments": {"component": "${item}"},
        "when": "size(scan.anomalies) > 0",
    },
    {
        "id": "report",
        "skill": "data_agent__get_report",
        "arguments": {"component": "${scan.anomalies[0]}"},
        "when": "size(scan.anomalies) == 0",
    },
    {"id": "again", "skill": "data_agent__get_report", "arguments": {"component": "${report.component}"}},
)


@asynccontextmanager
async def mesh_with(llm: ScriptedLlm, spans: Spans) -> AsyncIterator[Mesh]:
    """A mesh whose model is scripted, and nothing recorded yet."""
    settings = {"AGENTMESH_LLM_BASE_URL": llm.base_url, "AGENTMESH_LLM_MODELS": "scripted-1"}
    async with running_mesh(*three_agents(), settings=settings) as mesh:
        await spans.all_ended()
        spans.clear()
        yield mesh


async def test_a_question_that_no_agent_answers(llm: ScriptedLlm, spans: Spans) -> None:
    llm.to_route(says("There is no tool for that."))
    async with mesh_with(llm, spans) as mesh:
        await mesh.orchestrator.Ask(ASK)
        check_tree("none", await spans.all_ended())


async def test_a_question_for_one_agent(llm: ScriptedLlm, spans: Spans) -> None:
    llm.to_route(calls(REPORT))
    llm.to_write(says("It is well."))
    async with mesh_with(llm, spans) as mesh:
        await mesh.orchestrator.Ask(ASK)
        check_tree("single", await spans.all_ended())


async def test_a_question_for_agents_that_work_side_by_side(llm: ScriptedLlm, spans: Spans) -> None:
    llm.to_route(calls(REPORT, SCAN))
    llm.to_write(says("It is well."))
    async with mesh_with(llm, spans) as mesh:
        await mesh.orchestrator.Ask(ASK)
        check_tree("parallel", await spans.all_ended())


async def test_a_question_whose_steps_wait_for_each_other(llm: ScriptedLlm, spans: Spans) -> None:
    """One condition is true, one false; one step is done for each of two, and one is skipped for want of another."""
    llm.to_route(calls(("plan_execution", {"reason": "in order", "steps": list(CHECK_EACH)})))
    llm.to_write(says("Two are checked."))
    async with mesh_with(llm, spans) as mesh:
        await mesh.orchestrator.Ask(ASK)
        check_tree("sequential", await spans.all_ended())


async def test_a_plan_of_the_caller(llm: ScriptedLlm, spans: Spans) -> None:
    plan = plan_from_json({"steps": list(CHECK_EACH[:1])})
    async with mesh_with(llm, spans) as mesh:
        await mesh.orchestrator.ExecutePlan(pb.ExecutePlanRequest(plan=plan, answer_format=pb.ANSWER_FORMAT_RAW))
        check_tree("execute_plan", await spans.all_ended())


async def test_only_a_plan(llm: ScriptedLlm, spans: Spans) -> None:
    llm.to_route(calls(REPORT))
    async with mesh_with(llm, spans) as mesh:
        await mesh.orchestrator.Plan(pb.PlanRequest(query=ASK.query))
        check_tree("plan", await spans.all_ended())


async def test_a_question_whose_run_is_watched(llm: ScriptedLlm, spans: Spans) -> None:
    """An agent that reports progress is called with ExecuteStream then."""
    llm.to_route(calls(SCAN))
    llm.to_write(says("Two are not well."))
    async with mesh_with(llm, spans) as mesh:
        async for _ in mesh.orchestrator.AskStream(pb.AskStreamRequest(ask=ASK)):
            pass
        check_tree("ask_stream", await spans.all_ended())


async def test_a_question_without_a_model(spans: Spans) -> None:
    async with running_mesh(*three_agents()) as mesh:
        await spans.all_ended()
        spans.clear()
        await mesh.orchestrator.Ask(pb.AskRequest(query='get the report on the component "checkout"'))
        check_tree("offline", await spans.all_ended())
