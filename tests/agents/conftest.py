"""Agents served over real gRPC, and children that have something to measure."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from agentmesh.agent import Agent
from agentmesh.jsonvalues import Json
from agentmesh.transport import from_struct, open_channel, to_struct
from agentmesh.v1 import agent_service_pb2, agent_service_pb2_grpc


@dataclass(frozen=True)
class Caller:
    """Calls the skills of one agent; an error is the one that the skill raised."""

    stub: agent_service_pb2_grpc.AgentAsyncStub

    async def __call__(self, skill: str, **arguments: Json) -> Any:  # noqa: ANN401 - JSON, indexed without casts
        request = agent_service_pb2.ExecuteRequest(skill=skill, arguments=to_struct(dict(arguments)))
        return from_struct((await self.stub.Execute(request)).result)


Serve = Callable[[Agent], Awaitable[Caller]]


@asynccontextmanager
async def calling(address: str) -> AsyncIterator[Caller]:
    async with open_channel(address) as channel:
        yield Caller(agent_service_pb2_grpc.AgentStub(channel))


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Starts agents; all of them are stopped after the test."""
    async with AsyncExitStack() as stack:

        async def start(agent: Agent) -> Caller:
            running = await stack.enter_async_context(await agent.start())
            return await stack.enter_async_context(calling(running.address))

        yield start


SPIN = "print('ready', flush=True)\nwhile True: pass"
WAIT = "import sys; print('ready', flush=True); sys.stdin.read()"


@asynccontextmanager
async def child(*command: str, directory: Path | None = None) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process of this test that has written its first line; it is killed in the end."""
    process = await asyncio.create_subprocess_exec(
        *(command or (sys.executable, "-c", WAIT)),
        cwd=directory,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"ready\n"
        yield process
    finally:
        process.kill()
        await process.communicate()
