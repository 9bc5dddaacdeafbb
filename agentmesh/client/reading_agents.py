"""Messages about agents into the values that callers get."""

from __future__ import annotations

from agentmesh.card_messages import effect_from_message
from agentmesh.cards import Effect, skill_id
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
from agentmesh.client.enums import EndpointState
from agentmesh.client.scalars import member_of, moment_of, seconds_of
from agentmesh.transport.structs import from_struct
from agentmesh.v1 import card_pb2, registry_service_pb2


class WholeListing:
    """Puts the pages of a listing together."""

    def __init__(self) -> None:
        self.message = registry_service_pb2.ListAgentsResponse()
        """All agents of the pages so far, with the fingerprint of the last."""

    def add(self, page: registry_service_pb2.ListAgentsResponse) -> str:
        """Take a page, and return the token of the next; empty after the last."""
        self.message.agents.extend(page.agents)
        self.message.catalog_fingerprint = page.catalog_fingerprint
        return page.next_page_token


class ChangeReader:
    """Reads the messages of one watch."""

    def __init__(self) -> None:
        self._whole = WholeListing()

    def begin(self) -> None:
        """Another call begins: pages of one that broke are worth nothing."""
        self._whole = WholeListing()

    def read(self, message: registry_service_pb2.WatchAgentsResponse) -> AgentChange | None:
        """Return what it says; None for a page of the listing that others follow."""
        match message.WhichOneof("change"):
            case "snapshot":
                if self._whole.add(message.snapshot):
                    return None
                listing, self._whole = self._whole.message, WholeListing()
                wire = registry_service_pb2.WatchAgentsResponse(snapshot=listing)
                return AgentsListed(wire, read_listing(listing))
            case "changed":
                return AgentChanged(message, _agent(message.changed))
            case "removed":
                return AgentRemoved(message, message.removed.name, message.removed.card_digest)
            case "report":
                return EndpointsReported(message, tuple(map(_endpoint, message.report.endpoints)))
            case None:
                return UnknownChange(message)


def read_lease(message: registry_service_pb2.RegisterResponse) -> Lease:
    return Lease(message.lease_id, seconds_of(message.ttl), seconds_of(message.heartbeat_interval), message)


def read_listing(message: registry_service_pb2.ListAgentsResponse) -> Listing:
    return Listing(
        agents=tuple(_agent(agent) for agent in message.agents),
        catalog_fingerprint=message.catalog_fingerprint,
        wire=message,
    )


def _agent(message: registry_service_pb2.RegisteredAgent) -> AgentInfo:
    card = message.card
    return AgentInfo(
        name=card.name,
        version=card.version,
        description=card.description,
        skills=tuple(_skill(card.name, skill) for skill in card.skills),
        endpoints=tuple(_endpoint(endpoint) for endpoint in message.endpoints),
        card_digest=message.card_digest,
    )


def _skill(agent: str, message: card_pb2.Skill) -> SkillInfo:
    return SkillInfo(
        id=skill_id(agent, message.name),
        description=message.description,
        effect=_effect(message.effect),
        input_schema=from_struct(message.input_schema),
        output_schema=from_struct(message.output_schema),
        tags=tuple(message.tags),
        examples=tuple(message.examples),
        timeout_seconds=seconds_of(message.timeout) if message.HasField("timeout") else None,
        reports_progress=message.reports_progress,
    )


def _effect(number: card_pb2.Effect.ValueType) -> Effect | None:
    try:
        return effect_from_message(number)
    except ValueError:
        return None


def _endpoint(message: registry_service_pb2.Endpoint) -> EndpointInfo:
    return EndpointInfo(
        address=message.address,
        registered_at=moment_of(message.registered_at) if message.HasField("registered_at") else None,
        last_heartbeat_at=moment_of(message.last_heartbeat_at) if message.HasField("last_heartbeat_at") else None,
        expires_at=moment_of(message.expires_at) if message.HasField("expires_at") else None,
        state=member_of(EndpointState, registry_service_pb2.EndpointState.DESCRIPTOR, message.state),
        calls_in_flight=message.calls_in_flight,
    )
