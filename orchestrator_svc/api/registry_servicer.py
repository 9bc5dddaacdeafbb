"""agentmesh.v1.Registry over gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any, Final, TypeAlias

import grpc.aio

from agentmesh.card_messages import card_to_json
from agentmesh.cards import MAX_CARD_BYTES
from agentmesh.errors import CardInvalid, Violation, ViolationReason
from agentmesh.v1 import registry_service_pb2 as pb
from agentmesh.v1 import registry_service_pb2_grpc
from orchestrator_svc.api.agent_pages import Statuses, page_of_agents
from orchestrator_svc.api.agent_watches import AgentWatches
from orchestrator_svc.api.times import duration, timestamp
from orchestrator_svc.app.catalogs import Catalogs
from orchestrator_svc.app.membership import HEARTBEATS_PER_TTL, Membership

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

WATCH_AGENTS: Final = "/agentmesh.v1.Registry/WatchAgents"
"""A stream without an end."""


class RegistryServicer(registry_service_pb2_grpc.RegistryServicer):
    """Translates and delegates.

    Args:
        membership: Who is listed, and whoever wants to be.
        catalogs: What questions are answered with.
        statuses: Says how the endpoints that are listed do.
    """

    def __init__(self, membership: Membership, catalogs: Catalogs, statuses: Callable[[], Statuses]) -> None:
        self._membership = membership
        self._catalogs = catalogs
        self._statuses = statuses
        self._watches = AgentWatches(membership, catalogs, statuses)

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
        fingerprint = self._catalogs.known().fingerprint
        # Cards become messages at some 10 MB a second, which others need not wait for.
        return await asyncio.to_thread(
            page_of_agents, self._membership.listing(), request, fingerprint, self._statuses()
        )

    async def WatchAgents(
        self, request: pb.WatchAgentsRequest, context: Context
    ) -> AsyncGenerator[pb.WatchAgentsResponse, None]:
        interval = request.report_interval.ToNanoseconds() / 1e9 if request.HasField("report_interval") else None
        async with aclosing(self._watches.messages(interval)) as messages:
            async for message in messages:
                yield message

    def end_watches(self) -> None:
        """End every WatchAgents with SHUTTING_DOWN, so that a drain need not wait for them."""
        self._watches.end()
