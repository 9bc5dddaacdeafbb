"""Typed client for callers of the mesh: `MeshClient` for plain code, `AsyncMeshClient` for asyncio.

    with MeshClient("127.0.0.1:50051") as mesh:
        answer = mesh.ask("What are the current system metrics?")
        print(answer.text, answer.outcome, answer.usage.llm_calls)

    async with AsyncMeshClient("127.0.0.1:50051") as mesh:
        async for event in mesh.ask_stream("What are the current system metrics?"):
            print(event)

What goes wrong is raised as an exception of `agentmesh.errors`.
"""

from agentmesh.cards import Effect
from agentmesh.client.agents import AgentInfo, EndpointInfo, Listing, SkillInfo
from agentmesh.client.async_client import AsyncMeshClient
from agentmesh.client.async_events import AsyncRunEvents
from agentmesh.client.enums import AnswerSource, Mode, PlanSource, RunOutcome, RunState, StepOutcome, StepReason
from agentmesh.client.events import (
    Accepted,
    AnswerReset,
    AnswerToken,
    Finished,
    Planned,
    RunEvent,
    StepFinished,
    StepProgress,
    StepStarted,
    UnknownEvent,
)
from agentmesh.client.options import AskOptions, Budget, ExecuteOptions, Role, RunOptions, Turn
from agentmesh.client.sync_client import MeshClient
from agentmesh.client.sync_events import RunEvents
from agentmesh.client.values import (
    AgentSpending,
    Answer,
    ItemReport,
    RoutedPlan,
    RunRecord,
    RunSummary,
    StepReport,
    Timings,
    Usage,
)

__all__ = [
    "Accepted",
    "AgentInfo",
    "AgentSpending",
    "Answer",
    "AnswerReset",
    "AnswerSource",
    "AnswerToken",
    "AskOptions",
    "AsyncMeshClient",
    "AsyncRunEvents",
    "Budget",
    "Effect",
    "EndpointInfo",
    "ExecuteOptions",
    "Finished",
    "ItemReport",
    "Listing",
    "MeshClient",
    "Mode",
    "PlanSource",
    "Planned",
    "Role",
    "RoutedPlan",
    "RunEvent",
    "RunEvents",
    "RunOptions",
    "RunOutcome",
    "RunRecord",
    "RunState",
    "RunSummary",
    "SkillInfo",
    "StepFinished",
    "StepOutcome",
    "StepProgress",
    "StepReason",
    "StepReport",
    "StepStarted",
    "Timings",
    "Turn",
    "UnknownEvent",
    "Usage",
]
