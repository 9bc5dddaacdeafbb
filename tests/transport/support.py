"""An agent whose methods are what a test says, served over real gRPC on a port that the kernel chose."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias, TypedDict, Unpack

import grpc

from agentmesh.transport import MeshServer, Service, build_server, open_channel
from agentmesh.v1 import agent_service_pb2 as pb
from agentmesh.v1 import agent_service_pb2_grpc as pb_grpc

SERVICE = "agentmesh.v1.Agent"
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Messages: TypeAlias = AsyncGenerator[pb.ExecuteStreamResponse, None]
Execute = Callable[[pb.ExecuteRequest, Context], Awaitable[pb.ExecuteResponse]]
Stream = Callable[[pb.ExecuteStreamRequest, Context], Messages]


async def answer_ok(request: pb.ExecuteRequest, context: Context) -> pb.ExecuteResponse:
    del request, context
    return pb.ExecuteResponse()


async def one_result(request: pb.ExecuteStreamRequest, context: Context) -> Messages:
    del request, context
    yield pb.ExecuteStreamResponse(result=pb.ExecuteResponse())


class ScriptedAgent(pb_grpc.AgentServicer):
    """Describe is left to the generated base class: a method that is not built."""

    def __init__(self, execute: Execute = answer_ok, stream: Stream = one_result) -> None:
        self._execute = execute
        self._stream = stream

    async def Execute(self, request: pb.ExecuteRequest, context: Context) -> pb.ExecuteResponse:
        return await self._execute(request, context)

    async def ExecuteStream(
        self, request: pb.ExecuteStreamRequest, context: Context
    ) -> AsyncIterator[pb.ExecuteStreamResponse]:
        async with aclosing(self._stream(request, context)) as messages:
            async for message in messages:
                yield message


def agent_service(execute: Execute = answer_ok, stream: Stream = one_result) -> Service:
    return Service(SERVICE, pb_grpc.add_AgentServicer_to_server, ScriptedAgent(execute, stream))  # type: ignore[abstract]


@dataclass(frozen=True)
class Served:
    server: MeshServer
    channel: grpc.aio.Channel
    """With our interceptors."""
    bare: grpc.aio.Channel
    """As clients of other makes have it."""

    @property
    def stub(self) -> pb_grpc.AgentAsyncStub:
        return pb_grpc.AgentStub(self.channel)

    @property
    def bare_stub(self) -> pb_grpc.AgentAsyncStub:
        return pb_grpc.AgentStub(self.bare)

    async def send_bytes(self, method: str, request: bytes) -> bytes:
        """Call with bytes that no stub would make."""
        call: Any = self.bare.unary_unary(f"/{SERVICE}/{method}")
        answer: bytes = await call(request)
        return answer


class Options(TypedDict, total=False):
    allow_plaintext: bool
    max_call_seconds: float
    unlimited: Collection[str]
    stall_seconds: float
    while_draining: Collection[str]
    background: Callable[[], Collection[asyncio.Task[None]]]
    max_request_bytes: int
    not_supported: Mapping[str, Collection[str]]


@asynccontextmanager
async def served(
    execute: Execute = answer_ok,
    stream: Stream = one_result,
    *,
    listen: str = "127.0.0.1:0",
    **options: Unpack[Options],
) -> AsyncIterator[Served]:
    server = build_server(listen, [agent_service(execute, stream)], **options)
    await server.start()
    await server.set_serving()
    try:
        async with (
            open_channel(server.address, peer="the agent") as channel,
            grpc.aio.insecure_channel(server.address) as bare,
        ):
            yield Served(server, channel, bare)
    finally:
        await server.stop()


def call(skill: str = "work") -> pb.ExecuteRequest:
    return pb.ExecuteRequest(skill=skill)


def progress(message: str = "") -> pb.ExecuteStreamResponse:
    return pb.ExecuteStreamResponse(progress=pb.Progress(message=message))
