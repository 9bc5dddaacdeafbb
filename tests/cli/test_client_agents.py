"""Who is in the mesh, through the client in both forms: all pages as one, and changes as they come."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import pytest

from agentmesh import client as api
from agentmesh import errors
from agentmesh.client import AsyncMeshClient, MeshClient
from agentmesh.v1 import registry_service_pb2 as pb
from tests.cli import samples
from tests.cli.scripted_mesh import ScriptedMesh

Take: TypeAlias = Callable[..., Awaitable[list[Any]]]


async def _take_async(address: str, count: int, **options: object) -> list[Any]:
    found: list[Any] = []
    async with AsyncMeshClient(address) as client:
        async for change in client.watch_agents(**options):  # type: ignore[arg-type]
            found.append(change)
            if len(found) == count:
                break
    return found


async def _take_sync(address: str, count: int, **options: object) -> list[Any]:
    def take() -> list[Any]:
        with MeshClient(address) as client, client.watch_agents(**options) as changes:  # type: ignore[arg-type]
            return [next(changes) for _ in range(count)]

    return await asyncio.to_thread(take)


@pytest.fixture(params=[_take_async, _take_sync], ids=["async", "sync"])
def take(request: pytest.FixtureRequest) -> Take:
    chosen: Take = request.param
    return chosen


def page(*names: str, token: str = "") -> pb.ListAgentsResponse:
    message = pb.ListAgentsResponse(catalog_fingerprint="ef" * 32, next_page_token=token)
    for name in names:
        agent = samples.listing().agents[0]
        agent.card.name = name
        message.agents.append(agent)
    return message


@pytest.mark.parametrize("form", ["async", "sync"])
async def test_all_pages_are_one_listing(mesh: ScriptedMesh, form: str) -> None:
    mesh.answers.extend([page("one", "two", token="t1"), page("three", token="t2"), page("four")])
    if form == "async":
        async with AsyncMeshClient(mesh.address) as client:
            listing = await client.list_agents()
    else:
        with MeshClient(mesh.address) as threaded:
            listing = await asyncio.to_thread(threaded.list_agents)
    assert [agent.name for agent in listing.agents] == ["one", "two", "three", "four"]
    assert [request.page_token for request in mesh.requests] == ["", "t1", "t2"]  # type: ignore[attr-defined]
    assert listing.wire == page("one", "two", "three", "four")


async def test_a_watch_gives_everything_and_then_each_change(mesh: ScriptedMesh, take: Take) -> None:
    agent = samples.listing().agents[0]
    agent.endpoints[0].state = pb.ENDPOINT_STATE_EJECTED
    agent.endpoints[0].calls_in_flight = 3
    mesh.script = [
        pb.WatchAgentsResponse(snapshot=page("one", token="more")),
        pb.WatchAgentsResponse(snapshot=page("two")),
        pb.WatchAgentsResponse(changed=agent),
        pb.WatchAgentsResponse(report=pb.EndpointReport(endpoints=agent.endpoints)),
        pb.WatchAgentsResponse(removed=pb.RemovedAgent(name="data_agent", card_digest="cd" * 32)),
        pb.WatchAgentsResponse(),
        asyncio.Event(),
    ]
    listed, changed, reported, removed, unknown = await take(mesh.address, 5, report_seconds=0.5)
    (request,) = mesh.requests
    assert isinstance(request, pb.WatchAgentsRequest)
    assert request.report_interval.ToMilliseconds() == 500
    assert [agent.name for agent in listed.listing.agents] == ["one", "two"]
    assert listed.wire.snapshot == page("one", "two")
    (endpoint,) = changed.agent.endpoints
    assert (changed.agent.name, endpoint.state, endpoint.calls_in_flight) == ("data_agent", "EJECTED", 3)
    assert reported.endpoints == (endpoint,)
    assert (removed.name, removed.card_digest) == ("data_agent", "cd" * 32)
    assert isinstance(unknown, api.UnknownChange)
    await mesh.left.wait()


async def test_the_end_of_a_watch_is_an_error(mesh: ScriptedMesh, take: Take) -> None:
    mesh.script = [pb.WatchAgentsResponse(snapshot=page()), errors.ShuttingDown("leaving")]
    with pytest.raises(errors.ShuttingDown, match="leaving"):
        await take(mesh.address, 2)
    mesh.script = [pb.WatchAgentsResponse(snapshot=page())]
    with pytest.raises(errors.RemoteError, match="ended a stream that has no end"):
        await take(mesh.address, 2)


async def test_an_interval_that_no_message_carries_is_refused_and_named(mesh: ScriptedMesh, take: Take) -> None:
    with pytest.raises(errors.RequestInvalid, match="report_seconds: cannot be sent"):
        await take(mesh.address, 1, report_seconds=float("inf"))
    assert mesh.requests == []
