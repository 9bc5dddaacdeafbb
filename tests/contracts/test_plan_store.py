"""What every `PlanStore` promises. A new implementation is added to `STORES`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field

import pytest

from agentmesh.jsonvalues import JsonObject
from orchestrator_svc.adapters.memory_plan_store import MemoryPlanStore
from orchestrator_svc.app.ports.plan_store import PlanStore, StoredPlan
from tests.fakes.clock import ManualClock

PLAN = StoredPlan({"steps": [{"id": "a", "skill": "one__read", "arguments": {"x": [1, 2.5, "é", None]}}]}, "a-model")
OTHER = StoredPlan({"steps": []}, "another-model")


@dataclass
class KeptPlans:
    """Implements `PlanStore` without bounds; remembers for how long plans were to be kept."""

    spoil: JsonObject | None = None
    """What is given instead of each plan."""
    plans: dict[str, StoredPlan] = field(default_factory=dict)
    ttls: list[float] = field(default_factory=list)

    async def get(self, key: str) -> StoredPlan | None:
        stored = self.plans.get(key)
        return stored if stored is None or self.spoil is None else StoredPlan(self.spoil, stored.planner)

    async def put(self, key: str, stored: StoredPlan, ttl_seconds: float) -> None:
        self.plans[key] = stored
        self.ttls.append(ttl_seconds)


@asynccontextmanager
async def memory() -> AsyncIterator[PlanStore]:
    yield MemoryPlanStore(10_000, ManualClock())


@asynccontextmanager
async def fake() -> AsyncIterator[PlanStore]:
    yield KeptPlans()


STORES: dict[str, Callable[[], AbstractAsyncContextManager[PlanStore]]] = {"memory": memory, "fake": fake}


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
