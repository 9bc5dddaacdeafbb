"""What every `AgentDialer` promises; and what only the one over gRPC can meet."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from agentmesh.card_messages import card_from_json, card_to_json
from agentmesh.errors import AddressUnreachable
from agentmesh.jsonvalues import JsonObject
from agentmesh.v1 import agent_service_pb2, agent_service_pb2_grpc, card_pb2
from orchestrator_svc.adapters.grpc_agent_dialer import GrpcAgentDialer
from orchestrator_svc.app.ports.agent_dialer import AgentDialer
from tests.e2e.card_server import CardServicer, serving_card
from tests.fakes.agent_dialer import ServedAgents

AGENT = "agentmesh.v1.Agent"
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


def card(name: str, version: str = "1.0.0") -> JsonObject:
    skill = card_pb2.Skill(name="work", description="works", effect=card_pb2.EFFECT_READ_ONLY)
    skill.timeout.FromSeconds(5)
    skill.input_schema.update({"type": "object", "properties": {"x": {"type": "integer", "minimum": 1}}})
    return card_to_json(card_pb2.AgentCard(name=name, version=version, skills=[skill]))


class Agents(Protocol):
    """Agents that come and go, and who dials them."""

    @property
    def dialer(self) -> AgentDialer: ...

    async def serve(self, served: JsonObject) -> str:
        """Start an agent; its address."""
        ...

    async def say_not_serving(self, address: str) -> None: ...

    async def stop(self, address: str) -> None: ...


@dataclass
class Fake:
    """In this process."""

    dialer: ServedAgents = field(default_factory=ServedAgents)
    started: int = 0

    async def serve(self, served: JsonObject) -> str:
        self.started += 1
        self.dialer.serve(f"host:{self.started}", served)
        return f"host:{self.started}"

    async def say_not_serving(self, address: str) -> None:
        self.dialer.say_not_serving(address)

    async def stop(self, address: str) -> None:
        self.dialer.stop(address)


@dataclass
class Real:
    """Servers on loopback, with health."""

    dialer: AgentDialer = field(default_factory=GrpcAgentDialer)
    servers: dict[str, tuple[grpc.aio.Server, health.aio.HealthServicer]] = field(default_factory=dict)

    async def serve(self, served: JsonObject) -> str:
        server, healths = grpc.aio.server(), health.aio.HealthServicer()
        agent_service_pb2_grpc.add_AgentServicer_to_server(CardServicer(card_from_json(served)), server)  # type: ignore[abstract]
        health_pb2_grpc.add_HealthServicer_to_server(healths, server)
        await healths.set(AGENT, SERVING)
        address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        await server.start()
        self.servers[address] = server, healths
        return address

    async def say_not_serving(self, address: str) -> None:
        await self.servers[address][1].set(AGENT, NOT_SERVING)

    async def stop(self, address: str) -> None:
        await self.servers.pop(address)[0].stop(None)


@asynccontextmanager
async def fake() -> AsyncIterator[Agents]:
    yield Fake()


@asynccontextmanager
async def real() -> AsyncIterator[Agents]:
    agents = Real()
    try:
        yield agents
    finally:
        for address in list(agents.servers):
            await agents.stop(address)


Kind: TypeAlias = Callable[[], AbstractAsyncContextManager[Agents]]
KINDS: dict[str, Kind] = {"fake": fake, "grpc": real}


@pytest.fixture(params=KINDS)
async def agents(request: pytest.FixtureRequest) -> AsyncIterator[Agents]:
    async with KINDS[request.param]() as made:
        yield made


async def test_the_card_is_that_of_the_agent_at_the_address(agents: Agents) -> None:
    one, two = await agents.serve(card("one")), await agents.serve(card("two", "2.0.0"))
    assert await agents.dialer.card_at(two) == card("two", "2.0.0")
    assert await agents.dialer.card_at(one) == card("one")


async def test_an_agent_that_is_not_serving_is_no_agent_yet(agents: Agents) -> None:
    address = await agents.serve(card("one"))
    await agents.say_not_serving(address)
    with pytest.raises(AddressUnreachable, match="NOT_SERVING"):
        await agents.dialer.card_at(address)


async def test_where_nobody_serves_any_more_there_is_no_card(agents: Agents) -> None:
    address = await agents.serve(card("one"))
    await agents.dialer.card_at(address)
    await agents.stop(address)
    with pytest.raises(AddressUnreachable) as caught:
        await agents.dialer.card_at(address)
    assert address in caught.value.message
    assert caught.value.transient


async def test_agents_without_a_health_service_count_as_serving() -> None:
    async with serving_card(card_from_json(card("one"))) as address:
        assert await GrpcAgentDialer().card_at(address) == card("one")


async def test_agents_that_keep_no_health_of_the_service_count_as_serving() -> None:
    async with AsyncExitStack() as stack:
        server = grpc.aio.server()
        stack.push_async_callback(server.stop, None)
        agent_service_pb2_grpc.add_AgentServicer_to_server(CardServicer(card_from_json(card("one"))), server)  # type: ignore[abstract]
        health_pb2_grpc.add_HealthServicer_to_server(health.aio.HealthServicer(), server)
        address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        await server.start()
        assert await GrpcAgentDialer().card_at(address) == card("one")


async def test_a_server_that_is_no_agent_has_no_card() -> None:
    async with AsyncExitStack() as stack:
        server = grpc.aio.server()
        stack.push_async_callback(server.stop, None)
        health_pb2_grpc.add_HealthServicer_to_server(health.aio.HealthServicer(), server)
        address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        await server.start()
        with pytest.raises(AddressUnreachable, match="gave no card"):
            await GrpcAgentDialer().card_at(address)


async def test_who_takes_the_connection_and_says_nothing_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        with pytest.raises(AddressUnreachable, match=r"did not answer within 0\.2 s"):
            await GrpcAgentDialer(0.2).card_at(f"127.0.0.1:{port}")


async def test_an_effect_of_a_later_version_is_no_card_of_ours() -> None:
    message = card_from_json(card("one"))
    message.skills[0].effect = 17  # type: ignore[assignment]
    async with serving_card(message) as address:
        with pytest.raises(AddressUnreachable, match="cannot be read"):
            await GrpcAgentDialer().card_at(address)


async def test_the_words_of_a_stranger_are_not_passed_on() -> None:
    class Talkative(CardServicer):
        async def Describe(
            self, request: agent_service_pb2.DescribeRequest, context: grpc.aio.ServicerContext[Any, Any]
        ) -> agent_service_pb2.DescribeResponse:
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, "marker of /etc/passwd")

    async with AsyncExitStack() as stack:
        server = grpc.aio.server()
        stack.push_async_callback(server.stop, None)
        agent_service_pb2_grpc.add_AgentServicer_to_server(Talkative(card_from_json(card("one"))), server)  # type: ignore[abstract]
        address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        await server.start()
        with pytest.raises(AddressUnreachable, match="it answered PERMISSION_DENIED") as caught:
            await GrpcAgentDialer().card_at(address)
    assert "marker" not in caught.value.message
