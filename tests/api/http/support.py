"""An agent whose methods are what a test says, served over gRPC and over HTTP by one server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Unpack

import grpc

from agentmesh.errors import Reason
from agentmesh.http.connections import Bounds
from agentmesh.transport import MeshServer, build_server, open_channel
from agentmesh.v1 import agent_service_pb2_grpc as pb_grpc
from orchestrator_svc.api.http.server import build_http_server
from tests.api.http.client import Answer, post
from tests.transport.support import SERVICE, Execute, Options, Stream, agent_service, answer_ok, one_result

EXECUTE = f"/{SERVICE}/Execute"
EXECUTE_STREAM = f"/{SERVICE}/ExecuteStream"
CALL = {"skill": "work"}


async def until(holds: Callable[[], bool]) -> None:
    """Return once it holds; for what says nothing when it changes."""
    while not holds():  # noqa: ASYNC110 - see above
        await asyncio.sleep(0.001)


@dataclass(frozen=True)
class TwoDoors:
    server: MeshServer
    channel: grpc.aio.Channel
    http: str
    """Address."""

    @property
    def stub(self) -> pb_grpc.AgentAsyncStub:
        return pb_grpc.AgentStub(self.channel)

    async def execute(self, **headers: str) -> Answer:
        return await post(self.http, EXECUTE, CALL, **headers)


@asynccontextmanager
async def two_doors(
    execute: Execute = answer_ok,
    stream: Stream = one_result,
    *,
    listen: str = "127.0.0.1:0",
    origins: Collection[str] = (),
    bounds: Bounds | None = None,
    **options: Unpack[Options],
) -> AsyncIterator[TwoDoors]:
    services = [agent_service(execute, stream)]
    server = build_server("127.0.0.1:0", services, **options)

    def why_not_ready() -> Reason | None:
        return None if server.is_serving(SERVICE) else Reason.CATALOG_EMPTY

    http = build_http_server(
        listen,
        services,
        server.guard,
        why_not_ready,
        allow_plaintext=False,
        allowed_origins=origins,
        bounds=bounds or Bounds(),
    )
    server.accompany(http)
    await server.start()
    await server.set_serving()
    try:
        async with open_channel(server.address, peer="the server") as channel:
            yield TwoDoors(server, channel, http.address)
    finally:
        await server.stop()
