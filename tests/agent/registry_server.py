"""A small real Registry: keeps leases in memory, answers what a test tells it, and lets the test wait for requests."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, NoReturn

from agentmesh import errors
from agentmesh.transport.server import MeshServer, Service, build_server
from agentmesh.v1 import registry_service_pb2 as pb
from agentmesh.v1 import registry_service_pb2_grpc


class RegistryServer(registry_service_pb2_grpc.RegistryServicer):
    """Leases last until they are given back or the test drops them."""

    def __init__(self, heartbeat_seconds: float) -> None:
        self.leases: dict[str, pb.RegisterRequest] = {}
        """By lease id."""
        self.heard: list[str] = []
        """`Register`, `Heartbeat` or `Deregister`, in the order of arrival; refused ones too."""
        self.answers: deque[errors.MeshError] = deque()
        """What the next requests are answered with, instead of being served."""
        self.before_answer: Callable[[], Awaitable[object]] | None = None
        """Awaited after the lease was made, before the answer."""
        self._heartbeat_seconds = heartbeat_seconds
        self._made = 0
        self._changed = asyncio.Condition()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return once the condition holds; it is looked at after each request."""
        async with self._changed:
            await self._changed.wait_for(condition)

    async def Register(self, request: pb.RegisterRequest, context: Any) -> pb.RegisterResponse:  # noqa: ANN401
        await self._hear("Register")
        self._made += 1
        lease = f"{self._made:032x}"
        self.leases[lease] = request
        await self._tell()
        if self.before_answer is not None:
            await self.before_answer()
        response = pb.RegisterResponse(lease_id=lease, ttl=request.ttl)
        response.heartbeat_interval.FromNanoseconds(round(self._heartbeat_seconds * 1e9))
        return response

    async def Heartbeat(self, request: pb.HeartbeatRequest, context: Any) -> pb.HeartbeatResponse:  # noqa: ANN401
        await self._hear("Heartbeat")
        if request.lease_id not in self.leases:
            raise errors.LeaseNotFound("no such lease")
        return pb.HeartbeatResponse()

    async def Deregister(self, request: pb.DeregisterRequest, context: Any) -> pb.DeregisterResponse:  # noqa: ANN401
        await self._hear("Deregister")
        self.leases.pop(request.lease_id, None)
        await self._tell()
        return pb.DeregisterResponse()

    async def ListAgents(self, request: pb.ListAgentsRequest, context: Any) -> NoReturn:  # noqa: ANN401
        raise errors.FieldNotSupported("agents do not list")

    def WatchAgents(self, request: pb.WatchAgentsRequest, context: Any) -> NoReturn:  # noqa: ANN401
        raise errors.FieldNotSupported("agents do not watch")

    async def _hear(self, method: str) -> None:
        self.heard.append(method)
        await self._tell()
        if self.answers:
            raise self.answers.popleft()

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()


@asynccontextmanager
async def serving(registry: RegistryServer, listen: str = "127.0.0.1:0") -> AsyncIterator[MeshServer]:
    """Serve it; the address is that of the server."""
    server = build_server(
        listen,
        [Service("agentmesh.v1.Registry", registry_service_pb2_grpc.add_RegistryServicer_to_server, registry)],
    )
    await server.start()
    try:
        await server.set_serving()
        yield server
    finally:
        await server.stop()
