"""What every `AgentStore` promises. A new implementation is added to `STORES`."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TypeAlias

import pytest
from redis.asyncio import Redis

from orchestrator_svc.adapters.listed_agents import ListedAgents
from orchestrator_svc.adapters.memory_agent_store import MemoryAgentStore
from orchestrator_svc.adapters.redis_agent_store import RedisAgentStore
from orchestrator_svc.app.addresses import EVERY_ADDRESS
from orchestrator_svc.app.ports.agent_store import AgentStore, Registration
from orchestrator_svc.core.card import read_card
from tests.fakes.agent_dialer import ServedAgents
from tests.fakes.clock import ManualClock
from tests.redis_server import BINARIES, redis_server
from tests.telemetry.recording import Metrics

TTL_SECONDS = 60.0
ALMOST = 30.0
"""Less than the ttl by more than a test takes: in a store that is a server, time also passes by itself."""
THE_REST = TTL_SECONDS - ALMOST
PATIENCE_SECONDS = 30.0

_LET_PASS = """
for _, key in ipairs(redis.call('KEYS', 'agentmesh:{agents}:*')) do
    local left = redis.call('PTTL', key)
    if left >= 0 then
        redis.call('PEXPIRE', key, left - ARGV[1])
    end
    local kind = redis.call('TYPE', key)['ok']
    if kind == 'hash' then
        redis.call('HINCRBY', key, 'registered', -ARGV[1])
        redis.call('HINCRBY', key, 'heartbeat', -ARGV[1])
    elseif kind == 'zset' then
        for _, member in ipairs(redis.call('ZRANGE', key, 0, -1)) do
            redis.call('ZINCRBY', key, -ARGV[1], member)
        end
    end
end
"""
"""Every moment that the server holds lies so much earlier: for what it holds, so much time has passed."""


@dataclass(frozen=True)
class Opened:
    """A store, and how time passes in it."""

    store: AgentStore
    let_pass: Callable[[float], Awaitable[None]]


Opening: TypeAlias = Callable[[ManualClock, Path], AbstractAsyncContextManager[Opened]]


@asynccontextmanager
async def memory(clock: ManualClock, directory: Path) -> AsyncIterator[Opened]:
    async def let_pass(seconds: float) -> None:
        clock.advance(seconds)

    yield Opened(MemoryAgentStore(clock), let_pass)


@asynccontextmanager
async def listed(clock: ManualClock, directory: Path) -> AsyncIterator[Opened]:
    """Beside a file of addresses, which are none here."""

    async def let_pass(seconds: float) -> None:
        clock.advance(seconds)

    file = directory / "agents"
    file.touch()
    store = ListedAgents(MemoryAgentStore(clock), file, ServedAgents(), EVERY_ADDRESS, clock)
    await store.look()
    yield Opened(store, let_pass)


@asynccontextmanager
async def redis(clock: ManualClock, directory: Path, *, binary: str) -> AsyncIterator[Opened]:
    async with redis_server(binary, directory) as server, Redis.from_url(server.url) as client:
        store = RedisAgentStore(server.url, server.url, clock)

        async def let_pass(seconds: float) -> None:
            clock.advance(seconds)
            await client.eval(_LET_PASS, 0, str(round(seconds * 1000)))
            await store.refresh()

        await store.start()
        try:
            yield Opened(store, let_pass)
        finally:
            await store.close()


STORES: dict[str, Opening] = {
    "memory": memory,
    "listed": listed,
    **{name: partial(redis, binary=binary) for name, binary in BINARIES.items()},
}


@dataclass(frozen=True)
class Ground:
    """A store, and the time that it lives in."""

    store: AgentStore
    clock: ManualClock
    let_pass: Callable[[float], Awaitable[None]]

    async def register(self, agent: str, address: str = "", *, ttl_seconds: float = TTL_SECONDS) -> Registration:
        """Register now, by default at an address named after the agent."""
        now = self.clock.now()
        registration = Registration(
            lease_id=secrets.token_hex(16),
            card=read_card({"name": agent, "version": "1.0.0", "description": "", "skills": []}),
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

    def leases(self) -> list[str]:
        return [one.lease_id for one in self.store.listing().registrations]

    def is_in(self, moment: datetime | None, seconds: float) -> bool:
        """Whether it is so far ahead, give or take what a test may last."""
        return moment is not None and abs((moment - self.clock.now()).total_seconds() - seconds) < THE_REST / 2

    @property
    def revision(self) -> int:
        return self.store.listing().revision


@pytest.fixture(params=STORES)
async def ground(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Ground]:
    clock = ManualClock()
    async with STORES[request.param](clock, tmp_path) as opened:
        yield Ground(opened.store, clock, opened.let_pass)


async def test_a_new_store_lists_nobody(ground: Ground) -> None:
    assert ground.listed() == []
    assert ground.store.listing().next_expiry is None


async def test_what_was_put_is_listed_as_it_is(ground: Ground) -> None:
    registration = await ground.register("one", "host:1", ttl_seconds=12.5)
    (listed,) = ground.store.listing().registrations
    assert listed.endpoint == registration.endpoint
    assert (listed.card, listed.address, listed.ttl_seconds) == (registration.card, "host:1", 12.5)
    assert ground.is_in(listed.registered_at, 0)
    assert ground.is_in(listed.last_heartbeat_at, 0)
    assert ground.is_in(listed.expires_at, 12.5)


async def test_the_listing_is_ordered_by_agent(ground: Ground) -> None:
    for agent in ("one", "two", "a", "three"):
        await ground.register(agent)
    assert [agent for agent, _ in ground.listed()] == ["a", "one", "three", "two"]


async def test_a_lease_lasts_its_ttl_and_no_longer(ground: Ground) -> None:
    await ground.register("one")
    await ground.let_pass(ALMOST)
    assert ground.listed() == [("one", "one:1")]
    await ground.let_pass(THE_REST)
    assert ground.listed() == []


async def test_each_lease_ends_at_its_own_time(ground: Ground) -> None:
    await ground.register("brief", ttl_seconds=TTL_SECONDS)
    await ground.register("long", ttl_seconds=3 * TTL_SECONDS)
    await ground.let_pass(TTL_SECONDS)
    assert ground.listed() == [("long", "long:1")]
    await ground.let_pass(2 * TTL_SECONDS)
    assert ground.listed() == []


async def test_a_heartbeat_prolongs_the_lease_by_its_ttl_from_then_on(ground: Ground) -> None:
    registration = await ground.register("one")
    await ground.let_pass(ALMOST)
    renewed = await ground.store.renew(registration.lease_id)
    assert renewed is not None
    assert ground.is_in(renewed.registered_at, -ALMOST)
    assert ground.is_in(renewed.last_heartbeat_at, 0)
    assert ground.is_in(renewed.expires_at, TTL_SECONDS)
    assert ground.store.listing().registrations == (renewed,)
    await ground.let_pass(ALMOST)
    assert ground.listed() == [("one", "one:1")]
    await ground.let_pass(THE_REST)
    assert ground.listed() == []


async def test_a_lease_that_ended_is_not_renewed_even_if_nobody_looked_meanwhile(ground: Ground) -> None:
    registration = await ground.register("one")
    await ground.let_pass(TTL_SECONDS)
    assert await ground.store.renew(registration.lease_id) is None
    assert ground.listed() == []


async def test_an_unknown_lease_is_not_renewed(ground: Ground) -> None:
    await ground.register("one")
    assert await ground.store.renew("another") is None


async def test_an_agent_may_have_many_endpoints_each_with_a_lease_of_its_own(ground: Ground) -> None:
    first, second, third = [await ground.register("one", f"host:{port}") for port in (2, 1, 3)]
    assert ground.listed() == [("one", "host:1"), ("one", "host:2"), ("one", "host:3")]
    await ground.store.remove(first.lease_id)
    await ground.let_pass(ALMOST)
    assert await ground.store.renew(second.lease_id) is not None
    await ground.let_pass(THE_REST)
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
    await ground.let_pass(ALMOST)
    later = await ground.register("one", "host:1")
    await ground.store.remove(earlier.lease_id)
    await ground.let_pass(THE_REST)
    assert ground.listed() == [("one", "host:1")]
    assert await ground.store.renew(later.lease_id) is not None


async def test_a_lease_that_is_removed_is_gone_at_once(ground: Ground) -> None:
    registration = await ground.register("one")
    await ground.register("two")
    assert await ground.store.remove(registration.lease_id)
    assert ground.listed() == [("two", "two:1")]
    assert await ground.store.renew(registration.lease_id) is None


async def test_removing_what_is_not_there_changes_nothing(ground: Ground) -> None:
    registration = await ground.register("one")
    await ground.store.remove(registration.lease_id)
    before = ground.revision, ground.leases()
    assert not await ground.store.remove(registration.lease_id)
    assert not await ground.store.remove("another")
    assert (ground.revision, ground.leases()) == before


async def test_leases_that_end_without_a_heartbeat_are_counted_and_no_others(ground: Ground, metrics: Metrics) -> None:
    removed = await ground.register("one")
    await ground.store.remove(removed.lease_id)
    await ground.register("two", "host:2")
    await ground.register("two", "host:2")  # in place of the one before
    await ground.register("three")
    kept = await ground.register("four")
    await ground.let_pass(ALMOST)
    await ground.store.renew(kept.lease_id)
    await ground.let_pass(THE_REST)
    assert ground.listed() == [("four", "four:1")]
    assert metrics.values("agentmesh.registry.changes", "agentmesh.registry.change") == {"expired": 2}


async def test_an_agent_may_come_back_after_its_lease_ended(ground: Ground) -> None:
    await ground.register("one", "host:1")
    await ground.let_pass(TTL_SECONDS)
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
    await ground.let_pass(TTL_SECONDS)
    seen.append(ground.revision)
    assert seen == sorted(set(seen)), "each change has a revision of its own"
    await ground.store.remove(one.lease_id)
    assert ground.revision == seen[-1]


async def test_a_heartbeat_and_a_look_leave_the_revision_as_it_is(ground: Ground) -> None:
    registration = await ground.register("one")
    before = ground.revision
    await ground.let_pass(ALMOST)
    await ground.store.renew(registration.lease_id)
    assert ground.revision == before
    await ground.let_pass(ALMOST)
    assert ground.revision == before


async def test_the_next_expiry_is_that_of_the_lease_that_ends_first(ground: Ground) -> None:
    await ground.register("long", ttl_seconds=3 * TTL_SECONDS)
    brief = await ground.register("brief")
    assert ground.is_in(ground.store.listing().next_expiry, TTL_SECONDS)
    await ground.let_pass(ALMOST)
    assert ground.is_in(ground.store.listing().next_expiry, THE_REST)
    await ground.store.renew(brief.lease_id)
    assert ground.is_in(ground.store.listing().next_expiry, TTL_SECONDS)
    await ground.store.remove(brief.lease_id)
    assert ground.is_in(ground.store.listing().next_expiry, 3 * TTL_SECONDS - ALMOST)


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
