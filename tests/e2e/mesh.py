"""A whole mesh in this process: a real orchestrator, real agents, real gRPC over loopback."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import grpc.aio
import psutil

from agentmesh.agent import Agent, RunningAgent
from agentmesh.v1 import (
    orchestrator_service_pb2_grpc,
    registry_service_pb2,
    registry_service_pb2_grpc,
)
from orchestrator_svc.app.ports.planner import Planner
from orchestrator_svc.app.ports.synthesizer import Synthesizer
from orchestrator_svc.bootstrap import Minds, build
from orchestrator_svc.config import read_config

LEFT_OVER_SECONDS = 10.0
"""For calls that were cancelled to be over; 250 ms are promised, and the machine may be busy."""


@dataclass
class Mesh:
    """What a caller sees."""

    address: str
    channel: grpc.aio.Channel
    orchestrator: orchestrator_service_pb2_grpc.OrchestratorAsyncStub
    registry: registry_service_pb2_grpc.RegistryAsyncStub
    http: str
    """Address of the same rpcs over HTTP."""

    async def agents(self) -> set[str]:
        listing = await self.registry.ListAgents(registry_service_pb2.ListAgentsRequest())
        return {agent.card.name for agent in listing.agents}

    async def has_noticed_the_end_of(self, address: str) -> None:
        """Return when nobody serves at this address as far as the orchestrator knows; it stays listed."""
        ended = (address, registry_service_pb2.ENDPOINT_STATE_NOT_SERVING)
        async with asyncio.timeout(LEFT_OVER_SECONDS):
            while ended not in await self._states():  # noqa: ASYNC110 - each look is a call over the network
                await asyncio.sleep(0.01)

    async def _states(self) -> set[tuple[str, int]]:
        listing = await self.registry.ListAgents(registry_service_pb2.ListAgentsRequest())
        return {(endpoint.address, endpoint.state) for agent in listing.agents for endpoint in agent.endpoints}


async def _nothing() -> None:
    return


def minds(planner: Planner, model: Synthesizer | None = None) -> Minds:
    return Minds(planner, model, _nothing)


@asynccontextmanager
async def running_mesh(
    *agents: Agent, minds: Minds | None = None, settings: Mapping[str, str] | None = None
) -> AsyncIterator[Mesh]:
    """Start an orchestrator and the agents, wait until all are listed, and stop everything at the end."""
    environment = {"AGENTMESH_LISTEN": "127.0.0.1:0", **(settings or {})}
    before, ports, children = asyncio.all_tasks(), _listening(), _children()
    async with AsyncExitStack() as stack:
        orchestrator = build(read_config(environment).config, minds=minds)
        stack.push_async_callback(orchestrator.stop)
        await orchestrator.start()
        for agent in agents:
            running = await agent.start(orchestrator=orchestrator.server.address)
            stack.push_async_callback(_stop, running)
            await running.registered()
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(orchestrator.server.address))
        yield Mesh(
            orchestrator.server.address,
            channel,
            orchestrator_service_pb2_grpc.OrchestratorStub(channel),
            registry_service_pb2_grpc.RegistryStub(channel),
            orchestrator.http.address if orchestrator.http else "",
        )
    # What a test runs beside the mesh ends after it: its own task, servers of fakes, what gRPC does for foreign agents.
    candidates = asyncio.all_tasks() - before - {asyncio.current_task()}
    others = re.compile("cygrpc|tests/fakes")
    left = [str(task) for task in candidates if not task.done() and not others.search(str(task))]
    if left:
        raise AssertionError(f"tasks are left: {left}")
    if _listening() - ports or _children() - children:
        raise AssertionError(f"left: ports {_listening() - ports}, child processes {_children() - children}")


async def _stop(agent: RunningAgent) -> None:
    """An agent drains for as long as it has calls: by now the callers have left, and nothing may be under way."""
    try:
        async with asyncio.timeout(LEFT_OVER_SECONDS):
            await agent.stop()
    except TimeoutError:
        raise AssertionError(f"a call of the agent at {agent.address} is left") from None


def _listening() -> set[int]:
    connections = psutil.Process().net_connections(kind="tcp")
    return {connection.laddr.port for connection in connections if connection.status == psutil.CONN_LISTEN}


def _children() -> set[int]:
    return {child.pid for child in psutil.Process().children(recursive=True)}
