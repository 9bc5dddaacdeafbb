"""Who is in the mesh, as callers get it; the rules of `agentmesh.client.values` hold."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from google.protobuf.message import Message

from agentmesh.cards import Effect
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


@dataclass(frozen=True, slots=True)
class EndpointInfo:
    """One running process of an agent."""

    address: str
    registered_at: datetime | None
    last_heartbeat_at: datetime | None
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class AgentInfo:
    """An agent, its skills and where it runs."""

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
    """Ordered by name."""
    catalog_fingerprint: str
    wire: Message = field(repr=False, compare=False)
    """The message as it came (ListAgentsResponse)."""
