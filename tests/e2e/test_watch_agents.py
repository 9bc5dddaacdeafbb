"""WatchAgents: the listing, then the changes of it, over real gRPC with real agents."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import grpc
import grpc.aio
import pytest

from agentmesh.agent import Agent
from agentmesh.v1 import registry_service_pb2 as pb
from agentmesh.v1 import registry_service_pb2_grpc
from tests.e2e.card_server import serving_card
from tests.e2e.errors import refusal_of
from tests.e2e.mesh import Mesh, minds, running_mesh
from tests.e2e.probe import Probe
from tests.e2e.processes import running
from tests.fakes.planner import FixedPlanner

PATIENCE_SECONDS = 30.0


def agent_of(name: str, version: str = "1.0.0") -> Agent:
    agent = Agent(name, version=version)

    @agent.skill(effect="READ_ONLY")
    def work() -> dict[str, int]:
        """Work."""
        return {}

    return agent


class Watcher:
    """What one watch has said."""

    def __init__(self, stream: AsyncIterator[pb.WatchAgentsResponse]) -> None:
        self._stream = stream

    async def next(self) -> pb.WatchAgentsResponse:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await anext(self._stream)

    async def snapshot(self) -> list[tuple[str, int]]:
        """Names, and how many endpoints each has."""
        message = await self.next()
        assert message.WhichOneof("change") == "snapshot"
        return [(agent.card.name, len(agent.endpoints)) for agent in message.snapshot.agents]

    async def changed(self) -> tuple[str, str, int]:
        """Name, version, endpoints."""
        message = await self.next()
        assert message.WhichOneof("change") == "changed", message
        return message.changed.card.name, message.changed.card.version, len(message.changed.endpoints)

    async def removed(self) -> str:
        message = await self.next()
        assert message.WhichOneof("change") == "removed", message
        return message.removed.name

    async def report(self) -> Sequence[pb.Endpoint]:
        """Every endpoint."""
        message = await self.next()
        assert message.WhichOneof("change") == "report", message
        return message.report.endpoints


@asynccontextmanager
async def watching(
    registry: registry_service_pb2_grpc.RegistryAsyncStub, request: pb.WatchAgentsRequest | None = None
) -> AsyncIterator[Watcher]:
    call = registry.WatchAgents(request or pb.WatchAgentsRequest())
    try:
        yield Watcher(aiter(call))
    finally:
        call.cancel()


@pytest.fixture
async def empty() -> AsyncIterator[Mesh]:
    async with running_mesh(minds=minds(FixedPlanner([]))) as mesh:
        yield mesh


async def test_a_watch_begins_with_everything_and_goes_on_with_each_change(empty: Mesh) -> None:
    async with watching(empty.registry) as watcher:
        assert await watcher.snapshot() == []
        async with await agent_of("one_agent").start(orchestrator=empty.address) as first:
            await first.registered()
            assert await watcher.changed() == ("one_agent", "1.0.0", 1)
            async with await agent_of("one_agent").start(orchestrator=empty.address) as second:
                await second.registered()
                assert await watcher.changed() == ("one_agent", "1.0.0", 2)
                async with watching(empty.registry) as another:
                    assert await another.snapshot() == [("one_agent", 2)]
            assert await watcher.changed() == ("one_agent", "1.0.0", 1)
        assert await watcher.removed() == "one_agent"


async def test_versions_that_run_side_by_side_are_told_apart(empty: Mesh) -> None:
    async with watching(empty.registry) as watcher:
        assert await watcher.snapshot() == []
        async with await agent_of("one_agent").start(orchestrator=empty.address):
            assert await watcher.changed() == ("one_agent", "1.0.0", 1)
            async with await agent_of("one_agent", "2.0.0").start(orchestrator=empty.address):
                assert await watcher.changed() == ("one_agent", "2.0.0", 1)
            assert await watcher.removed() == "one_agent"
        assert await watcher.removed() == "one_agent"


async def test_the_end_of_a_lease_is_told(empty: Mesh) -> None:
    card = Probe().agent("brief_agent").card()
    async with watching(empty.registry) as watcher:
        assert await watcher.snapshot() == []
        async with serving_card(card) as address:
            request = pb.RegisterRequest(card=card, address=address)
            request.ttl.FromSeconds(1)
            await empty.registry.Register(request)
        assert await watcher.changed() == ("brief_agent", "1.0.0", 1)
        assert await watcher.removed() == "brief_agent"


async def test_reports_tell_of_heartbeats_between_changes(empty: Mesh) -> None:
    request = pb.WatchAgentsRequest()
    request.report_interval.FromMilliseconds(100)
    agent = await agent_of("one_agent").start(orchestrator=empty.address, ttl_seconds=1)
    await agent.registered()
    async with agent, watching(empty.registry, request) as watcher:
        assert await watcher.snapshot() == [("one_agent", 1)]
        first = await watcher.report()
        while (later := await watcher.report())[0].last_heartbeat_at == first[0].last_heartbeat_at:
            pass
        assert [one.address for one in later] == [agent.address]


async def test_a_watch_outlasts_the_maximum_of_other_calls() -> None:
    settings = {"AGENTMESH_MAX_ASK_SECONDS": "0.1"}
    async with (
        running_mesh(minds=minds(FixedPlanner([])), settings=settings) as mesh,
        watching(mesh.registry) as watcher,
    ):
        assert await watcher.snapshot() == []
        card = Probe().agent("brief_agent").card()
        async with serving_card(card) as address:
            request = pb.RegisterRequest(card=card, address=address)
            request.ttl.FromSeconds(1)
            await mesh.registry.Register(request)
        assert await watcher.changed() == ("brief_agent", "1.0.0", 1)
        assert await watcher.removed() == "brief_agent", "more than a second later"


async def test_a_drain_ends_watches_at_once_and_waits_for_none() -> None:
    environment = {"AGENTMESH_LISTEN": "127.0.0.1:0", "AGENTMESH_DRAIN_SECONDS": "3600"}
    async with running("-m", "orchestrator_svc", environment=environment) as orchestrator:
        address = str((await orchestrator.says("orchestrator is listening"))["address"])
        async with grpc.aio.insecure_channel(address) as channel:
            stub: registry_service_pb2_grpc.RegistryAsyncStub = registry_service_pb2_grpc.RegistryStub(channel)
            async with watching(stub) as watcher:
                assert await watcher.snapshot() == []
                orchestrator.process.send_signal(signal.SIGTERM)
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await watcher.next()
        refusal = refusal_of(caught.value)
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN")
        assert await orchestrator.ended() == 0
