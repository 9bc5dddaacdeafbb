"""Who is in the mesh, as callers get it; the rules of `agentmesh.client.values` hold."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias

from google.protobuf.message import Message

from agentmesh.cards import Effect
from agentmesh.client.enums import EndpointState
from agentmesh.jsonvalues import JsonObject


@dataclass(frozen=True, slots=True)
class SkillInfo:
    """One function of an agent."""

    id: str
    description: str
    effect: Effect | None
    """None for an effect that is newer than this client."""
    input_schema: JsonObject
    output_schema: JsonObject
    tags: tuple[str, ...]
    examples: tuple[str, ...]
    timeout_seconds: float | None
    """Of one attempt; None: as the orchestrator has it."""
    reports_progress: bool


@dataclass(frozen=True, slots=True)
class EndpointInfo:
    """One running process of an agent."""

    address: str
    registered_at: datetime | None
    last_heartbeat_at: datetime | None
    expires_at: datetime | None
    state: EndpointState
    """As the orchestrator that was asked finds it; UNKNOWN also where it does not say."""
    calls_in_flight: int
    """Of the orchestrator that was asked."""


@dataclass(frozen=True, slots=True)
class AgentInfo:
    """An agent, its skills and where it runs. Two versions that run side by side are two of these."""

    name: str
    version: str
    description: str
    skills: tuple[SkillInfo, ...]
    endpoints: tuple[EndpointInfo, ...]
    card_digest: str


@dataclass(frozen=True, slots=True)
class Listing:
    """Who is in the mesh."""

    agents: tuple[AgentInfo, ...]
    """Ordered by name; of one name the highest version first."""
    catalog_fingerprint: str
    wire: Message = field(repr=False, compare=False)
    """The message as it came (ListAgentsResponse)."""


@dataclass(frozen=True, slots=True)
class Lease:
    """The right of an endpoint to be listed."""

    id: str = field(repr=False)
    """Secret: with it one heartbeats and deregisters."""
    ttl_seconds: float
    """How long it lasts without a heartbeat."""
    heartbeat_seconds: float
    """How often to send one."""
    wire: Message = field(repr=False, compare=False)
    """The message as it came (RegisterResponse)."""


@dataclass(frozen=True, slots=True)
class _Change:
    wire: Message = field(repr=False, compare=False)
    """The message (WatchAgentsResponse); of several pages one that holds them all."""


@dataclass(frozen=True, slots=True)
class AgentsListed(_Change):
    """Who is in the mesh; always the first."""

    listing: Listing


@dataclass(frozen=True, slots=True)
class AgentChanged(_Change):
    """An agent that is new, or whose endpoints changed; known by its digest."""

    agent: AgentInfo


@dataclass(frozen=True, slots=True)
class AgentRemoved(_Change):
    """The last endpoint left of those with this card."""

    name: str
    card_digest: str


@dataclass(frozen=True, slots=True)
class EndpointsReported(_Change):
    """No change: how every endpoint does."""

    endpoints: tuple[EndpointInfo, ...]
    """Ordered by address."""


@dataclass(frozen=True, slots=True)
class UnknownChange(_Change):
    """One that is newer than this client."""


AgentChange: TypeAlias = AgentsListed | AgentChanged | AgentRemoved | EndpointsReported | UnknownChange
"""What `watch_agents` gives."""
