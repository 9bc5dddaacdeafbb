"""Who is in the mesh: leases over the memory store, held by a clock that moves only when told."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from agentmesh.errors import (
    AddressNotAllowed,
    AddressUnreachable,
    CardConflict,
    CardInvalid,
    CardMismatch,
    LeaseNotFound,
    ViolationReason,
)
from agentmesh.jsonvalues import JsonObject
from orchestrator_svc.adapters.memory_agent_store import MemoryAgentStore
from orchestrator_svc.adapters.system_clock import SystemClock
from orchestrator_svc.app.addresses import EVERY_ADDRESS, AllowedAddresses
from orchestrator_svc.app.membership import DEFAULT_TTL_SECONDS, Membership
from orchestrator_svc.app.ports.agent_store import Listing, Registration
from orchestrator_svc.app.ports.clock import Clock
from tests.fakes.agent_dialer import ServedAgents
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


class Ground:
    """A membership, and the agents that it finds when it calls back."""

    def __init__(self, clock: Clock, allowed: AllowedAddresses = EVERY_ADDRESS) -> None:
        self.agents = ServedAgents()
        self.membership = Membership(MemoryAgentStore(clock), clock, self.agents, allowed)

    async def register(self, card: JsonObject, address: str, *, ttl_seconds: float | None = None) -> Registration:
        """Serve there, then register, as agents do."""
        self.agents.serve(address, card)
        return await self.membership.register(card, address, ttl_seconds)

    def listed(self) -> list[tuple[str, str]]:
        """Names and addresses."""
        return [(one.card.name, one.address) for one in self.membership.listing().registrations]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def ground(clock: ManualClock) -> Ground:
    return Ground(clock)


def addresses(membership: Membership) -> set[str]:
    return set(membership.listing().by_address)


def addresses_of(membership: Membership, agent: str) -> list[str]:
    return [one.address for one in membership.listing().registrations if one.card.name == agent]


def skills(membership: Membership) -> list[str]:
    """Ids, of every endpoint."""
    return [skill.id for one in membership.listing().registrations for skill in one.card.skills]


async def has_changed(membership: Membership, since: Listing) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        await membership.changed_since(since.revision)


async def test_who_has_registered_is_listed_with_its_skills(ground: Ground) -> None:
    await ground.register(card("one", "read", "write"), "host:1")
    await ground.register(card("two"), "host:2")
    assert skills(ground.membership) == ["one__read", "one__write", "two__work"]
    assert addresses(ground.membership) == {"host:1", "host:2"}
    assert addresses_of(ground.membership, "two") == ["host:2"]
    assert addresses_of(ground.membership, "three") == []


async def test_a_registration_says_when_it_ends(ground: Ground, clock: ManualClock) -> None:
    usual = await ground.register(card("one"), "host:1")
    brief = await ground.register(card("two"), "host:2", ttl_seconds=1.5)
    assert usual.expires_at == clock.now() + timedelta(seconds=DEFAULT_TTL_SECONDS)
    assert brief.expires_at == clock.now() + timedelta(seconds=1.5)


async def test_every_lease_has_an_id_that_cannot_be_guessed(ground: Ground) -> None:
    leases = [(await ground.register(card("one"), "host:1")).lease_id for _ in range(50)]
    assert len(set(leases)) == 50
    assert all(len(lease) == 32 and int(lease, 16) >= 0 for lease in leases)


async def test_an_agent_that_sends_heartbeats_stays(ground: Ground, clock: ManualClock) -> None:
    registration = await ground.register(card("one"), "host:1")
    for _ in range(10):
        clock.advance(DEFAULT_TTL_SECONDS - 0.1)
        renewed = await ground.membership.heartbeat(registration.lease_id)
        assert renewed.expires_at == clock.now() + timedelta(seconds=DEFAULT_TTL_SECONDS)
    assert addresses_of(ground.membership, "one") == ["host:1"]


async def test_an_agent_that_falls_silent_is_not_listed_any_more(ground: Ground, clock: ManualClock) -> None:
    await ground.register(card("one"), "host:1")
    clock.advance(1.0)
    await ground.register(card("two"), "host:2")
    clock.advance(DEFAULT_TTL_SECONDS - 1.0)
    assert skills(ground.membership) == ["two__work"]
    assert addresses(ground.membership) == {"host:2"}
    assert addresses_of(ground.membership, "one") == []


async def test_a_heartbeat_after_the_end_is_told_to_register_again(ground: Ground, clock: ManualClock) -> None:
    registration = await ground.register(card("one"), "host:1")
    clock.advance(DEFAULT_TTL_SECONDS)
    with pytest.raises(LeaseNotFound):
        await ground.membership.heartbeat(registration.lease_id)
    assert ground.membership.listing().registrations == ()


async def test_an_agent_may_have_many_endpoints(ground: Ground) -> None:
    first = await ground.register(card("one"), "host:1")
    await ground.register(card("one"), "host:2")
    assert addresses(ground.membership) == {"host:1", "host:2"}
    assert addresses_of(ground.membership, "one") == ["host:1", "host:2"]
    await ground.membership.deregister(first.lease_id)
    assert addresses(ground.membership) == {"host:2"}


async def test_the_heartbeat_of_a_replaced_endpoint_is_told_so(ground: Ground) -> None:
    earlier = await ground.register(card("one", version="1.0.0"), "host:1")
    later = await ground.register(card("one", "read", version="2.0.0"), "host:1")
    with pytest.raises(LeaseNotFound):
        await ground.membership.heartbeat(earlier.lease_id)
    await ground.membership.heartbeat(later.lease_id)
    assert addresses(ground.membership) == {"host:1"}
    assert skills(ground.membership) == ["one__read"]


async def test_a_replaced_endpoint_that_deregisters_takes_nothing_from_its_successor(ground: Ground) -> None:
    earlier = await ground.register(card("one"), "host:1")
    await ground.register(card("one"), "host:1")
    await ground.membership.deregister(earlier.lease_id)
    assert addresses_of(ground.membership, "one") == ["host:1"]


async def test_an_agent_that_comes_back_at_its_address_is_another_endpoint(ground: Ground) -> None:
    await ground.register(card("one"), "host:1")
    (before,) = ground.membership.listing().registrations
    await ground.register(card("one"), "host:1")
    (now,) = ground.membership.listing().registrations
    assert now.address == before.address
    assert now.endpoint != before.endpoint


async def test_deregistering_is_fine_however_often(ground: Ground) -> None:
    registration = await ground.register(card("one"), "host:1")
    await ground.membership.deregister(registration.lease_id)
    await ground.membership.deregister(registration.lease_id)
    await ground.membership.deregister("0" * 32)
    assert ground.membership.listing().registrations == ()


async def test_a_card_that_breaks_rules_is_refused_with_all_of_them_and_not_listed(ground: Ground) -> None:
    broken = card("one", "read", "read")
    skills = broken["skills"]
    assert isinstance(skills, list)
    assert isinstance(skills[0], dict)
    skills[0]["input_schema"] = {"type": "array"}
    with pytest.raises(CardInvalid) as caught:
        await ground.register(broken, "host:1")
    assert {(violation.path, violation.reason) for violation in caught.value.violations} == {
        ("card.skills[0].input_schema", ViolationReason.SCHEMA_INVALID),
        ("card.skills[1].name", ViolationReason.SKILL_NAME),
    }
    assert ground.membership.listing().registrations == ()


async def test_who_waits_for_a_change_is_told_of_a_registration(ground: Ground) -> None:
    waiting = asyncio.create_task(has_changed(ground.membership, ground.membership.listing()))
    await asyncio.wait({waiting}, timeout=0)
    assert not waiting.done()
    await ground.register(card("one"), "host:1")
    await waiting


async def test_who_waits_for_a_change_is_told_when_an_agent_leaves(ground: Ground) -> None:
    registration = await ground.register(card("one"), "host:1")
    waiting = asyncio.create_task(has_changed(ground.membership, ground.membership.listing()))
    await asyncio.wait({waiting}, timeout=0)
    assert not waiting.done()
    await ground.membership.deregister(registration.lease_id)
    await waiting


async def test_who_waits_for_a_change_is_told_when_a_lease_ends_by_itself() -> None:
    ground = Ground(SystemClock())
    await ground.register(card("one"), "host:1", ttl_seconds=0.05)
    await has_changed(ground.membership, ground.membership.listing())
    assert ground.membership.listing().registrations == ()


async def test_a_change_that_comes_before_the_waiting_is_not_lost(ground: Ground) -> None:
    before = ground.membership.listing()
    await ground.register(card("one"), "host:1")
    await has_changed(ground.membership, before)


async def test_a_heartbeat_is_no_change(ground: Ground) -> None:
    registration = await ground.register(card("one"), "host:1")
    waiting = asyncio.create_task(has_changed(ground.membership, ground.membership.listing()))
    await asyncio.wait({waiting}, timeout=0)
    await ground.membership.heartbeat(registration.lease_id)
    await asyncio.wait({waiting}, timeout=0)
    assert not waiting.done()
    waiting.cancel()
    await asyncio.wait({waiting})


async def test_an_address_is_called_back_before_it_is_listed(ground: Ground) -> None:
    await ground.register(card("one"), "host:1")
    assert ground.agents.dialled == ["host:1"]
    with pytest.raises(AddressUnreachable):
        await ground.membership.register(card("two"), "host:2")
    assert ground.listed() == [("one", "host:1")]


async def test_an_agent_that_does_not_serve_yet_may_try_again(ground: Ground) -> None:
    ground.agents.serve("host:1", card("one"))
    ground.agents.say_not_serving("host:1")
    with pytest.raises(AddressUnreachable) as caught:
        await ground.membership.register(card("one"), "host:1")
    assert caught.value.transient
    assert ground.listed() == []
    await ground.register(card("one"), "host:1")
    assert ground.listed() == [("one", "host:1")]


@pytest.mark.parametrize(
    ("there", "said"),
    [
        (card("two"), "`two` 1.0.0 serves at host:1, and not `one` 1.0.0"),
        (card("one", version="2.0.0"), "`one` 2.0.0 serves at host:1, and not `one` 1.0.0"),
        (card("one", "other"), "`one` 1.0.0 serves at host:1, and describes itself otherwise: card.skills"),
    ],
)
async def test_an_address_where_another_card_is_served_is_refused(ground: Ground, there: JsonObject, said: str) -> None:
    listed = await ground.register(there, "host:1")
    with pytest.raises(CardMismatch, match=said):
        await ground.membership.register(card("one"), "host:1")
    assert ground.membership.listing().registrations == (listed,)
    await ground.membership.heartbeat(listed.lease_id)


async def test_an_address_that_is_not_allowed_is_not_even_called(clock: ManualClock) -> None:
    ground = Ground(clock, AllowedAddresses.of(["10.0.0.0/8"]))
    with pytest.raises(AddressNotAllowed) as caught:
        await ground.register(card("one"), "192.168.0.1:80")
    assert [(one.path, one.reason) for one in caught.value.violations] == [
        ("address", ViolationReason.ADDRESS_NOT_ALLOWED)
    ]
    assert ground.agents.dialled == []
    assert ground.listed() == []
    await ground.register(card("one"), "10.0.0.1:80")


def changed(field: str, value: JsonObject | str) -> JsonObject:
    """The card of `one` with two skills, the second of which differs in a field."""
    made = card("one", "read", "write")
    skills = made["skills"]
    assert isinstance(skills, list)
    assert isinstance(skills[1], dict)
    skills[1][field] = value
    return made


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("input_schema", {"type": "object", "properties": {"x": {"type": "string"}}}),
        ("output_schema", {"type": "object", "properties": {"x": {"type": "string"}}}),
        ("effect", "SIDE_EFFECT"),
    ],
)
async def test_another_contract_under_the_same_version_is_refused(
    ground: Ground, field: str, value: JsonObject | str
) -> None:
    listed = await ground.register(card("one", "read", "write"), "host:1")
    with pytest.raises(CardConflict) as caught:
        await ground.register(changed(field, value), "host:2")
    assert [(one.path, one.reason) for one in caught.value.violations] == [
        (f"card.skills[1].{field}", ViolationReason.SKILL_CHANGED)
    ]
    assert ground.membership.listing().registrations == (listed,)


async def test_another_contract_needs_another_version(ground: Ground) -> None:
    await ground.register(card("one", "read", "write"), "host:1")
    await ground.register({**changed("effect", "SIDE_EFFECT"), "version": "1.0.1"}, "host:2")
    assert ground.listed() == [("one", "host:1"), ("one", "host:2")]


async def test_texts_may_change_under_the_same_version_and_skills_may_come(ground: Ground) -> None:
    await ground.register(card("one", "read", "write"), "host:1")
    await ground.register(changed("description", "says it better"), "host:2")
    await ground.register(card("one", "read", "write", "more"), "host:3")
    assert len(ground.listed()) == 3


async def test_an_agent_that_came_back_at_its_address_may_have_another_contract(ground: Ground) -> None:
    """What was listed there is gone: the call back has shown it."""
    await ground.register(card("one", "read", "write"), "host:1")
    await ground.register(changed("effect", "SIDE_EFFECT"), "host:1")
    assert ground.listed() == [("one", "host:1")]


async def test_a_version_is_free_again_when_its_last_endpoint_has_left(ground: Ground, clock: ManualClock) -> None:
    await ground.register(card("one", "read", "write"), "host:1")
    clock.advance(DEFAULT_TTL_SECONDS)
    await ground.register(changed("effect", "SIDE_EFFECT"), "host:2")
    assert ground.listed() == [("one", "host:2")]


class Crowded(MemoryAgentStore):
    """A store that another orchestrator writes to just before this one."""

    def __init__(self, clock: Clock, rival: Registration) -> None:
        super().__init__(clock)
        self._rival = rival

    async def put(self, registration: Registration) -> Registration:
        await super().put(self._rival)
        return await super().put(registration)


@pytest.mark.parametrize(("head_start_seconds", "stays"), [(0.001, ["host:1"]), (-0.001, ["host:1", "host:2"])])
async def test_of_two_contracts_that_come_at_once_the_first_stays(
    clock: ManualClock, head_start_seconds: float, stays: list[str]
) -> None:
    """The other orchestrator decides in the same way, so one of the two gives up, and never both."""
    rival = await Ground(clock).register(card("one", "read", "write"), "host:1")
    earlier = rival.registered_at - timedelta(seconds=head_start_seconds)
    agents = ServedAgents()
    membership = Membership(Crowded(clock, replace(rival, registered_at=earlier)), clock, agents)
    agents.serve("host:2", changed("effect", "SIDE_EFFECT"))
    try:
        await membership.register(changed("effect", "SIDE_EFFECT"), "host:2")
        refused = False
    except CardConflict:
        refused = True
    assert refused == (stays == ["host:1"])
    assert [one.address for one in membership.listing().registrations] == stays
