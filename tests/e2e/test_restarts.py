"""Agents that are restarted under the orchestrator's feet: alone, or with other skills and without a word."""

from __future__ import annotations

import asyncio
from typing import Any

from google.protobuf import json_format

from agentmesh.agent import Agent, RunningAgent
from agentmesh.v1 import orchestrator_service_pb2 as pb
from agentmesh.v1 import registry_service_pb2, run_pb2
from tests.e2e.mesh import Mesh, minds, running_mesh
from tests.e2e.probe import Probe
from tests.fakes.planner import FixedPlanner

PATIENCE_SECONDS = 30.0
"""Only a test that fails waits so long."""


async def run(mesh: Mesh, skill: str, **arguments: str) -> run_pb2.StepResult:
    plan = {"steps": [{"id": "s", "skill": skill, "arguments": arguments}]}
    request = json_format.ParseDict({"plan": plan, "answer_format": "ANSWER_FORMAT_RAW"}, pb.ExecutePlanRequest())
    response = await mesh.orchestrator.ExecutePlan(request)
    assert response.result.outcome == run_pb2.RUN_OUTCOME_COMPLETE
    return response.result.steps[0]


async def register(mesh: Mesh, agent: Agent, running: RunningAgent) -> None:
    await mesh.registry.Register(registry_service_pb2.RegisterRequest(card=agent.card(), address=running.address))


async def test_a_question_meets_the_only_endpoint_in_its_restart_and_waits_for_it(probe: Probe) -> None:
    agent = probe.agent()
    async with running_mesh(minds=minds(FixedPlanner([]))) as mesh:
        async with await agent.start(orchestrator=mesh.address) as before:
            await before.registered()
            assert (await run(mesh, "probe_agent__echo")).endpoint == before.address
        assert await mesh.agents() == set()
        asking = asyncio.create_task(run(mesh, "probe_agent__echo"))
        async with await agent.start(orchestrator=mesh.address) as after:
            step = await asking
    assert (step.endpoint, step.attempts) == (after.address, 1)


async def test_an_endpoint_that_has_other_skills_now_is_passed_over_and_never_runs_the_old_call() -> None:
    """It comes back with another schema at its address, before it has registered again."""
    ran: list[dict[str, Any]] = []
    agent, changed = Agent("shop_agent", version="1.0.0"), Agent("shop_agent", version="2.0.0")

    @agent.skill(effect="READ_ONLY", name="count")
    async def count_item(item: str) -> dict[str, Any]:
        """Count the pieces of some goods."""
        return {"counted": item}

    @changed.skill(effect="READ_ONLY", name="count")
    async def count_goods(goods: str = "", item: str = "") -> dict[str, Any]:
        """Count the pieces of some goods."""
        ran.append({"goods": goods, "item": item})
        return {"counted": goods}

    async with running_mesh(minds=minds(FixedPlanner([]))) as mesh, await agent.start() as stays:
        async with await agent.start() as leaves:
            for running in (stays, leaves):
                await register(mesh, agent, running)
            address = leaves.address
        async with await changed.start(address), asyncio.timeout(PATIENCE_SECONDS):
            attempts = 1
            while attempts == 1:  # until one of the calls has gone there first
                step = await run(mesh, "shop_agent__count", item="tea")
                attempts = step.attempts
                assert step.endpoint == stays.address
    assert attempts == 2
    assert ran == []
