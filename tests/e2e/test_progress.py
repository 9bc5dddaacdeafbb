"""Progress of agents, from the skill to whoever watches the run, over real gRPC."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest

from agentmesh.agent import Agent, progress
from agentmesh.jsonvalues import JsonObject
from agentmesh.transport import from_struct
from agentmesh.v1 import orchestrator_service_pb2 as pb
from agentmesh.v1 import run_event_pb2, run_pb2
from tests.e2e.mesh import Mesh, minds, running_mesh
from tests.fakes.planner import FixedPlanner

WALK: JsonObject = {"id": "w", "skill": "walker_agent__walk"}
RAW = pb.AskRequest(query="?", answer_format=pb.ANSWER_FORMAT_RAW)


@dataclass
class Walker:
    """An agent whose skill says how far it is, and goes on when it is told."""

    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)

    def agent(self, *, announced: bool = True) -> Agent:
        agent = Agent("walker_agent", version="1.0.0", description="Walks.")

        @agent.skill(effect="READ_ONLY", reports_progress=announced)
        async def walk(way: str = "") -> dict[str, Any]:
            """Walk a way, with a rest."""
            await progress(0.5, f"half of the way {way}".strip())
            try:
                await self.go_on.wait()
            except asyncio.CancelledError:
                self.cancelled.set()
                raise
            return {"walked": True}

        return agent


@pytest.fixture
def walker() -> Walker:
    return Walker()


async def watched(mesh: Mesh, walker: Walker) -> list[run_event_pb2.RunEvent]:
    """Ask, and let the skill go on once its progress was seen."""
    events = []
    async for message in mesh.orchestrator.AskStream(pb.AskStreamRequest(ask=RAW)):
        events.append(message.event)
        if message.event.HasField("step_progress"):
            walker.go_on.set()
    return events


async def test_whoever_watches_sees_how_far_a_skill_is_while_it_runs(walker: Walker) -> None:
    async with running_mesh(walker.agent(), minds=minds(FixedPlanner([WALK]))) as mesh:
        events = await watched(mesh, walker)
    kinds = [str(event.WhichOneof("event")) for event in events]
    assert kinds == ["accepted", "planned", "step_started", "step_progress", "step_finished", "finished"]
    seen = events[3].step_progress
    assert (seen.step_id, seen.HasField("item_index")) == ("w", False)
    assert (seen.progress.fraction, seen.progress.message) == (0.5, "half of the way")
    result = events[-1].finished.steps[0]
    assert (result.outcome, result.attempts) == (run_pb2.STEP_OUTCOME_SUCCEEDED, 1)
    assert from_struct(result.result) == {"walked": True}


async def test_progress_of_items_names_them(walker: Walker) -> None:
    each: JsonObject = {**WALK, "for_each": ["home", "away"], "arguments": {"way": "${item}"}}
    async with running_mesh(walker.agent(), minds=minds(FixedPlanner([each]))) as mesh:
        events = []
        async for message in mesh.orchestrator.AskStream(pb.AskStreamRequest(ask=RAW)):
            events.append(message.event)
            if sum(event.HasField("step_progress") for event in events) == 2:
                walker.go_on.set()
    told = {e.step_progress.item_index: e.step_progress.progress.message for e in events if e.HasField("step_progress")}
    assert told == {0: "half of the way home", 1: "half of the way away"}


async def test_a_run_that_nobody_watches_asks_for_no_progress_and_has_the_same_result(walker: Walker) -> None:
    walker.go_on.set()
    async with running_mesh(walker.agent(), minds=minds(FixedPlanner([WALK]))) as mesh:
        response = await mesh.orchestrator.Ask(RAW)
        replayed = mesh.orchestrator.WatchRun(pb.WatchRunRequest(run_id=response.run_id))
        kinds = [str(message.event.WhichOneof("event")) async for message in replayed]
    assert from_struct(response.steps[0].result) == {"walked": True}
    assert kinds == ["accepted", "planned", "step_started", "step_finished", "finished"]


async def test_a_skill_whose_card_promises_no_progress_is_run_without(walker: Walker) -> None:
    walker.go_on.set()
    async with running_mesh(walker.agent(announced=False), minds=minds(FixedPlanner([WALK]))) as mesh:
        events = await watched(mesh, walker)
    kinds = [str(event.WhichOneof("event")) for event in events]
    assert kinds == ["accepted", "planned", "step_started", "step_finished", "finished"]


async def test_a_watcher_that_leaves_cancels_the_skill_that_tells_of_its_progress(walker: Walker) -> None:
    async with running_mesh(walker.agent(), minds=minds(FixedPlanner([WALK]))) as mesh:
        stream = mesh.orchestrator.AskStream(pb.AskStreamRequest(ask=RAW))
        async for message in stream:
            if message.event.HasField("step_progress"):
                stream.cancel()
                break
        await walker.cancelled.wait()
