"""What every `PlanStore` promises. A new implementation is added to `STORES`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from redis.asyncio import Redis

from orchestrator_svc.adapters.memory_plan_store import MemoryPlanStore
from orchestrator_svc.adapters.redis_plan_store import MAX_PLAN_BYTES, RedisPlanStore
from orchestrator_svc.adapters.system_clock import SystemClock
from orchestrator_svc.app.ports.plan_store import PlanStore, StoredPlan
from tests.fakes.clock import ManualClock
from tests.fakes.plan_store import KeptPlans
from tests.redis_server import BINARIES, redis_server

PLAN = StoredPlan({"steps": [{"id": "a", "skill": "one__read", "arguments": {"x": [1, 2.5, "é", None]}}]}, "a-model")
OTHER = StoredPlan({"steps": []}, "another-model")


@asynccontextmanager
async def memory() -> AsyncIterator[PlanStore]:
    yield MemoryPlanStore(10_000, ManualClock())


@asynccontextmanager
async def redis(binary: str) -> AsyncIterator[PlanStore]:
    with TemporaryDirectory() as directory:
        async with redis_server(binary, Path(directory)) as server:
            store = RedisPlanStore(server.url, 1_000_000, SystemClock())
            try:
                yield store
            finally:
                await store.close()


@asynccontextmanager
async def fake() -> AsyncIterator[PlanStore]:
    yield KeptPlans()


STORES: dict[str, Callable[[], AbstractAsyncContextManager[PlanStore]]] = {
    "memory": memory,
    "fake": fake,
    **{name: partial(redis, binary) for name, binary in BINARIES.items()},
}


@pytest.fixture(params=STORES)
async def store(request: pytest.FixtureRequest) -> AsyncIterator[PlanStore]:
    async with STORES[request.param]() as made:
        yield made


async def test_what_was_never_put_is_not_there(store: PlanStore) -> None:
    assert await store.get("key") is None


async def test_a_plan_is_found_as_it_was_put(store: PlanStore) -> None:
    await store.put("key", PLAN, 60)
    assert await store.get("key") == PLAN
    assert await store.get("another") is None


async def test_a_later_plan_takes_the_place_of_the_earlier(store: PlanStore) -> None:
    await store.put("key", PLAN, 60)
    await store.put("key", OTHER, 60)
    assert await store.get("key") == OTHER


async def test_in_memory_its_time_ends_to_the_second() -> None:
    clock = ManualClock()
    store = MemoryPlanStore(10_000, clock)
    await store.put("short", PLAN, 60)
    await store.put("long", PLAN, 3600)
    clock.advance(59.9)
    assert await store.get("short") == PLAN
    clock.advance(0.2)
    assert await store.get("short") is None
    assert await store.get("long") == PLAN


async def test_in_memory_the_least_recently_used_makes_room() -> None:
    store = MemoryPlanStore(1000, ManualClock())
    big = StoredPlan({"text": "x" * 400}, "m")
    await store.put("one", big, 60)
    await store.put("two", big, 60)
    assert await store.get("one") == big
    await store.put("three", big, 60)
    assert [await store.get(key) is not None for key in ("one", "two", "three")] == [True, False, True]


async def test_in_memory_a_plan_over_the_bound_is_not_kept() -> None:
    store = MemoryPlanStore(100, ManualClock())
    await store.put("key", StoredPlan({"text": "x" * 400}, "m"), 60)
    assert await store.get("key") is None


async def test_over_a_server_its_time_ends_and_two_stores_share_it(tmp_path: Path) -> None:
    async with redis_server(BINARIES["valkey"], tmp_path) as server:
        one, other = (
            RedisPlanStore(server.url, 1_000_000, SystemClock()),
            RedisPlanStore(server.url, 1_000_000, SystemClock()),
        )
        await one.put("long", PLAN, 60)
        assert await other.get("long") == PLAN
        await one.put("short", PLAN, 0.001)
        async with asyncio.timeout(10):
            while await other.get("short") is not None:
                pass
        async with Redis.from_url(server.url) as client:
            assert 59_000 < await client.pttl("agentmesh:{plans}:plan:long") <= 60_000
            await client.set("agentmesh:{plans}:plan:strange", b'{"plan": 7}')
        assert await other.get("strange") is None
        await one.put("large", StoredPlan({"text": "x" * MAX_PLAN_BYTES}, "m"), 60)
        assert await other.get("large") is None
        await one.close()
        await other.close()


async def test_a_server_that_is_gone_is_left_alone_for_a_while_and_then_used_again(tmp_path: Path) -> None:
    clock = ManualClock()
    async with redis_server(BINARIES["valkey"], tmp_path) as server:
        store = RedisPlanStore(server.url, 1_000_000, clock)
        await store.put("key", PLAN, 60)
        await server.kill()
        assert await store.get("key") is None
        await server.start()
        await store.put("key", PLAN, 60)
        assert await store.get("key") is None
        clock.advance(5.1)
        await store.put("key", PLAN, 60)
        assert await store.get("key") == PLAN
        await store.close()


async def test_over_a_server_the_next_that_would_end_makes_room(tmp_path: Path) -> None:
    big = StoredPlan({"text": "x" * 400}, "m")
    async with redis_server(BINARIES["valkey"], tmp_path) as server:
        store = RedisPlanStore(server.url, 1000, SystemClock())
        for key, ttl in (("late", 3600), ("soon", 60), ("late", 3600), ("new", 3600)):
            await store.put(key, big, ttl)
        assert [await store.get(key) is not None for key in ("late", "soon", "new")] == [True, False, True]
        await store.put("over", StoredPlan({"text": "x" * 2000}, "m"), 60)
        assert await store.get("over") is None
        async with Redis.from_url(server.url) as client:
            assert int(await client.get("agentmesh:{plans}:bytes") or 0) in range(1, 1001)
        await store.close()


async def test_over_a_server_what_has_ended_takes_no_room(tmp_path: Path) -> None:
    big = StoredPlan({"text": "x" * 400}, "m")
    async with redis_server(BINARIES["valkey"], tmp_path) as server:
        store = RedisPlanStore(server.url, 1000, SystemClock())
        await store.put("long", big, 3600)
        await store.put("short", big, 0.001)
        async with asyncio.timeout(10):
            while await store.get("short") is not None:
                pass
        await store.put("new", big, 60)
        assert await store.get("long") == big
        await store.close()
