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
from agentmesh.client.agents import (
    AgentChange,
    AgentChanged,
    AgentInfo,
    AgentRemoved,
    AgentsListed,
    EndpointInfo,
    EndpointsReported,
    Lease,
    Listing,
    SkillInfo,
    UnknownChange,
)
from agentmesh.client.async_agents import AsyncAgentChanges
from agentmesh.client.async_client import AsyncMeshClient
from agentmesh.client.async_events import AsyncRunEvents
from agentmesh.client.enums import (
    AnswerSource,
    EndpointState,
    Mode,
    PlanSource,
    RunOutcome,
    RunState,
    StepOutcome,
    StepReason,
)
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
from agentmesh.client.options import (
    AskOptions,
    Budget,
    CacheMode,
    ExecuteOptions,
    Role,
    RoutingOptions,
    RunFilters,
    RunOptions,
    Turn,
)
from agentmesh.client.sync_agents import AgentChanges
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
    "AgentChange",
    "AgentChanged",
    "AgentChanges",
    "AgentInfo",
    "AgentRemoved",
    "AgentSpending",
    "AgentsListed",
    "Answer",
    "AnswerReset",
    "AnswerSource",
    "AnswerToken",
    "AskOptions",
    "AsyncAgentChanges",
    "AsyncMeshClient",
    "AsyncRunEvents",
    "Budget",
    "CacheMode",
    "Effect",
    "EndpointInfo",
    "EndpointState",
    "EndpointsReported",
    "ExecuteOptions",
    "Finished",
    "ItemReport",
    "Lease",
    "Listing",
    "MeshClient",
    "Mode",
    "PlanSource",
    "Planned",
    "Role",
    "RoutedPlan",
    "RoutingOptions",
    "RunEvent",
    "RunEvents",
    "RunFilters",
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
    "UnknownChange",
    "UnknownEvent",
    "Usage",
]
