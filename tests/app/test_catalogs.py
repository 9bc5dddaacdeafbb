"""Catalogs: what the listed deployments make of one, and what stays in it for a while."""

from __future__ import annotations

import asyncio

import pytest

from agentmesh.errors import CatalogEmpty
from orchestrator_svc.adapters.memory_agent_store import MemoryAgentStore
from orchestrator_svc.app.catalogs import Catalogs
from orchestrator_svc.app.endpoints import Endpoints
from orchestrator_svc.app.ports.agent_store import Endpoint
from orchestrator_svc.app.ports.clock import Clock
from orchestrator_svc.core.card import Card
from orchestrator_svc.core.catalog import Catalog
from tests.app.listed import list_endpoint, unlist
from tests.core.test_deployments import argument_of, card
from tests.fakes.clock import ManualClock
from tests.fakes.virtual_time import VirtualClock, now, virtual_time

GRACE_SECONDS = 60.0

OLD = card(look="old")
NEW = card(version="2.0.0", look="new")


class Ground:
    def __init__(self, clock: Clock, grace_seconds: float = GRACE_SECONDS) -> None:
        self.clock = clock
        self.store = MemoryAgentStore(clock)
        self.endpoints = Endpoints(self.store, clock)
        self.catalogs = Catalogs(self.endpoints, clock, grace_seconds)

    async def list(self, address: str, card: Card = OLD, ttl_seconds: float = 3600) -> Endpoint:
        return await list_endpoint(self.store, self.clock, address, card, ttl_seconds)

    async def unlist(self, *endpoints: Endpoint) -> None:
        for endpoint in endpoints:
            await unlist(self.store, endpoint)

    def shown(self) -> dict[str, str]:
        """Of each skill, what it takes."""
        return {name: argument_of(skill) for name, skill in self.catalogs.known().skills.items()}


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def ground(clock: ManualClock) -> Ground:
    return Ground(clock)


async def test_without_any_skill_a_question_is_told_to_come_back(ground: Ground) -> None:
    with pytest.raises(CatalogEmpty) as caught:
        ground.catalogs.catalog()
    assert caught.value.transient
    assert caught.value.retry_after_seconds
    assert not ground.catalogs.known()


async def test_the_skills_of_all_agents_make_the_catalog(ground: Ground) -> None:
    await ground.list("host:1", card("one", look="item", count="item"))
    await ground.list("host:2", card("two"))
    assert list(ground.catalogs.catalog().skills) == ["one__count", "one__look", "two__look"]


async def test_the_highest_version_is_shown_and_a_lower_one_while_that_is_not_healthy(ground: Ground) -> None:
    await ground.list("host:1", OLD)
    new = await ground.list("host:2", NEW)
    assert ground.shown() == {"one__look": "new"}
    ground.endpoints.report_health(new, serving=False)
    assert ground.shown() == {"one__look": "old"}
    ground.endpoints.report_health(new, serving=True)
    assert ground.shown() == {"one__look": "new"}
    ground.endpoints.report_silence(new, silent=True)
    assert ground.shown() == {"one__look": "old"}
    await ground.unlist(new)
    assert ground.shown() == {"one__look": "old"}


async def test_a_skill_that_no_healthy_endpoint_has_stays_for_as_long_as_it_is_listed(
    ground: Ground, clock: ManualClock
) -> None:
    only = await ground.list("host:1", ttl_seconds=10_000)
    ground.endpoints.report_health(only, serving=False)
    clock.advance(9_999)
    assert ground.shown() == {"one__look": "old"}


async def test_a_skill_stays_for_the_grace_after_its_last_endpoint_went(ground: Ground, clock: ManualClock) -> None:
    await ground.unlist(await ground.list("host:1"))
    assert not ground.catalogs.known(), "nobody has seen it"
    endpoints = [await ground.list("host:1"), await ground.list("host:2", card("two"))]
    before = ground.catalogs.catalog()
    await ground.unlist(*endpoints)
    assert ground.catalogs.catalog().fingerprint == before.fingerprint
    clock.advance(GRACE_SECONDS - 0.1)
    assert len(ground.catalogs.catalog()) == 2
    clock.advance(0.1)
    with pytest.raises(CatalogEmpty):
        ground.catalogs.catalog()


async def test_each_skill_has_a_grace_of_its_own(ground: Ground, clock: ManualClock) -> None:
    one, two = await ground.list("host:1"), await ground.list("host:2", card("two"))
    ground.catalogs.known()
    await ground.unlist(one)
    ground.catalogs.known()
    clock.advance(GRACE_SECONDS / 2)
    await ground.unlist(two)
    assert len(ground.catalogs.known()) == 2
    clock.advance(GRACE_SECONDS / 2)
    assert list(ground.catalogs.known().skills) == ["two__look"]


async def test_an_agent_that_comes_back_within_the_grace_brings_what_it_has_now(
    ground: Ground, clock: ManualClock
) -> None:
    one = await ground.list("host:1")
    ground.catalogs.known()
    await ground.unlist(one)
    ground.catalogs.known()
    clock.advance(GRACE_SECONDS / 2)
    await ground.list("host:1", NEW)
    assert ground.shown() == {"one__look": "new"}
    clock.advance(GRACE_SECONDS)
    assert ground.shown() == {"one__look": "new"}


async def test_without_a_grace_a_skill_goes_with_its_last_endpoint(clock: ManualClock) -> None:
    ground = Ground(clock, grace_seconds=0)
    one = await ground.list("host:1")
    assert ground.catalogs.known()
    await ground.unlist(one)
    assert not ground.catalogs.known()


async def test_a_lease_that_ends_by_itself_is_seen(ground: Ground, clock: ManualClock) -> None:
    await ground.list("host:1", ttl_seconds=15)
    assert ground.catalogs.known()
    clock.advance(15)
    assert ground.catalogs.known(), "in its grace"
    clock.advance(GRACE_SECONDS)
    assert not ground.catalogs.known()


async def test_a_catalog_stays_the_same_object_while_its_skills_do(ground: Ground) -> None:
    one = await ground.list("host:1")
    first = ground.catalogs.catalog()
    two = await ground.list("host:2", card(look="old"))
    ground.endpoints.report_health(two, serving=False)
    assert ground.catalogs.catalog() is first
    await ground.unlist(one)
    ground.endpoints.report_health(two, serving=True)
    assert ground.catalogs.catalog() is first
    await ground.list("host:3", card("two"))
    assert ground.catalogs.catalog() is not first
    assert list(first.skills) == ["one__look"], "a run keeps the catalog that it began with"


async def test_endpoints_that_come_and_go_with_equal_cards_leave_the_fingerprint_as_it_is(ground: Ground) -> None:
    one = await ground.list("host:1")
    before = ground.catalogs.catalog().fingerprint
    await ground.unlist(one)
    assert ground.catalogs.catalog().fingerprint == before
    await ground.list("host:2", card(look="old"))
    assert ground.catalogs.catalog().fingerprint == before


async def test_whoever_waits_for_another_catalog_is_told_of_it_and_not_of_anything_else(ground: Ground) -> None:
    following = asyncio.create_task(ground.endpoints.follow())
    await ground.list("host:1")
    first = ground.catalogs.known()
    waiting = [asyncio.create_task(ground.catalogs.changed(first)) for _ in range(2)]
    await ground.list("host:2")
    await asyncio.wait(waiting, timeout=0)
    assert not any(task.done() for task in waiting)
    await ground.list("host:3", card("two"))
    await asyncio.gather(*waiting)
    await ground.catalogs.changed(first)
    following.cancel()
    await asyncio.wait([following])


@virtual_time
async def test_whoever_waits_for_another_catalog_is_told_when_a_grace_ends() -> None:
    ground = Ground(VirtualClock())
    following = asyncio.create_task(ground.endpoints.follow())
    await ground.list("host:1", ttl_seconds=15)
    await ground.catalogs.changed(ground.catalogs.known())
    assert not ground.catalogs.known()
    assert now() == 15 + GRACE_SECONDS
    following.cancel()
    await asyncio.wait([following])


async def test_an_empty_catalog_is_another_than_a_full_one(ground: Ground) -> None:
    nothing = ground.catalogs.known()
    await ground.list("host:1")
    await ground.catalogs.changed(nothing)
    await ground.catalogs.changed(Catalog.of(()))
