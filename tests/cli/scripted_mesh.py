"""A small real mesh: a grpc.aio server whose answers a test has written, and which keeps what it was asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from google.protobuf.message import Message

from agentmesh import errors
from agentmesh.transport.server import Service, build_server
from agentmesh.v1 import orchestrator_service_pb2 as pb
from agentmesh.v1 import registry_service_pb2 as registry_pb
from agentmesh.v1 import run_pb2
from agentmesh.v1.orchestrator_service_pb2_grpc import OrchestratorServicer, add_OrchestratorServicer_to_server
from agentmesh.v1.registry_service_pb2_grpc import RegistryServicer, add_RegistryServicer_to_server

_Response = TypeVar("_Response", bound=Message)


class ScriptedMesh:
    """Answers every request with `answer`, or raises it."""

    def __init__(self) -> None:
        self.address = ""
        self.answer: Message | errors.MeshError | None = None
        """None: the request is never answered."""
        self.requests: list[Message] = []
        self.asked = asyncio.Event()
        self.left = asyncio.Event()
        """Set when a caller leaves before the answer."""

    async def respond(self, request: Message, kind: type[_Response]) -> _Response:
        self.requests.append(request)
        self.asked.set()
        if self.answer is None:
            try:
                await asyncio.Event().wait()
            finally:
                self.left.set()
        if isinstance(self.answer, errors.MeshError):
            raise self.answer
        assert isinstance(self.answer, kind)
        return self.answer


class _Orchestrator(OrchestratorServicer):
    def __init__(self, mesh: ScriptedMesh) -> None:
        self._mesh = mesh

    async def Ask(self, request: pb.AskRequest, context: Any) -> run_pb2.AskResponse:  # noqa: ANN401
        return await self._mesh.respond(request, run_pb2.AskResponse)

    async def Plan(self, request: pb.PlanRequest, context: Any) -> pb.PlanResponse:  # noqa: ANN401
        return await self._mesh.respond(request, pb.PlanResponse)

    async def ExecutePlan(self, request: pb.ExecutePlanRequest, context: Any) -> pb.ExecutePlanResponse:  # noqa: ANN401
        return await self._mesh.respond(request, pb.ExecutePlanResponse)

    async def GetRun(self, request: pb.GetRunRequest, context: Any) -> pb.GetRunResponse:  # noqa: ANN401
        return await self._mesh.respond(request, pb.GetRunResponse)

    def AskStream(self, request: Any, context: Any) -> Any:  # noqa: ANN401
        raise errors.FieldNotSupported("not scripted")

    def ListRuns(self, request: Any, context: Any) -> Any:  # noqa: ANN401
        raise errors.FieldNotSupported("not scripted")

    def WatchRun(self, request: Any, context: Any) -> Any:  # noqa: ANN401
        raise errors.FieldNotSupported("not scripted")

    def CancelRun(self, request: Any, context: Any) -> Any:  # noqa: ANN401
        raise errors.FieldNotSupported("not scripted")


class _Registry(RegistryServicer):
    def __init__(self, mesh: ScriptedMesh) -> None:
        self._mesh = mesh

    async def ListAgents(
        self,
        request: registry_pb.ListAgentsRequest,
        context: Any,  # noqa: ANN401
    ) -> registry_pb.ListAgentsResponse:
        return await self._mesh.respond(request, registry_pb.ListAgentsResponse)

    def Register(self, request: Any, context: Any) -> Any:  # noqa: ANN401
        raise errors.FieldNotSupported("not scripted")

    def Heartbeat(self, request: Any, context: Any) -> Any:  # noqa: ANN401
        raise errors.FieldNotSupported("not scripted")

    def Deregister(self, request: Any, context: Any) -> Any:  # noqa: ANN401
        raise errors.FieldNotSupported("not scripted")

    def WatchAgents(self, request: Any, context: Any) -> Any:  # noqa: ANN401
        raise errors.FieldNotSupported("not scripted")


@asynccontextmanager
async def scripted_mesh() -> AsyncIterator[ScriptedMesh]:
    """Serve at a port of the kernel's choice."""
    mesh = ScriptedMesh()
    server = build_server(
        "127.0.0.1:0",
        [
            Service("agentmesh.v1.Orchestrator", add_OrchestratorServicer_to_server, _Orchestrator(mesh)),
            Service("agentmesh.v1.Registry", add_RegistryServicer_to_server, _Registry(mesh)),
        ],
    )
    await server.start()
    mesh.address = server.address
    try:
        yield mesh
    finally:
        await server.stop()
