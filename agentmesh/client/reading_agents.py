"""Messages about agents into the values that callers get."""

from __future__ import annotations

from agentmesh.card_messages import effect_from_message
from agentmesh.cards import Effect, skill_id
from agentmesh.client.agents import AgentInfo, EndpointInfo, Listing, SkillInfo
from agentmesh.client.scalars import moment_of
from agentmesh.transport.structs import from_struct
from agentmesh.v1 import card_pb2, registry_service_pb2


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
    )
