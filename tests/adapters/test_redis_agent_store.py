"""What only a store that is shared over a real server can meet: other writers, lost notices, a server that is gone."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from agentmesh.errors import RegistryUnavailable
from orchestrator_svc.adapters.redis_agent_store import RedisAgentStore
from orchestrator_svc.adapters.system_clock import SystemClock
from orchestrator_svc.app.ports.agent_store import Registration
from orchestrator_svc.core.card import read_card
from tests.redis_server import BINARIES, RedisServer, redis_server
from tests.telemetry.recording import Metrics

PATIENCE_SECONDS = 30.0
"""Only a test that fails waits so long."""
LEASES = "agentmesh:{agents}:leases"


def registration(agent: str, address: str, *, ttl_seconds: float = 60.0) -> Registration:
    now = SystemClock().now()
    return Registration(
        lease_id=secrets.token_hex(16),
        card=read_card({"name": agent, "version": "1.0.0", "description": "", "skills": []}),
        address=address,
        ttl_seconds=ttl_seconds,
        registered_at=now,
        last_heartbeat_at=now,
        expires_at=now + timedelta(seconds=ttl_seconds),
    )


def addresses(store: RedisAgentStore) -> list[str]:
    return [one.address for one in store.listing().registrations]


@dataclass(frozen=True)
class Ground:
    """A server, and the stores of two orchestrators."""

    server: RedisServer
    here: RedisAgentStore
    there: RedisAgentStore

    async def until_listed(self, store: RedisAgentStore, wanted: list[str]) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while addresses(store) != wanted:
                await store.changed(store.listing().revision)


@asynccontextmanager
async def following(url: str) -> AsyncIterator[RedisAgentStore]:
    store = RedisAgentStore(url, url, SystemClock())
    await store.start()
    try:
        yield store
    finally:
        await store.close()


@pytest.fixture(params=BINARIES)
async def ground(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Ground]:
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(redis_server(BINARIES[request.param], tmp_path))
        here = await stack.enter_async_context(following(server.url))
        there = await stack.enter_async_context(following(server.url))
        yield Ground(server, here, there)


async def until_back(store: RedisAgentStore) -> None:
    """Register until it works; each attempt takes a moment, also one that fails."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            try:
                await store.put(registration("probe", "probe:1"))
            except RegistryUnavailable:
                await asyncio.sleep(0)
            else:
                return


async def test_a_lease_that_ends_is_counted_by_one_of_those_who_see_it_end(ground: Ground, metrics: Metrics) -> None:
    await ground.here.put(registration("one", "host:1", ttl_seconds=0.2))
    await ground.until_listed(ground.there, ["host:1"])
    await ground.until_listed(ground.here, [])
    await ground.until_listed(ground.there, [])
    assert metrics.values("agentmesh.registry.changes", "agentmesh.registry.change") == {"expired": 1}


async def test_fifty_registrations_at_once_through_two_stores_lose_nothing(ground: Ground) -> None:
    wanted = sorted(f"host:{port}" for port in range(50))
    stores = [ground.here, ground.there]
    await asyncio.gather(
        *(stores[port % 2].put(registration(f"agent_{port % 5}", f"host:{port}")) for port in range(50))
    )
    for store in stores:
        await store.refresh()
        assert sorted(addresses(store)) == wanted


async def test_fifty_registrations_at_one_address_leave_one_lease(ground: Ground) -> None:
    stores = [ground.here, ground.there]
    put = await asyncio.gather(*(stores[n % 2].put(registration("one", "host:1")) for n in range(50)))
    await ground.here.refresh()
    (left,) = ground.here.listing().registrations
    assert left.lease_id in {one.lease_id for one in put}
    renewed = [await ground.there.renew(one.lease_id) for one in put]
    assert [one.lease_id for one in renewed if one is not None] == [left.lease_id]


async def test_what_one_store_registers_another_hears_of(ground: Ground) -> None:
    lease = (await ground.here.put(registration("one", "host:1"))).lease_id
    await ground.until_listed(ground.there, ["host:1"])
    assert await ground.there.renew(lease) is not None, "a heartbeat may go to any of them"
    await ground.there.remove(lease)
    await ground.until_listed(ground.here, [])


async def test_a_store_that_comes_later_finds_what_is_there(ground: Ground) -> None:
    await ground.here.put(registration("one", "host:1"))
    async with following(ground.server.url) as later:
        assert addresses(later) == ["host:1"]
        assert later.listing().registrations[0].card == ground.here.listing().registrations[0].card


async def test_a_change_without_a_notice_is_seen_a_little_later(ground: Ground) -> None:
    await ground.here.put(registration("one", "host:1"))
    await ground.until_listed(ground.there, ["host:1"])
    async with Redis.from_url(ground.server.url) as client:
        await client.delete(LEASES)
    await ground.until_listed(ground.there, [])


async def test_a_lease_ends_by_itself_in_every_store(ground: Ground) -> None:
    await ground.here.put(registration("one", "host:1", ttl_seconds=1.0))
    await ground.until_listed(ground.there, ["host:1"])
    await ground.until_listed(ground.there, [])
    await ground.until_listed(ground.here, [])


async def test_a_heartbeat_at_one_store_keeps_the_lease_in_the_other(ground: Ground) -> None:
    brief = await ground.here.put(registration("brief", "host:1", ttl_seconds=1.0))
    await ground.here.put(registration("measure", "host:2", ttl_seconds=3.0))
    await ground.until_listed(ground.there, ["host:1", "host:2"])

    async def heartbeats() -> None:
        while await ground.here.renew(brief.lease_id):
            await SystemClock().sleep(0.2)

    beating = asyncio.create_task(heartbeats())
    await ground.until_listed(ground.there, ["host:1"])
    beating.cancel()
    await asyncio.wait({beating})


async def test_while_the_server_is_gone_the_last_copy_is_listed_and_changes_are_refused(ground: Ground) -> None:
    lease = (await ground.here.put(registration("one", "host:1", ttl_seconds=1.0))).lease_id
    assert ground.here.trouble == ""
    await ground.server.kill()
    with capture_logs() as logs:
        for _ in range(3):
            with pytest.raises(RegistryUnavailable) as caught:
                await ground.here.put(registration("two", "host:2"))
            assert caught.value.transient
            with pytest.raises(RegistryUnavailable):
                await ground.here.renew(lease)
            with pytest.raises(RegistryUnavailable):
                await ground.here.remove(lease)
    assert addresses(ground.here) == ["host:1"]
    assert "cannot be reached" in ground.here.trouble
    here = [log for log in logs if log["event"] == "registry store lost"]
    assert len(here) <= 2, "each store says it once"


async def test_a_lease_does_not_end_while_the_server_is_gone(ground: Ground) -> None:
    """Only the server knows whether it was renewed through another orchestrator."""
    registered = await ground.here.put(registration("one", "host:1", ttl_seconds=1.0))
    await ground.server.kill()
    while SystemClock().now() < registered.expires_at + timedelta(seconds=1):
        with pytest.raises(RegistryUnavailable):
            await ground.here.renew(registered.lease_id)
        await SystemClock().sleep(0.05)
    assert addresses(ground.here) == ["host:1"]


async def test_a_server_that_comes_back_empty_is_followed_again_and_nobody_is_missing_meanwhile(
    ground: Ground,
) -> None:
    earlier = await ground.here.put(registration("one", "host:1"))
    await ground.until_listed(ground.there, ["host:1"])
    await ground.server.kill()
    await ground.server.start()
    with capture_logs() as logs:
        await until_back(ground.here)
        await ground.until_listed(ground.there, ["host:1", "probe:1"])
    assert {log["event"] for log in logs} <= {"registry store lost", "registry store found"}
    assert await ground.here.renew(earlier.lease_id) is None, "the agent is told to register again"
    assert addresses(ground.here) == ["host:1", "probe:1"], "and is listed until it has"
    again = await ground.there.put(registration("one", "host:1"))
    await ground.here.refresh()
    assert [one.lease_id for one in ground.here.listing().registrations if one.address == "host:1"] == [again.lease_id]
    assert (ground.here.trouble, ground.there.trouble) == ("", "")


async def test_who_does_not_come_back_after_an_outage_leaves_after_half_a_ttl(ground: Ground) -> None:
    await ground.here.put(registration("one", "host:1", ttl_seconds=2.0))
    await ground.server.kill()
    await ground.server.start()
    await until_back(ground.here)
    await ground.until_listed(ground.here, ["probe:1"])


async def test_a_server_that_hangs_is_as_one_that_is_gone(ground: Ground) -> None:
    await ground.here.put(registration("one", "host:1"))
    os.kill(ground.server.pid, signal.SIGSTOP)
    try:
        with pytest.raises(RegistryUnavailable):
            await ground.here.put(registration("two", "host:2"))
        assert addresses(ground.here) == ["host:1"]
    finally:
        os.kill(ground.server.pid, signal.SIGCONT)
    await until_back(ground.here)
    assert "host:1" in addresses(ground.here)


async def test_a_store_starts_without_its_server_and_finds_it_later(tmp_path: Path) -> None:
    for binary in BINARIES.values():
        server = RedisServer(binary, tmp_path)
        async with following(server.url) as store:
            assert store.trouble
            assert addresses(store) == []
            await server.start()
            await until_back(store)
            assert store.trouble == ""
            await server.kill()


async def test_what_is_no_card_is_left_out(ground: Ground) -> None:
    await ground.here.put(registration("one", "host:1"))
    broken = registration("two", "host:2")
    async with Redis.from_url(ground.server.url) as client:
        await client.set("agentmesh:{agents}:card:" + broken.card.digest, '{"name": 1}')
        await client.hset(
            "agentmesh:{agents}:lease:" + broken.lease_id,
            mapping={"address": "host:2", "card": broken.card.digest, "ttl": 60000, "registered": 1, "heartbeat": 1},
        )
        await client.zadd(LEASES, {broken.lease_id: 1e13})
    with capture_logs() as logs:
        for _ in range(3):
            await ground.there.refresh()
    assert addresses(ground.there) == ["host:1"]
    assert len([log for log in logs if log.get("card_digest") == broken.card.digest]) <= 2, "each store says it once"
