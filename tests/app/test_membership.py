"""Who is in the mesh: leases over the memory store, held by a clock that moves only when told."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from agentmesh.errors import CardInvalid, CatalogEmpty, LeaseNotFound, ViolationReason
from agentmesh.jsonvalues import JsonObject
from orchestrator_svc.adapters.memory_agent_store import MemoryAgentStore
from orchestrator_svc.adapters.system_clock import SystemClock
from orchestrator_svc.app.membership import DEFAULT_TTL_SECONDS, Membership
from orchestrator_svc.app.ports.clock import Clock
from tests.fakes.clock import ManualClock

PATIENCE_SECONDS = 30.0
"""Only a test that fails waits so long."""


def card(name: str, *skills: str, version: str = "1.0.0") -> JsonObject:
    described: list[JsonObject] = [
        {
            "name": skill,
            "description": f"does {skill}",
            "input_schema": {},
            "output_schema": {},
            "effect": "READ_ONLY",
            "tags": [],
            "examples": [],
            "timeout_seconds": None,
            "reports_progress": False,
        }
        for skill in skills or ("work",)
    ]
    return {"name": name, "version": version, "description": "", "skills": list(described)}


def membership_with(clock: Clock) -> Membership:
    return Membership(MemoryAgentStore(clock), clock)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def membership(clock: ManualClock) -> Membership:
    return membership_with(clock)


def addresses(membership: Membership) -> set[str]:
    return {endpoint.address for endpoint in membership.endpoints()}


def address_of(membership: Membership, agent: str) -> str | None:
    endpoint = membership.endpoint_of(agent)
    assert endpoint is None or endpoint in membership.endpoints()
    return endpoint.address if endpoint else None


async def has_changed(membership: Membership) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        await membership.changed()


async def test_skills_of_every_listed_agent_make_the_catalog(membership: Membership) -> None:
    await membership.register(card("one", "read", "write"), "host:1")
    await membership.register(card("two"), "host:2")
    assert list(membership.catalog().skills) == ["one__read", "one__write", "two__work"]
    assert addresses(membership) == {"host:1", "host:2"}
    assert address_of(membership, "two") == "host:2"
    assert membership.endpoint_of("three") is None


async def test_a_registration_says_when_it_ends(membership: Membership, clock: ManualClock) -> None:
    usual = await membership.register(card("one"), "host:1")
    brief = await membership.register(card("two"), "host:2", ttl_seconds=1.5)
    assert usual.expires_at == clock.now() + timedelta(seconds=DEFAULT_TTL_SECONDS)
    assert brief.expires_at == clock.now() + timedelta(seconds=1.5)


async def test_every_lease_has_an_id_that_cannot_be_guessed(membership: Membership) -> None:
    leases = [(await membership.register(card("one"), "host:1")).lease_id for _ in range(50)]
    assert len(set(leases)) == 50
    assert all(len(lease) == 32 and int(lease, 16) >= 0 for lease in leases)


async def test_an_agent_that_sends_heartbeats_stays(membership: Membership, clock: ManualClock) -> None:
    registration = await membership.register(card("one"), "host:1")
    for _ in range(10):
        clock.advance(DEFAULT_TTL_SECONDS - 0.1)
        renewed = await membership.heartbeat(registration.lease_id)
        assert renewed.expires_at == clock.now() + timedelta(seconds=DEFAULT_TTL_SECONDS)
    assert address_of(membership, "one") == "host:1"


async def test_an_agent_that_falls_silent_leaves_catalog_and_addresses(
    membership: Membership, clock: ManualClock
) -> None:
    await membership.register(card("one"), "host:1")
    clock.advance(1.0)
    await membership.register(card("two"), "host:2")
    clock.advance(DEFAULT_TTL_SECONDS - 1.0)
    assert list(membership.catalog().skills) == ["two__work"]
    assert addresses(membership) == {"host:2"}
    assert membership.endpoint_of("one") is None


async def test_a_heartbeat_after_the_end_is_told_to_register_again(membership: Membership, clock: ManualClock) -> None:
    registration = await membership.register(card("one"), "host:1")
    clock.advance(DEFAULT_TTL_SECONDS)
    with pytest.raises(LeaseNotFound):
        await membership.heartbeat(registration.lease_id)
    assert not membership.known_catalog()


async def test_an_agent_may_have_many_endpoints(membership: Membership) -> None:
    first = await membership.register(card("one"), "host:1")
    await membership.register(card("one"), "host:2")
    assert addresses(membership) == {"host:1", "host:2"}
    assert list(membership.catalog().skills) == ["one__work"]
    await membership.deregister(first.lease_id)
    assert addresses(membership) == {"host:2"}


async def test_the_heartbeat_of_a_replaced_endpoint_is_told_so(membership: Membership) -> None:
    earlier = await membership.register(card("one", version="1.0.0"), "host:1")
    later = await membership.register(card("one", "read", version="2.0.0"), "host:1")
    with pytest.raises(LeaseNotFound):
        await membership.heartbeat(earlier.lease_id)
    await membership.heartbeat(later.lease_id)
    assert addresses(membership) == {"host:1"}
    assert list(membership.catalog().skills) == ["one__read"]


async def test_a_replaced_endpoint_that_deregisters_takes_nothing_from_its_successor(membership: Membership) -> None:
    earlier = await membership.register(card("one"), "host:1")
    await membership.register(card("one"), "host:1")
    await membership.deregister(earlier.lease_id)
    assert address_of(membership, "one") == "host:1"


async def test_an_agent_that_comes_back_at_its_address_is_another_endpoint(membership: Membership) -> None:
    await membership.register(card("one"), "host:1")
    before = membership.endpoint_of("one")
    await membership.register(card("one"), "host:1")
    assert membership.endpoint_of("one") != before
    assert membership.endpoints() == {membership.endpoint_of("one")}


async def test_deregistering_is_fine_however_often(membership: Membership) -> None:
    registration = await membership.register(card("one"), "host:1")
    await membership.deregister(registration.lease_id)
    await membership.deregister(registration.lease_id)
    await membership.deregister("0" * 32)
    assert membership.listing().registrations == ()


async def test_a_card_that_breaks_rules_is_refused_with_all_of_them_and_not_listed(membership: Membership) -> None:
    broken = card("one", "read", "read")
    skills = broken["skills"]
    assert isinstance(skills, list)
    assert isinstance(skills[0], dict)
    skills[0]["input_schema"] = {"type": "array"}
    with pytest.raises(CardInvalid) as caught:
        await membership.register(broken, "host:1")
    assert {(violation.path, violation.reason) for violation in caught.value.violations} == {
        ("card.skills[0].input_schema", ViolationReason.SCHEMA_INVALID),
        ("card.skills[1].name", ViolationReason.SKILL_NAME),
    }
    assert membership.listing().registrations == ()


async def test_without_an_agent_a_question_is_told_to_come_back(membership: Membership) -> None:
    with pytest.raises(CatalogEmpty) as caught:
        membership.catalog()
    assert caught.value.transient
    assert caught.value.retry_after_seconds
    assert len(membership.known_catalog()) == 0


async def test_the_catalog_is_made_anew_only_when_the_listing_changes(
    membership: Membership, clock: ManualClock
) -> None:
    registration = await membership.register(card("one"), "host:1")
    first = membership.catalog()
    clock.advance(1.0)
    await membership.heartbeat(registration.lease_id)
    assert membership.catalog() is first
    await membership.register(card("two"), "host:2")
    second = membership.catalog()
    assert second is not first
    assert membership.catalog() is second
    assert list(first.skills) == ["one__work"], "a run keeps the catalog that it began with"


async def test_an_endpoint_that_moves_leaves_the_fingerprint_as_it_is(membership: Membership) -> None:
    await membership.register(card("one"), "host:1")
    before = membership.catalog().fingerprint
    await membership.register(card("one"), "host:2")
    assert membership.catalog().fingerprint == before


async def test_who_waits_for_a_change_is_told_of_a_registration(membership: Membership) -> None:
    waiting = asyncio.create_task(has_changed(membership))
    await asyncio.wait({waiting}, timeout=0)
    assert not waiting.done()
    await membership.register(card("one"), "host:1")
    await waiting


async def test_who_waits_for_a_change_is_told_when_an_agent_leaves(membership: Membership) -> None:
    registration = await membership.register(card("one"), "host:1")
    await has_changed(membership)
    waiting = asyncio.create_task(has_changed(membership))
    await asyncio.wait({waiting}, timeout=0)
    assert not waiting.done()
    await membership.deregister(registration.lease_id)
    await waiting


async def test_who_waits_for_a_change_is_told_when_a_lease_ends_by_itself() -> None:
    membership = membership_with(SystemClock())
    await membership.register(card("one"), "host:1", ttl_seconds=0.05)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while membership.known_catalog():
            await membership.changed()
    assert membership.listing().registrations == ()


async def test_a_change_that_comes_before_the_waiting_is_not_lost(membership: Membership) -> None:
    await membership.register(card("one"), "host:1")
    await has_changed(membership)


async def test_a_heartbeat_is_no_change(membership: Membership) -> None:
    registration = await membership.register(card("one"), "host:1")
    await has_changed(membership)
    waiting = asyncio.create_task(has_changed(membership))
    await asyncio.wait({waiting}, timeout=0)
    await membership.heartbeat(registration.lease_id)
    await asyncio.wait({waiting}, timeout=0)
    assert not waiting.done()
    waiting.cancel()
    await asyncio.wait({waiting})


async def test_a_reader_of_the_listings_gets_the_present_one_and_then_the_latest(membership: Membership) -> None:
    listings = membership.listings()
    assert (await anext(listings)).registrations == ()
    for port in range(1, 6):
        await membership.register(card("one"), f"host:{port}")
    assert len((await anext(listings)).registrations) == 5
    await membership.register(card("two"), "host:6")
    assert len((await anext(listings)).registrations) == 6
    await listings.aclose()
