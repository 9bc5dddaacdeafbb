"""agentmesh.v1.Registry over gRPC."""

from __future__ import annotations

from typing import Any, NoReturn, TypeAlias

import grpc.aio

from agentmesh.card_messages import card_from_json, card_to_json
from agentmesh.cards import MAX_CARD_BYTES
from agentmesh.errors import CardInvalid, FieldNotSupported, Violation, ViolationReason
from agentmesh.v1 import registry_service_pb2 as pb
from agentmesh.v1 import registry_service_pb2_grpc
from orchestrator_svc.api.times import duration, timestamp
from orchestrator_svc.app.membership import HEARTBEATS_PER_TTL, Membership
from orchestrator_svc.app.ports.agent_store import Registration

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class RegistryServicer(registry_service_pb2_grpc.RegistryServicer):
    """Translates and delegates; rpcs of the contract that are not built yet say so."""

    def __init__(self, membership: Membership) -> None:
        self._membership = membership

    async def Register(self, request: pb.RegisterRequest, context: Context) -> pb.RegisterResponse:
        size = request.card.ByteSize()
        if size > MAX_CARD_BYTES:
            message = f"the card has {size} bytes, at most {MAX_CARD_BYTES} are allowed"
            raise CardInvalid(message, violations=[Violation("card", ViolationReason.RULE, message)])
        ttl = request.ttl.ToNanoseconds() / 1e9 if request.HasField("ttl") else None
        registration = await self._membership.register(card_to_json(request.card), request.address, ttl)
        return pb.RegisterResponse(
            lease_id=registration.lease_id,
            ttl=duration(registration.ttl_seconds),
            heartbeat_interval=duration(registration.ttl_seconds / HEARTBEATS_PER_TTL),
        )

    async def Heartbeat(self, request: pb.HeartbeatRequest, context: Context) -> pb.HeartbeatResponse:
        registration = await self._membership.heartbeat(request.lease_id)
        return pb.HeartbeatResponse(expires_at=timestamp(registration.expires_at))

    async def Deregister(
        self,
        request: pb.DeregisterRequest,
        context: Context,
    ) -> pb.DeregisterResponse:
        await self._membership.deregister(request.lease_id)
        return pb.DeregisterResponse()

    async def ListAgents(
        self,
        request: pb.ListAgentsRequest,
        context: Context,
    ) -> pb.ListAgentsResponse:
        listing = self._membership.listing()
        return pb.ListAgentsResponse(
            agents=[_agent(registration) for registration in listing.registrations],
            catalog_fingerprint=self._membership.known_catalog().fingerprint,
        )

    def WatchAgents(self, request: pb.WatchAgentsRequest, context: Context) -> NoReturn:
        raise FieldNotSupported("WatchAgents is not built yet; call ListAgents")


def _agent(registration: Registration) -> pb.RegisteredAgent:
    return pb.RegisteredAgent(
        card=card_from_json(registration.card.source),
        card_digest=registration.card.digest,
        endpoints=[
            pb.Endpoint(
                address=registration.address,
                registered_at=timestamp(registration.registered_at),
                last_heartbeat_at=timestamp(registration.last_heartbeat_at),
                expires_at=timestamp(registration.expires_at),
            )
        ],
    )
