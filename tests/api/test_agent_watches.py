"""Watches of agents: a reader that takes its time is told the latest, and no more than there is."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass

import pytest

from agentmesh.errors import ShuttingDown
from agentmesh.jsonvalues import JsonObject
from agentmesh.v1 import registry_service_pb2 as pb
from orchestrator_svc.adapters.memory_agent_store import MemoryAgentStore
from orchestrator_svc.api.agent_watches import AgentWatches
from orchestrator_svc.app.catalogs import Catalogs
from orchestrator_svc.app.endpoints import Endpoints
from orchestrator_svc.app.membership import Membership
from orchestrator_svc.core.card import read_card
from tests.app.listed import list_endpoint, unlist
from tests.fakes.agent_dialer import ServedAgents
from tests.fakes.clock import ManualClock


@dataclass
class Ground:
    """Who is listed, and who watches."""

    store: MemoryAgentStore
    clock: ManualClock
    watches: AgentWatches

    async def add(self, name: str, address: str, version: str = "1.0.0") -> None:
        source: JsonObject = {"name": name, "version": version, "description": "", "skills": []}
        await list_endpoint(self.store, self.clock, address, read_card(source))

    async def remove(self, address: str) -> None:
        await unlist(self.store, self.store.listing().by_address[address].endpoint)

    def watch(self) -> AsyncGenerator[pb.WatchAgentsResponse, None]:
        return self.watches.messages(None)


@pytest.fixture
def ground() -> Ground:
    clock = ManualClock()
    store = MemoryAgentStore(clock)
    endpoints = Endpoints(store, clock)
    catalogs = Catalogs(endpoints, clock, 0)
    return Ground(store, clock, AgentWatches(Membership(store, clock, ServedAgents()), catalogs, endpoints.statuses))


def told(message: pb.WatchAgentsResponse) -> tuple[str, str, int]:
    """What happened, to whom, and how many endpoints it has now."""
    kind = message.WhichOneof("change")
    if kind == "removed":
        return "removed", message.removed.name, 0
    return str(kind), message.changed.card.name, len(message.changed.endpoints)


async def test_a_slow_reader_is_told_once_of_what_changed_often(ground: Ground) -> None:
    async with aclosing(ground.watch()) as messages:
        assert (await anext(messages)).WhichOneof("change") == "snapshot"
        for port in range(100):
            await ground.add("one", f"host:{port}")
        await ground.add("two", "other:1")
        await ground.remove("host:0")
        assert told(await anext(messages)) == ("changed", "one", 99)
        for port in range(1, 100):
            await ground.remove(f"host:{port}")
        assert told(await anext(messages)) == ("changed", "two", 1), "as it was when the reader came for it"
        assert told(await anext(messages)) == ("removed", "one", 0)


async def test_a_change_is_worked_out_once_for_all_who_watch(ground: Ground) -> None:
    async with AsyncExitStack() as stack:
        readers = [await stack.enter_async_context(aclosing(ground.watch())) for _ in range(50)]
        for messages in readers:
            await anext(messages)
        await ground.add("one", "host:1")
        first, *others = [(await anext(messages)).changed for messages in readers]
        assert all(other is first for other in others)
        assert first.card.name == "one"


async def test_what_came_and_went_between_two_looks_is_not_told(ground: Ground) -> None:
    async with aclosing(ground.watch()) as messages:
        await anext(messages)
        await ground.add("brief", "host:1")
        await ground.remove("host:1")
        await ground.add("one", "host:2")
        assert told(await anext(messages)) == ("changed", "one", 1)


async def test_an_agent_that_moves_to_a_new_version_is_never_missing(ground: Ground) -> None:
    await ground.add("one", "host:1")
    async with aclosing(ground.watch()) as messages:
        await anext(messages)
        await ground.add("one", "host:1", "2.0.0")
        assert [told(await anext(messages)) for _ in range(2)] == [("changed", "one", 1), ("removed", "one", 0)]


async def test_a_process_that_came_back_at_its_address_is_a_change(ground: Ground) -> None:
    await ground.add("one", "host:1")
    async with aclosing(ground.watch()) as messages:
        await anext(messages)
        await ground.add("one", "host:1")
        assert told(await anext(messages)) == ("changed", "one", 1)


async def test_watches_end_together_and_later_ones_at_once(ground: Ground) -> None:
    async with aclosing(ground.watch()) as messages:
        await anext(messages)
        ground.watches.end()
        with pytest.raises(ShuttingDown):
            await anext(messages)
    async with aclosing(ground.watch()) as messages:
        with pytest.raises(ShuttingDown):
            await anext(messages)
