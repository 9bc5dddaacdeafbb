"""Agents that serve on a port that the kernel chose, and how to call them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

import grpc
import pytest

from agentmesh.agent import Agent, RunningAgent
from agentmesh.errors import MeshError
from agentmesh.jsonvalues import JsonObject
from agentmesh.transport.channel import open_channel
from agentmesh.transport.client_interceptor import reading
from agentmesh.transport.structs import from_struct, to_struct
from agentmesh.v1 import agent_service_pb2, agent_service_pb2_grpc


@dataclass(frozen=True)
class Served:
    """An agent that is served, and a channel to it."""

    running: RunningAgent
    channel: grpc.aio.Channel
    stub: agent_service_pb2_grpc.AgentAsyncStub

    async def execute(self, skill: str, arguments: JsonObject | None = None, **fields: Any) -> JsonObject:  # noqa: ANN401
        """Call a skill; the error is the one that the skill raised."""
        return from_struct((await self.response(skill, arguments, **fields)).result)

    async def response(
        self,
        skill: str,
        arguments: JsonObject | None = None,
        **fields: Any,  # noqa: ANN401 - of ExecuteRequest
    ) -> agent_service_pb2.ExecuteResponse:
        return await self.stub.Execute(self.request(skill, arguments, **fields))

    def stream(
        self,
        skill: str,
        arguments: JsonObject | None = None,
        **fields: Any,  # noqa: ANN401 - of ExecuteRequest
    ) -> AbstractAsyncContextManager[AsyncIterator[agent_service_pb2.ExecuteStreamResponse]]:
        """Call a skill and read its progress; leaving the block cancels the call."""
        request = agent_service_pb2.ExecuteStreamRequest(call=self.request(skill, arguments, **fields))
        return reading(self.stub.ExecuteStream(request))

    async def streamed(
        self,
        skill: str,
        arguments: JsonObject | None = None,
        **fields: Any,  # noqa: ANN401 - of ExecuteRequest
    ) -> list[agent_service_pb2.ExecuteStreamResponse]:
        """Every message of the stream."""
        async with self.stream(skill, arguments, **fields) as messages:
            return [message async for message in messages]

    @staticmethod
    def request(
        skill: str,
        arguments: JsonObject | None = None,
        **fields: Any,  # noqa: ANN401 - of ExecuteRequest
    ) -> agent_service_pb2.ExecuteRequest:
        return agent_service_pb2.ExecuteRequest(skill=skill, arguments=to_struct(arguments or {}), **fields)


Serve = Callable[[Agent], Awaitable[Served]]


def new_agent(**said: Any) -> Agent:  # noqa: ANN401 - of Agent
    """An agent without skills."""
    return Agent("test_agent", version="1.2.3", description="For tests.", **said)


async def refusal(served: Served, skill: str, arguments: JsonObject | None = None, **fields: Any) -> MeshError:  # noqa: ANN401
    """The error of a call."""
    with pytest.raises(MeshError) as raised:
        await served.execute(skill, arguments, **fields)
    return raised.value


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Starts agents; all of them are stopped after the test."""
    started: list[Served] = []

    async def start(agent: Agent) -> Served:
        running = await agent.start()
        channel = open_channel(running.address)
        served = Served(running, channel, agent_service_pb2_grpc.AgentStub(channel))
        started.append(served)
        return served

    yield start
    for served in started:
        await served.channel.close()
        await served.running.stop()
