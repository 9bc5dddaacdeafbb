"""Typed client for callers of the mesh: `MeshClient` for plain code, `AsyncMeshClient` for asyncio.

    with MeshClient("127.0.0.1:50051") as mesh:
        answer = mesh.ask("What are the current system metrics?")
        print(answer.text, answer.outcome, answer.usage.llm_calls)

What goes wrong is raised as an exception of `agentmesh.errors`.
"""

from agentmesh.cards import Effect
from agentmesh.client.async_client import AsyncMeshClient
from agentmesh.client.requests import Role, Turn
from agentmesh.client.sync_client import MeshClient
from agentmesh.client.values import (
    AgentInfo,
    AgentSpending,
    Answer,
    AnswerSource,
    EndpointInfo,
    ItemReport,
    Listing,
    Mode,
    PlanSource,
    RoutedPlan,
    RunOutcome,
    RunRecord,
    RunState,
    SkillInfo,
    StepOutcome,
    StepReason,
    StepReport,
    Timings,
    Usage,
)

__all__ = [
    "AgentInfo",
    "AgentSpending",
    "Answer",
    "AnswerSource",
    "AsyncMeshClient",
    "Effect",
    "EndpointInfo",
    "ItemReport",
    "Listing",
    "MeshClient",
    "Mode",
    "PlanSource",
    "Role",
    "RoutedPlan",
    "RunOutcome",
    "RunRecord",
    "RunState",
    "SkillInfo",
    "StepOutcome",
    "StepReason",
    "StepReport",
    "Timings",
    "Turn",
    "Usage",
]
