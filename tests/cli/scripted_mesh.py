"""A small real mesh: a grpc.aio server whose answers a test has written, and which keeps what it was asked."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any, TypeVar

from google.protobuf.message import Message

from agentmesh import errors
from agentmesh.transport.server import MeshServer, Service, build_server
from agentmesh.v1 import orchestrator_service_pb2 as pb
from agentmesh.v1 import registry_service_pb2 as registry_pb
from agentmesh.v1 import run_event_pb2, run_pb2
from agentmesh.v1.orchestrator_service_pb2_grpc import OrchestratorServicer, add_OrchestratorServicer_to_server
from agentmesh.v1.registry_service_pb2_grpc import RegistryServicer, add_RegistryServicer_to_server

_Response = TypeVar("_Response", bound=Message)


Scripted = run_event_pb2.RunEvent | registry_pb.WatchAgentsResponse | errors.MeshError | asyncio.Event
"""Of a stream: sent, raised, or waited for."""


class ScriptedMesh:
    """Answers every request with `answer`, or raises it; streams say what `script` has."""

    def __init__(self) -> None:
        self.address = ""
        self.server: MeshServer | None = None
        self.answer: Message | errors.MeshError | None = None
        """None: the request is never answered."""
        self.answers: deque[Message | errors.MeshError] = deque()
        """Given, or raised, before `answer`, each once."""
        self.script: Sequence[Scripted] | None = None
        """None: a stream has one event, that it finished with `answer`."""
        self.requests: list[Message] = []
        self.authorizations: list[str] = []
        self.asked = asyncio.Event()
        self.left = asyncio.Event()
        """Set when a caller leaves before the answer, or before the end of a stream."""

    async def respond(self, request: Message, context: Any, kind: type[_Response]) -> _Response:  # noqa: ANN401
        self._note(request, context)
        if self.answers:
            following = self.answers.popleft()
            if isinstance(following, errors.MeshError):
                raise following
            assert isinstance(following, kind)
            return following
        if self.answer is None:
            try:
                await asyncio.Event().wait()
            finally:
                self.left.set()
        if isinstance(self.answer, errors.MeshError):
            raise self.answer
        assert isinstance(self.answer, kind)
        return self.answer

    async def stream(self, request: Message, context: Any) -> AsyncGenerator[Any, None]:  # noqa: ANN401
        self._note(request, context)
        done = False
        try:
            for item in self._script():
                match item:
                    case Message():
                        yield item
                    case errors.MeshError():
                        done = True
                        raise item
                    case _:
                        await item.wait()
            done = True
        finally:
            if not done:
                self.left.set()

    def _script(self) -> Sequence[Scripted]:
        if self.script is not None:
            return self.script
        match self.answer:
            case None:
                return [asyncio.Event()]
            case errors.MeshError() as error:
                return [error]
            case answer:
                assert isinstance(answer, run_pb2.AskResponse)
                return [run_event_pb2.RunEvent(sequence=1, finished=answer)]

    def _note(self, request: Message, context: Any) -> None:  # noqa: ANN401
        self.requests.append(request)
        self.authorizations += [value for key, value in context.invocation_metadata() if key == "authorization"]
        self.asked.set()


class _Orchestrator(OrchestratorServicer):
    def __init__(self, mesh: ScriptedMesh) -> None:
        self._mesh = mesh

    async def Ask(self, request: pb.AskRequest, context: Any) -> run_pb2.AskResponse:  # noqa: ANN401
        return await self._mesh.respond(request, context, run_pb2.AskResponse)

    async def Plan(self, request: pb.PlanRequest, context: Any) -> pb.PlanResponse:  # noqa: ANN401
        return await self._mesh.respond(request, context, pb.PlanResponse)

    async def ExecutePlan(self, request: pb.ExecutePlanRequest, context: Any) -> pb.ExecutePlanResponse:  # noqa: ANN401
        return await self._mesh.respond(request, context, pb.ExecutePlanResponse)

    async def GetRun(self, request: pb.GetRunRequest, context: Any) -> pb.GetRunResponse:  # noqa: ANN401
        return await self._mesh.respond(request, context, pb.GetRunResponse)

    async def AskStream(self, request: pb.AskStreamRequest, context: Any) -> AsyncIterator[pb.AskStreamResponse]:  # noqa: ANN401
        async with aclosing(self._mesh.stream(request, context)) as events:
            async for event in events:
                yield pb.AskStreamResponse(event=event)

    async def WatchRun(self, request: pb.WatchRunRequest, context: Any) -> AsyncIterator[pb.WatchRunResponse]:  # noqa: ANN401
        async with aclosing(self._mesh.stream(request, context)) as events:
            async for event in events:
                if event.sequence > request.after_sequence:
                    yield pb.WatchRunResponse(event=event)

    async def ListRuns(self, request: pb.ListRunsRequest, context: Any) -> pb.ListRunsResponse:  # noqa: ANN401
        return await self._mesh.respond(request, context, pb.ListRunsResponse)

    async def CancelRun(self, request: pb.CancelRunRequest, context: Any) -> pb.CancelRunResponse:  # noqa: ANN401
        return await self._mesh.respond(request, context, pb.CancelRunResponse)


class _Registry(RegistryServicer):
    def __init__(self, mesh: ScriptedMesh) -> None:
        self._mesh = mesh

    async def ListAgents(
        self,
        request: registry_pb.ListAgentsRequest,
        context: Any,  # noqa: ANN401
    ) -> registry_pb.ListAgentsResponse:
        return await self._mesh.respond(request, context, registry_pb.ListAgentsResponse)

    async def Register(self, request: registry_pb.RegisterRequest, context: Any) -> registry_pb.RegisterResponse:  # noqa: ANN401
        return await self._mesh.respond(request, context, registry_pb.RegisterResponse)

    async def Heartbeat(self, request: registry_pb.HeartbeatRequest, context: Any) -> registry_pb.HeartbeatResponse:  # noqa: ANN401
        return await self._mesh.respond(request, context, registry_pb.HeartbeatResponse)

    async def Deregister(
        self,
        request: registry_pb.DeregisterRequest,
        context: Any,  # noqa: ANN401
    ) -> registry_pb.DeregisterResponse:
        return await self._mesh.respond(request, context, registry_pb.DeregisterResponse)

    async def WatchAgents(
        self,
        request: registry_pb.WatchAgentsRequest,
        context: Any,  # noqa: ANN401
    ) -> AsyncIterator[registry_pb.WatchAgentsResponse]:
        async with aclosing(self._mesh.stream(request, context)) as changes:
            async for change in changes:
                assert isinstance(change, registry_pb.WatchAgentsResponse)
                yield change


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
    await server.set_serving("agentmesh.v1.Registry")
    mesh.server, mesh.address = server, server.address
    try:
        yield mesh
    finally:
        await server.stop()
