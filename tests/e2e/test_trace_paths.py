"""The trace of a question that does not simply succeed, asked with Ask and with AskStream: telemetry.md's table.

Each outline is the whole trace: every span with how it ended, what happened in it, and what it is linked to.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from textwrap import dedent

import grpc
import grpc.aio
import pytest

from agentmesh.jsonvalues import JsonObject
from agentmesh.v1 import orchestrator_service_pb2 as pb
from tests.e2e.agents.troubled import Trouble, troubled_agent
from tests.e2e.mesh import Mesh, minds, running_mesh
from tests.e2e.probe import Probe
from tests.e2e.processes import running
from tests.e2e.test_retries import BUSY, QUICK, failing_first
from tests.fakes.planner import FixedPlanner, HungPlanner
from tests.telemetry.recording import Spans
from tests.telemetry.span_tree import outline

ECHO: JsonObject = {"id": "e", "skill": "probe_agent__echo"}
WAIT: JsonObject = {"id": "w", "skill": "probe_agent__wait"}
FAIL: JsonObject = {"id": "f", "skill": "probe_agent__fail", "arguments": {"how": "not_found"}}
BUG: JsonObject = {"id": "b", "skill": "probe_agent__fail", "arguments": {"how": "by falling over"}}
AFTER_FAIL: JsonObject = {**ECHO, "id": "after", "depends_on": ["f"]}
LOOK: JsonObject = {"id": "l", "skill": "troubled_agent__look"}

asked = pytest.mark.parametrize("rpc", ["Ask", "AskStream"])


async def ask(mesh: Mesh, rpc: str, *, seconds: float | None = None) -> None:
    """Ask, and read the answer to its end."""
    request = pb.AskRequest(query="?", answer_format=pb.ANSWER_FORMAT_RAW)
    if rpc == "Ask":
        await mesh.orchestrator.Ask(request, timeout=seconds)
    else:
        async for _ in mesh.orchestrator.AskStream(pb.AskStreamRequest(ask=request), timeout=seconds):
            pass


@asynccontextmanager
async def mesh_that_plans(
    spans: Spans, *steps: JsonObject, probe: Probe | None = None, trouble: Trouble | None = None
) -> AsyncIterator[Mesh]:
    """A mesh of which nothing is recorded yet."""
    agents = [(probe or Probe()).agent(), *([troubled_agent(trouble)] if trouble else [])]
    async with running_mesh(*agents, minds=minds(FixedPlanner(steps)), settings=QUICK) as mesh:
        await spans.all_ended()
        spans.clear()
        yield mesh


async def same(spans: Spans, rpc: str, expected: str, *, without: tuple[str, ...] = ()) -> None:
    """Compare what is recorded with an outline; without these rpcs, which only the test called."""
    found = [span for span in await spans.all_ended() if not span.name.endswith(without or ("-",))]
    recorded = outline(found).replace(f"Orchestrator/{rpc}", "Orchestrator/<rpc>")
    assert recorded.splitlines() == dedent(expected).strip().splitlines()


@asked
async def test_one_agent_fails_and_the_answer_is_partial(rpc: str, spans: Spans) -> None:
    async with mesh_that_plans(spans, ECHO, FAIL, AFTER_FAIL) as mesh:
        await ask(mesh, rpc)
        await same(
            spans,
            rpc,
            """
            [S] agentmesh.v1.Orchestrator/<rpc>  OK
              [I] invoke_workflow ask  partial  * agentmesh.step.skipped after UPSTREAM_FAILED
                [I] plan orchestrator  llm
                [C] invoke_agent probe_agent (e)  succeeded
                  [C] agentmesh.v1.Agent/Execute  OK
                    [S] agentmesh.v1.Agent/Execute  OK
                      [I] execute_tool echo
                [C] invoke_agent probe_agent (f)  failed  ERROR AGENT_ERROR
                  [C] agentmesh.v1.Agent/Execute  NOT_FOUND  ERROR NOT_FOUND
                    [S] agentmesh.v1.Agent/Execute  NOT_FOUND
                      [I] execute_tool fail  ERROR NOT_FOUND
        """,
        )


@asked
async def test_all_agents_fail(rpc: str, spans: Spans) -> None:
    async with mesh_that_plans(spans, FAIL) as mesh:
        with pytest.raises(grpc.aio.AioRpcError):
            await ask(mesh, rpc)
        await same(
            spans,
            rpc,
            """
            [S] agentmesh.v1.Orchestrator/<rpc>  NOT_FOUND
              [I] invoke_workflow ask  failed  ERROR ALL_STEPS_FAILED
                [I] plan orchestrator  llm
                [C] invoke_agent probe_agent (f)  failed  ERROR AGENT_ERROR
                  [C] agentmesh.v1.Agent/Execute  NOT_FOUND  ERROR NOT_FOUND
                    [S] agentmesh.v1.Agent/Execute  NOT_FOUND
                      [I] execute_tool fail  ERROR NOT_FOUND
        """,
        )


@asked
async def test_a_bug_in_an_agent_is_recorded_in_the_skill_and_nowhere_else(rpc: str, spans: Spans) -> None:
    async with mesh_that_plans(spans, BUG, ECHO) as mesh:
        await ask(mesh, rpc)
        await same(
            spans,
            rpc,
            """
            [S] agentmesh.v1.Orchestrator/<rpc>  OK
              [I] invoke_workflow ask  partial
                [I] plan orchestrator  llm
                [C] invoke_agent probe_agent (b)  failed  ERROR AGENT_ERROR
                  [C] agentmesh.v1.Agent/Execute  INTERNAL  ERROR INTERNAL
                    [S] agentmesh.v1.Agent/Execute  INTERNAL  ERROR INTERNAL
                      [I] execute_tool fail  ERROR ValueError  * exception   ValueError
                [C] invoke_agent probe_agent (e)  succeeded
                  [C] agentmesh.v1.Agent/Execute  OK
                    [S] agentmesh.v1.Agent/Execute  OK
                      [I] execute_tool echo
        """,
        )


@asked
async def test_a_plan_that_is_not_valid(rpc: str, spans: Spans) -> None:
    async with mesh_that_plans(spans, {"id": "x", "skill": "nobody__knows"}) as mesh:
        with pytest.raises(grpc.aio.AioRpcError):
            await ask(mesh, rpc)
        await same(
            spans,
            rpc,
            """
            [S] agentmesh.v1.Orchestrator/<rpc>  INTERNAL  ERROR PLAN_INVALID
              [I] invoke_workflow ask  failed  ERROR PLAN_INVALID
                [I] plan orchestrator  ERROR PLAN_INVALID
        """,
        )


@asked
async def test_a_retry_that_works(rpc: str, spans: Spans) -> None:
    async with mesh_that_plans(spans, LOOK, trouble=failing_first(1, BUSY, [])) as mesh:
        await ask(mesh, rpc)
        await same(
            spans,
            rpc,
            """
            [S] agentmesh.v1.Orchestrator/<rpc>  OK
              [I] invoke_workflow ask  complete
                [I] plan orchestrator  llm
                [C] invoke_agent troubled_agent (l)  succeeded  * agentmesh.retry  AGENT_ERROR
                  [C] agentmesh.v1.Agent/Execute  RESOURCE_EXHAUSTED  ERROR RESOURCE_EXHAUSTED
                    [S] agentmesh.v1.Agent/Execute  RESOURCE_EXHAUSTED
                      [I] execute_tool look  ERROR RESOURCE_EXHAUSTED
                  [C] agentmesh.v1.Agent/Execute  OK
                    [S] agentmesh.v1.Agent/Execute  OK
                      [I] execute_tool look
        """,
        )


@asked
async def test_an_agent_that_is_too_slow(rpc: str, spans: Spans) -> None:
    async with mesh_that_plans(spans, ECHO, WAIT) as mesh:
        await ask(mesh, rpc, seconds=0.5)
        await same(
            spans,
            rpc,
            """
            [S] agentmesh.v1.Orchestrator/<rpc>  OK
              [I] invoke_workflow ask  partial
                [I] plan orchestrator  llm
                [C] invoke_agent probe_agent (e)  succeeded
                  [C] agentmesh.v1.Agent/Execute  OK
                    [S] agentmesh.v1.Agent/Execute  OK
                      [I] execute_tool echo
                [C] invoke_agent probe_agent (w)  timed_out  ERROR DEADLINE_EXCEEDED
                  [C] agentmesh.v1.Agent/Execute  DEADLINE_EXCEEDED  ERROR DEADLINE_EXCEEDED
                    [S] agentmesh.v1.Agent/Execute  DEADLINE_EXCEEDED  ERROR DEADLINE_EXCEEDED
                      [I] execute_tool wait  cancelled
        """,
        )


@asked
async def test_a_deadline_that_passes_for_all(rpc: str, spans: Spans) -> None:
    async with mesh_that_plans(spans, WAIT) as mesh:
        with pytest.raises(grpc.aio.AioRpcError):
            await ask(mesh, rpc, seconds=0.5)
        await same(
            spans,
            rpc,
            """
            [S] agentmesh.v1.Orchestrator/<rpc>  DEADLINE_EXCEEDED  ERROR ALL_STEPS_FAILED
              [I] invoke_workflow ask  failed  ERROR ALL_STEPS_FAILED
                [I] plan orchestrator  llm
                [C] invoke_agent probe_agent (w)  timed_out  ERROR DEADLINE_EXCEEDED
                  [C] agentmesh.v1.Agent/Execute  DEADLINE_EXCEEDED  ERROR DEADLINE_EXCEEDED
                    [S] agentmesh.v1.Agent/Execute  DEADLINE_EXCEEDED  ERROR DEADLINE_EXCEEDED
                      [I] execute_tool wait  cancelled
        """,
        )


@asked
async def test_a_caller_who_leaves(rpc: str, spans: Spans, probe: Probe) -> None:
    async with mesh_that_plans(spans, WAIT, probe=probe) as mesh:
        asking = asyncio.create_task(ask(mesh, rpc))
        await probe.started.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await same(
            spans,
            rpc,
            """
            [S] agentmesh.v1.Orchestrator/<rpc>  CANCELLED
              [I] invoke_workflow ask  cancelled
                [I] plan orchestrator  llm
                [C] invoke_agent probe_agent (w)  cancelled
                  [C] agentmesh.v1.Agent/Execute  CANCELLED  ERROR CANCELLED
                    [S] agentmesh.v1.Agent/Execute  CANCELLED
                      [I] execute_tool wait  cancelled
        """,
        )


@asked
async def test_a_plan_that_is_not_made_in_time(rpc: str, spans: Spans) -> None:
    async with running_mesh(Probe().agent(), minds=minds(HungPlanner())) as mesh:
        await spans.all_ended()
        spans.clear()
        with pytest.raises(grpc.aio.AioRpcError):
            await ask(mesh, rpc, seconds=0.5)
        await same(
            spans,
            rpc,
            """
            [S] agentmesh.v1.Orchestrator/<rpc>  UNAVAILABLE  ERROR LLM_UNAVAILABLE
              [I] invoke_workflow ask  failed  ERROR LLM_UNAVAILABLE
                [I] plan orchestrator  ERROR LLM_UNAVAILABLE
        """,
        )


@asked
async def test_an_agent_that_dies_under_a_call(rpc: str, spans: Spans) -> None:
    settings = {"AGENTMESH_MAX_ATTEMPTS": "1"}
    async with (
        running_mesh(Probe().agent(), minds=minds(FixedPlanner([ECHO, LOOK])), settings=settings) as mesh,
        running(
            "-m", "tests.e2e.agents.troubled", environment={"AGENTMESH_ORCHESTRATOR_ADDRESS": mesh.address}
        ) as victim,
    ):
        await victim.says("registered")
        await spans.all_ended()
        spans.clear()
        await ask(mesh, rpc)
        await same(
            spans,
            rpc,
            """
            [S] agentmesh.v1.Orchestrator/<rpc>  OK
              [I] invoke_workflow ask  partial
                [I] plan orchestrator  llm
                [C] invoke_agent probe_agent (e)  succeeded
                  [C] agentmesh.v1.Agent/Execute  OK
                    [S] agentmesh.v1.Agent/Execute  OK
                      [I] execute_tool echo
                [C] invoke_agent troubled_agent (l)  failed  ERROR AGENT_UNAVAILABLE
                  [C] agentmesh.v1.Agent/Execute  UNAVAILABLE  ERROR UNREACHABLE
        """,
        )


@asked
async def test_an_agent_that_has_left(rpc: str, spans: Spans) -> None:
    """Its skills are still known; the step waits for an endpoint as long as it may, and there is no rpc."""
    leaving = troubled_agent(failing_first(0, BUSY, []))
    async with running_mesh(Probe().agent(), minds=minds(FixedPlanner([ECHO, LOOK]))) as mesh:
        running_agent = await leaving.start(orchestrator=mesh.address)
        await running_agent.registered()
        await running_agent.stop()
        await spans.all_ended()
        spans.clear()
        await ask(mesh, rpc, seconds=1)
        await same(
            spans,
            rpc,
            """
            [S] agentmesh.v1.Orchestrator/<rpc>  OK
              [I] invoke_workflow ask  partial
                [I] plan orchestrator  llm
                [C] invoke_agent probe_agent (e)  succeeded
                  [C] agentmesh.v1.Agent/Execute  OK
                    [S] agentmesh.v1.Agent/Execute  OK
                      [I] execute_tool echo
                [C] invoke_agent troubled_agent (l)  failed  ERROR NO_ENDPOINT
        """,
        )


@asked
async def test_a_run_that_is_cancelled_for_everybody(rpc: str, spans: Spans, probe: Probe) -> None:
    async with mesh_that_plans(spans, WAIT, probe=probe) as mesh:
        asking = asyncio.create_task(ask(mesh, rpc))
        await probe.started.wait()
        [run] = (await mesh.orchestrator.ListRuns(pb.ListRunsRequest())).runs
        await mesh.orchestrator.CancelRun(pb.CancelRunRequest(run_id=run.run_id))
        with pytest.raises(grpc.aio.AioRpcError):
            await asking
        await same(
            spans,
            rpc,
            """
            [S] agentmesh.v1.Orchestrator/<rpc>  CANCELLED
              [I] invoke_workflow ask  cancelled
                [I] plan orchestrator  llm
                [C] invoke_agent probe_agent (w)  cancelled
                  [C] agentmesh.v1.Agent/Execute  CANCELLED  ERROR CANCELLED
                    [S] agentmesh.v1.Agent/Execute  CANCELLED
                      [I] execute_tool wait  cancelled
        """,
            without=("ListRuns", "CancelRun"),
        )


async def test_a_run_that_is_kept_goes_on_in_its_trace_when_its_caller_has_left(spans: Spans, probe: Probe) -> None:
    async with mesh_that_plans(spans, WAIT, probe=probe) as mesh:
        request = pb.AskRequest(query="?", answer_format=pb.ANSWER_FORMAT_RAW, keep_running=True)
        asking = asyncio.ensure_future(mesh.orchestrator.Ask(request))
        await probe.started.wait()
        asking.cancel()
        await spans.has_ended("agentmesh.v1.Orchestrator/Ask")
        probe.release.set()
        await same(
            spans,
            "Ask",
            """
            [S] agentmesh.v1.Orchestrator/<rpc>  CANCELLED
              [I] invoke_workflow ask  complete
                [I] plan orchestrator  llm
                [C] invoke_agent probe_agent (w)  succeeded
                  [C] agentmesh.v1.Agent/Execute  OK
                    [S] agentmesh.v1.Agent/Execute  OK
                      [I] execute_tool wait
        """,
        )
