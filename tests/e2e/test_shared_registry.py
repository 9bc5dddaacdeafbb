"""Several orchestrators over one Valkey, and what a store that goes away takes with it: nothing that is asked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import grpc
import grpc.aio
import pytest
from google.protobuf import json_format
from redis.asyncio import Redis

from agentmesh.agent import Agent
from agentmesh.v1 import orchestrator_service_pb2, orchestrator_service_pb2_grpc, registry_service_pb2_grpc, run_pb2
from agentmesh.v1 import registry_service_pb2 as pb
from orchestrator_svc.bootstrap import Orchestrator, build
from orchestrator_svc.config import read_config
from tests.e2e.card_server import serving_card
from tests.e2e.errors import refusal_of
from tests.e2e.mesh import minds
from tests.fakes.planner import FixedPlanner
from tests.redis_server import BINARIES, RedisServer, redis_server

PATIENCE_SECONDS = 30.0


def worker(name: str = "one_agent") -> Agent:
    agent = Agent(name, version="1.0.0")

    @agent.skill(effect="READ_ONLY")
    def work() -> dict[str, int]:
        """Work."""
        return {"done": 1}

    return agent


@dataclass
class Door:
    """One orchestrator as callers see it."""

    orchestrator: Orchestrator
    registry: registry_service_pb2_grpc.RegistryAsyncStub
    runs: orchestrator_service_pb2_grpc.OrchestratorAsyncStub

    @property
    def address(self) -> str:
        return self.orchestrator.server.address

    async def agents(self) -> set[str]:
        return {one.card.name for one in (await self.registry.ListAgents(pb.ListAgentsRequest())).agents}

    async def until_agents(self, wanted: set[str]) -> None:
        watch = self.registry.WatchAgents(pb.WatchAgentsRequest())
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                async for _ in watch:
                    if await self.agents() == wanted:
                        return
        finally:
            watch.cancel()

    async def ask(self, agent: str = "one_agent") -> run_pb2.RunOutcome.ValueType:
        plan = {"steps": [{"id": "work", "skill": f"{agent}__work"}]}
        request = json_format.ParseDict(
            {"plan": plan, "answer_format": "ANSWER_FORMAT_RAW"}, orchestrator_service_pb2.ExecutePlanRequest()
        )
        return (await self.runs.ExecutePlan(request)).result.outcome

    async def ready(self) -> dict[str, str]:
        """What /readyz says."""
        assert self.orchestrator.http is not None
        host, _, port = self.orchestrator.http.address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"GET /readyz HTTP/1.1\r\nhost: mesh\r\nconnection: close\r\n\r\n")
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        said: dict[str, str] = json.loads(answer.partition(b"\r\n\r\n")[2])
        return said


@dataclass
class Ground:
    """A server, and two orchestrators that share it."""

    server: RedisServer
    one: Door
    two: Door


@pytest.fixture(params=BINARIES)
async def ground(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Ground]:
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(redis_server(BINARIES[request.param], tmp_path))
        environment = {
            "AGENTMESH_LISTEN": "127.0.0.1:0",
            "AGENTMESH_HTTP_LISTEN": "127.0.0.1:0",
            "AGENTMESH_REGISTRY_URL": server.url,
        }

        async def door() -> Door:
            orchestrator = build(read_config(environment).config, minds=minds(FixedPlanner([])))
            stack.push_async_callback(orchestrator.stop)
            await orchestrator.start()
            channel = await stack.enter_async_context(grpc.aio.insecure_channel(orchestrator.server.address))
            return Door(
                orchestrator,
                registry_service_pb2_grpc.RegistryStub(channel),
                orchestrator_service_pb2_grpc.OrchestratorStub(channel),
            )

        yield Ground(server, await door(), await door())


async def until_stored(server: RedisServer, count: int) -> None:
    """Until so many leases are in the store itself: agents whose leases it has lost have registered again."""
    async with asyncio.timeout(PATIENCE_SECONDS), Redis.from_url(server.url) as client:
        while await client.zcard("agentmesh:{agents}:leases") != count:
            pass


async def test_an_agent_that_registers_at_one_is_asked_through_the_other(ground: Ground) -> None:
    async with await worker().start(orchestrator=ground.one.address) as agent:
        await agent.registered()
        await ground.two.until_agents({"one_agent"})
        assert await ground.two.ask() == run_pb2.RUN_OUTCOME_COMPLETE
    await ground.two.until_agents(set())


async def test_another_contract_under_a_version_is_refused_by_every_orchestrator(ground: Ground) -> None:
    async with await worker().start(orchestrator=ground.one.address) as agent:
        await agent.registered()
        await ground.two.until_agents({"one_agent"})
        other = Agent("one_agent", version="1.0.0")

        @other.skill(effect="IDEMPOTENT")
        def work() -> dict[str, int]:
            """Work."""
            return {}

        async with serving_card(other.card()) as address:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await ground.two.registry.Register(pb.RegisterRequest(card=other.card(), address=address))
        assert refusal_of(caught.value).reason == "CARD_CONFLICT"


async def test_a_store_that_is_killed_and_comes_back_empty_costs_no_question(ground: Ground) -> None:
    async with await worker().start(orchestrator=ground.one.address, ttl_seconds=1.5) as agent:
        await agent.registered()
        await ground.two.until_agents({"one_agent"})
        asked: list[int] = []
        stopped = asyncio.Event()

        async def ask_on() -> None:
            while not stopped.is_set():
                asked.append(await ground.one.ask())
                asked.append(await ground.two.ask())

        asking = asyncio.create_task(ask_on())
        await ground.server.kill()
        card = worker("late_agent").card()
        async with serving_card(card) as address:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await ground.one.registry.Register(pb.RegisterRequest(card=card, address=address))
        refusal = refusal_of(caught.value)
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, "REGISTRY_UNAVAILABLE")
        ready = await ground.one.ready()
        assert ready["status"] == "SERVING"
        assert "cannot be reached" in ready["registry"]
        await ground.server.start()
        async with await worker("late_agent").start(orchestrator=ground.two.address) as late:
            await late.registered()
            await ground.one.until_agents({"one_agent", "late_agent"})
            await ground.two.until_agents({"one_agent", "late_agent"})
            assert await ground.one.ask("late_agent") == run_pb2.RUN_OUTCOME_COMPLETE
            await until_stored(ground.server, 2)
        stopped.set()
        await asking
        assert set(asked) == {run_pb2.RUN_OUTCOME_COMPLETE}
        assert await ground.two.ready() == {"status": "SERVING"}
