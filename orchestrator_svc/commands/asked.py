"""Asks one orchestrator of a mesh that starts how far it is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, TypeAlias

import grpc
from grpc_health.v1 import health_pb2

from agentmesh.client import MeshClient
from agentmesh.errors import MeshError
from agentmesh.transport.options import proxy_options

_Health: TypeAlias = "grpc.UnaryUnaryMultiCallable[health_pb2.HealthCheckRequest, health_pb2.HealthCheckResponse]"

_CALL_SECONDS: Final = 2.0
_SERVICE: Final = "agentmesh.v1.Orchestrator"


class Asked:
    """One orchestrator; whether it will ever answer is for the caller to judge."""

    def __init__(self, client: MeshClient, health: _Health) -> None:
        self._client = client
        self._health = health

    def endpoints(self) -> list[tuple[str, str]]:
        """Name of the agent and address of every endpoint that it knows; none while it does not answer."""
        try:
            agents = self._client.list_agents(timeout_seconds=_CALL_SECONDS).agents
        except MeshError:
            return []
        return [(agent.name, endpoint.address) for agent in agents for endpoint in agent.endpoints]

    def serves(self) -> bool:
        """Whether it says that it can be asked questions."""
        try:
            answer = self._health(health_pb2.HealthCheckRequest(service=_SERVICE), timeout=_CALL_SECONDS)
        except grpc.RpcError:
            return False
        return answer.status == health_pb2.HealthCheckResponse.SERVING


@contextmanager
def asking(address: str) -> Iterator[Asked]:
    """Give the orchestrator at the address."""
    with MeshClient(address) as client, grpc.insecure_channel(address, proxy_options(address)) as channel:
        health: _Health = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        yield Asked(client, health)
