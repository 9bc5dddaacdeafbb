"""What every `AgentStore` promises. A new implementation is added to `STORES`."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

import pytest

from orchestrator_svc.adapters.memory_agent_store import MemoryAgentStore
from orchestrator_svc.app.ports.agent_store import AgentStore, Registration
from orchestrator_svc.core.card import Card
from tests.fakes.clock import ManualClock

TTL_SECONDS = 15.0
ALMOST = TTL_SECONDS - 0.001


@asynccontextmanager
async def memory(clock: ManualClock) -> AsyncIterator[AgentStore]:
    yield MemoryAgentStore(clock)


STORES: dict[str, Callable[[ManualClock], AbstractAsyncContextManager[AgentStore]]] = {"memory": memory}


@dataclass(frozen=True)
class Ground:
    """A store, and the time that it lives in."""

    store: AgentStore
    clock: ManualClock

    async def register(self, agent: str, address: str = "", *, ttl_seconds: float = TTL_SECONDS) -> Registration:
        """Register now, by default at an address named after the agent."""
        now = self.clock.now()
        registration = Registration(
            lease_id=secrets.token_hex(16),
            card=Card(agent, "1.0.0", "", (), {"name": agent}),
            address=address or f"{agent}:1",
            ttl_seconds=ttl_seconds,
            registered_at=now,
            last_heartbeat_at=now,
            expires_at=now + timedelta(seconds=ttl_seconds),
        )
        return await self.store.put(registration)

    def listed(self) -> list[tuple[str, str]]:
        """Agents and addresses, in the order of the listing."""
        return [(one.card.name, one.address) for one in self.store.listing().registrations]

    @property
    def revision(self) -> int:
        return self.store.listing().revision


@pytest.fixture(params=STORES)
async def ground(request: pytest.FixtureRequest) -> AsyncIterator[Ground]:
    clock = ManualClock()
    async with STORES[request.param](clock) as store:
        yield Ground(store, clock)


async def test_a_new_store_lists_nobody(ground: Ground) -> None:
    assert ground.listed() == []
    assert ground.store.listing().next_expiry is None


async def test_what_was_put_is_listed_as_it_is(ground: Ground) -> None:
    registration = await ground.register("one")
    assert ground.store.listing().registrations == (registration,)


async def test_the_listing_is_ordered_by_agent(ground: Ground) -> None:
    for agent in ("one", "two", "a", "three"):
        await ground.register(agent)
    assert [agent for agent, _ in ground.listed()] == ["a", "one", "three", "two"]


async def test_a_lease_lasts_its_ttl_and_no_longer(ground: Ground) -> None:
    await ground.register("one")
    ground.clock.advance(ALMOST)
    assert ground.listed() == [("one", "one:1")]
    ground.clock.advance(0.001)
    assert ground.listed() == []


async def test_each_lease_ends_at_its_own_time(ground: Ground) -> None:
    await ground.register("brief", ttl_seconds=1.0)
    await ground.register("long", ttl_seconds=60.0)
    ground.clock.advance(1.0)
    assert ground.listed() == [("long", "long:1")]
    ground.clock.advance(59.0)
    assert ground.listed() == []


async def test_a_heartbeat_prolongs_the_lease_by_its_ttl_from_then_on(ground: Ground) -> None:
    registration = await ground.register("one")
    ground.clock.advance(ALMOST)
    renewed = await ground.store.renew(registration.lease_id)
    assert renewed is not None
    assert renewed.registered_at == registration.registered_at
    assert renewed.last_heartbeat_at == ground.clock.now()
    assert renewed.expires_at == ground.clock.now() + timedelta(seconds=TTL_SECONDS)
    assert ground.store.listing().registrations == (renewed,)
    ground.clock.advance(ALMOST)
    assert ground.listed() == [("one", "one:1")]
    ground.clock.advance(0.001)
    assert ground.listed() == []


async def test_a_lease_that_ended_is_not_renewed_even_if_nobody_looked_meanwhile(ground: Ground) -> None:
    registration = await ground.register("one")
    ground.clock.advance(TTL_SECONDS)
    assert await ground.store.renew(registration.lease_id) is None
    assert ground.listed() == []


async def test_an_unknown_lease_is_not_renewed(ground: Ground) -> None:
    await ground.register("one")
    assert await ground.store.renew("another") is None


async def test_an_agent_may_have_many_endpoints_each_with_a_lease_of_its_own(ground: Ground) -> None:
    first, second, third = [await ground.register("one", f"host:{port}") for port in (2, 1, 3)]
    assert ground.listed() == [("one", "host:1"), ("one", "host:2"), ("one", "host:3")]
    await ground.store.remove(first.lease_id)
    ground.clock.advance(ALMOST)
    assert await ground.store.renew(second.lease_id) is not None
    ground.clock.advance(0.001)
    assert ground.listed() == [("one", "host:1")]
    assert await ground.store.renew(third.lease_id) is None


async def test_a_later_registration_at_the_same_address_replaces_the_earlier(ground: Ground) -> None:
    earlier = await ground.register("one", "host:1")
    later = await ground.register("one", "host:1")
    assert [one.lease_id for one in ground.store.listing().registrations] == [later.lease_id]
    assert await ground.store.renew(earlier.lease_id) is None


async def test_an_address_belongs_to_the_agent_that_came_there_last(ground: Ground) -> None:
    earlier = await ground.register("one", "host:1")
    await ground.register("two", "host:1")
    assert ground.listed() == [("two", "host:1")]
    assert await ground.store.renew(earlier.lease_id) is None


async def test_the_end_of_a_replaced_lease_takes_nothing_from_its_successor(ground: Ground) -> None:
    earlier = await ground.register("one", "host:1")
    ground.clock.advance(TTL_SECONDS / 2)
    later = await ground.register("one", "host:1")
    await ground.store.remove(earlier.lease_id)
    ground.clock.advance(TTL_SECONDS / 2)
    assert ground.listed() == [("one", "host:1")]
    assert await ground.store.renew(later.lease_id) is not None


async def test_a_lease_that_is_removed_is_gone_at_once(ground: Ground) -> None:
    registration = await ground.register("one")
    await ground.register("two")
    await ground.store.remove(registration.lease_id)
    assert ground.listed() == [("two", "two:1")]
    assert await ground.store.renew(registration.lease_id) is None


async def test_removing_what_is_not_there_changes_nothing(ground: Ground) -> None:
    registration = await ground.register("one")
    await ground.store.remove(registration.lease_id)
    before = ground.store.listing()
    await ground.store.remove(registration.lease_id)
    await ground.store.remove("another")
    assert ground.store.listing() == before


async def test_an_agent_may_come_back_after_its_lease_ended(ground: Ground) -> None:
    await ground.register("one", "host:1")
    ground.clock.advance(TTL_SECONDS)
    again = await ground.register("one", "host:2")
    assert ground.listed() == [("one", "host:2")]
    assert await ground.store.renew(again.lease_id) is not None


async def test_the_revision_grows_with_every_change_of_who_is_listed(ground: Ground) -> None:
    seen = [ground.revision]
    one = await ground.register("one", "host:1")
    seen.append(ground.revision)
    await ground.register("two")
    seen.append(ground.revision)
    replaced = await ground.register("one", "host:1")
    seen.append(ground.revision)
    await ground.store.remove(replaced.lease_id)
    seen.append(ground.revision)
    ground.clock.advance(TTL_SECONDS)
    seen.append(ground.revision)
    assert seen == sorted(set(seen)), "each change has a revision of its own"
    await ground.store.remove(one.lease_id)
    assert ground.revision == seen[-1]


async def test_a_heartbeat_and_a_look_leave_the_revision_as_it_is(ground: Ground) -> None:
    registration = await ground.register("one")
    before = ground.revision
    ground.clock.advance(ALMOST)
    await ground.store.renew(registration.lease_id)
    assert ground.revision == before
    ground.clock.advance(ALMOST)
    assert ground.revision == before


async def test_the_next_expiry_is_that_of_the_lease_that_ends_first(ground: Ground) -> None:
    long = await ground.register("long", ttl_seconds=60.0)
    brief = await ground.register("brief", ttl_seconds=1.0)
    assert ground.store.listing().next_expiry == brief.expires_at
    ground.clock.advance(0.5)
    await ground.store.renew(brief.lease_id)
    assert ground.store.listing().next_expiry == ground.clock.now() + timedelta(seconds=1.0)
    await ground.store.remove(brief.lease_id)
    assert ground.store.listing().next_expiry == long.expires_at


async def test_a_listing_that_was_given_out_does_not_change(ground: Ground) -> None:
    registration = await ground.register("one")
    before = ground.store.listing()
    await ground.register("two")
    await ground.store.remove(registration.lease_id)
    assert [one.card.name for one in before.registrations] == ["one"]


async def test_who_waits_for_a_change_is_told_of_the_next_however_many_wait(ground: Ground) -> None:
    before = ground.revision
    waiting = {asyncio.create_task(ground.store.changed(before)) for _ in range(3)}
    await asyncio.wait(waiting, timeout=0)
    assert not any(task.done() for task in waiting)
    await ground.register("one")
    await asyncio.gather(*waiting)


async def test_a_change_that_came_before_the_waiting_is_told_at_once(ground: Ground) -> None:
    before = ground.revision
    await ground.register("one")
    await ground.store.changed(before)


async def test_who_waits_is_not_told_of_heartbeats(ground: Ground) -> None:
    registration = await ground.register("one")
    waiting = asyncio.create_task(ground.store.changed(ground.revision))
    await asyncio.wait({waiting}, timeout=0)
    await ground.store.renew(registration.lease_id)
    await asyncio.wait({waiting}, timeout=0)
    assert not waiting.done()
    await ground.store.remove(registration.lease_id)
    await waiting
