"""Health says whether there is anybody to ask, over a real server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from google.protobuf import duration_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc

from agentmesh.transport import reading
from agentmesh.v1 import registry_service_pb2
from orchestrator_svc.api.readiness import ORCHESTRATOR, REGISTRY
from tests.e2e.card_server import serving_card
from tests.e2e.mesh import Mesh, minds, running_mesh
from tests.e2e.probe import Probe
from tests.fakes.planner import FixedPlanner

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@pytest.fixture
async def empty() -> AsyncIterator[Mesh]:
    """An orchestrator without agents, and without a grace for those that have left."""
    settings = {"AGENTMESH_CATALOG_GRACE_SECONDS": "0"}
    async with running_mesh(minds=minds(FixedPlanner([])), settings=settings) as mesh:
        yield mesh


@asynccontextmanager
async def watched(mesh: Mesh, service: str) -> AsyncIterator[AsyncIterator[int]]:
    """The health of a service as it is, and then each change of it."""
    stub: Any = health_pb2_grpc.HealthStub(mesh.channel)
    async with reading(stub.Watch(health_pb2.HealthCheckRequest(service=service), timeout=30)) as messages:
        yield (message.status async for message in messages)


async def health(mesh: Mesh, service: str) -> int:
    stub: Any = health_pb2_grpc.HealthStub(mesh.channel)
    response = await stub.Check(health_pb2.HealthCheckRequest(service=service))
    return int(response.status)


async def register(mesh: Mesh, name: str = "probe_agent", ttl_seconds: int = 60) -> str:
    """List an agent that is gone a moment later; returns its lease."""
    card = Probe().agent(name).card()
    async with serving_card(card) as address:
        request = registry_service_pb2.RegisterRequest(
            card=card, address=address, ttl=duration_pb2.Duration(seconds=ttl_seconds)
        )
        return (await mesh.registry.Register(request)).lease_id


async def deregister(mesh: Mesh, lease: str) -> None:
    await mesh.registry.Deregister(registry_service_pb2.DeregisterRequest(lease_id=lease))


@pytest.mark.parametrize("service", [ORCHESTRATOR, ""], ids=["orchestrator", "the server"])
async def test_it_serves_from_the_first_agent_to_the_end_of_the_last_lease(empty: Mesh, service: str) -> None:
    async with watched(empty, service) as health_of_service:
        assert await anext(health_of_service) == NOT_SERVING
        await register(empty, ttl_seconds=1)
        assert await anext(health_of_service) == SERVING
        assert await anext(health_of_service) == NOT_SERVING
    assert await empty.agents() == set()


async def test_it_serves_until_the_last_agent_has_left(empty: Mesh) -> None:
    async with watched(empty, ORCHESTRATOR) as health_of_service:
        assert await anext(health_of_service) == NOT_SERVING
        leases = [await register(empty, name) for name in ("one_agent", "two_agent")]
        assert await anext(health_of_service) == SERVING
        await deregister(empty, leases[0])
        assert await health(empty, ORCHESTRATOR) == SERVING
        await deregister(empty, leases[1])
        assert await anext(health_of_service) == NOT_SERVING
        await register(empty)
        assert await anext(health_of_service) == SERVING


async def test_an_agent_that_stops_takes_its_part_of_the_readiness_with_it(empty: Mesh) -> None:
    async with watched(empty, ORCHESTRATOR) as health_of_service:
        assert await anext(health_of_service) == NOT_SERVING
        async with await Probe().agent().start(orchestrator=empty.address) as running:
            await running.registered()
            assert await anext(health_of_service) == SERVING
        assert await anext(health_of_service) == NOT_SERVING


async def test_the_registry_serves_from_the_start_so_that_agents_can_come(empty: Mesh) -> None:
    async with watched(empty, REGISTRY) as health_of_service:
        async for status in health_of_service:
            if status == SERVING:
                break
    assert await health(empty, ORCHESTRATOR) == NOT_SERVING
