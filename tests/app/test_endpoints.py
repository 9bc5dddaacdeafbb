"""Endpoints: who is picked, who is left out and for how long; on a clock that is told to move, with seeded chance."""

from __future__ import annotations

import asyncio
from collections import Counter
from random import Random

import pytest

from agentmesh.errors import NoEndpoint
from orchestrator_svc.adapters.memory_agent_store import MemoryAgentStore
from orchestrator_svc.app.endpoint_record import EJECT_SECONDS, FAILURES_TO_EJECT, MAX_EJECT_SECONDS
from orchestrator_svc.app.endpoint_status import EndpointState
from orchestrator_svc.app.endpoints import Endpoints
from orchestrator_svc.app.ports.agent_store import Endpoint
from orchestrator_svc.core.card import Card
from orchestrator_svc.core.catalog import Skill
from tests.app.listed import list_endpoint, unlist
from tests.core.test_deployments import card
from tests.fakes.clock import ManualClock
from tests.fakes.virtual_time import VirtualClock, now, virtual_time

NEVER_SECONDS = 600.0


class Ground:
    """Endpoints over a memory store."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.store = MemoryAgentStore(self.clock)
        self.endpoints = Endpoints(self.store, self.clock, Random(7).sample)  # noqa: S311 - chance, no secret

    async def list(self, *addresses: str, card: Card | None = None) -> list[Endpoint]:
        return [await list_endpoint(self.store, self.clock, address, card or CARD) for address in addresses]

    def picked(self, times: int = 60, skill: Skill | None = None) -> Counter[str]:
        """How often each address is picked when every call ends before the next begins."""
        found = [self.endpoints.pick(skill or LOOK) for _ in range(times)]
        return Counter(one.address for one in found if one is not None)

    def fail(self, endpoint: Endpoint, times: int = FAILURES_TO_EJECT) -> None:
        for _ in range(times):
            self.endpoints.failed(endpoint, LOOK)


CARD = card()
(LOOK,) = CARD.skills


@pytest.fixture
def ground() -> Ground:
    return Ground()


async def test_without_an_endpoint_there_is_nothing_to_pick(ground: Ground) -> None:
    assert ground.endpoints.pick(LOOK) is None


async def test_an_endpoint_is_picked_as_soon_as_it_is_listed_and_not_when_it_has_left(ground: Ground) -> None:
    (one,) = await ground.list("host:1")
    assert ground.endpoints.pick(LOOK) == one
    await unlist(ground.store, one)
    assert ground.endpoints.pick(LOOK) is None


@pytest.mark.parametrize("count", [2, 3, 10])
async def test_calls_are_spread_evenly(ground: Ground, count: int) -> None:
    await ground.list(*(f"host:{number}" for number in range(count)))
    picked = ground.picked(count * 60)
    assert len(picked) == count
    assert all(48 <= times <= 72 for times in picked.values()), picked


async def test_of_two_the_one_with_fewer_calls_in_flight_is_picked(ground: Ground) -> None:
    busy, idle = await ground.list("host:1", "host:2")
    ground.endpoints.began(busy)
    assert ground.picked(20) == {"host:2": 20}
    ground.endpoints.began(idle)
    ground.endpoints.began(idle)
    assert ground.picked(20) == {"host:1": 20}


async def test_a_call_that_ended_is_not_in_flight(ground: Ground) -> None:
    one, two = await ground.list("host:1", "host:2")
    ground.endpoints.began(one)
    ground.endpoints.began(two)
    ground.endpoints.ended(one)
    assert ground.picked(20) == {"host:1": 20}


async def test_the_busiest_of_many_is_never_picked(ground: Ground) -> None:
    many = await ground.list(*(f"host:{number}" for number in range(5)))
    ground.endpoints.began(many[3])
    assert "host:3" not in ground.picked(200)


async def test_a_new_endpoint_gets_its_share_and_no_more(ground: Ground) -> None:
    await ground.list("host:1", "host:2")
    ground.picked(1000)
    await ground.list("host:3")
    assert 12 <= ground.picked(60)["host:3"] <= 28


async def test_a_retry_goes_to_an_endpoint_that_was_not_tried(ground: Ground) -> None:
    await ground.list("host:1", "host:2", "host:3")
    for _ in range(20):
        found = ground.endpoints.pick(LOOK, {"host:1", "host:3"})
        assert found is not None
        assert found.address == "host:2"


async def test_where_all_were_tried_a_retry_goes_to_one_of_them(ground: Ground) -> None:
    await ground.list("host:1", "host:2")
    assert ground.endpoints.pick(LOOK, {"host:1", "host:2"}) is not None


async def test_an_endpoint_that_says_it_does_not_serve_is_not_picked_until_it_does(ground: Ground) -> None:
    one, two = await ground.list("host:1", "host:2")
    ground.endpoints.report_health(one, serving=False)
    assert ground.picked(20) == {"host:2": 20}
    ground.endpoints.report_health(two, serving=False)
    assert ground.endpoints.pick(LOOK) is None
    ground.endpoints.report_health(one, serving=True)
    assert ground.picked(20) == {"host:1": 20}


async def test_a_silent_endpoint_is_picked_only_where_there_is_no_other(ground: Ground) -> None:
    one, two = await ground.list("host:1", "host:2")
    ground.endpoints.report_silence(one, silent=True)
    assert ground.picked(20) == {"host:2": 20}
    ground.endpoints.report_health(two, serving=False)
    assert ground.picked(20) == {"host:1": 20}
    ground.endpoints.report_silence(one, silent=False)
    ground.endpoints.report_health(two, serving=True)
    assert set(ground.picked(20)) == {"host:1", "host:2"}


async def test_failures_in_a_row_eject_an_endpoint_for_a_while(ground: Ground) -> None:
    one, _ = await ground.list("host:1", "host:2")
    ground.fail(one, FAILURES_TO_EJECT - 1)
    assert "host:1" in ground.picked(20)
    ground.fail(one, 1)
    assert ground.picked(20) == {"host:2": 20}
    ground.clock.advance(EJECT_SECONDS - 0.1)
    assert ground.picked(20) == {"host:2": 20}
    ground.clock.advance(0.1)
    assert "host:1" in ground.picked(20)


async def test_failures_with_an_answer_between_them_eject_nobody(ground: Ground) -> None:
    one, _ = await ground.list("host:1", "host:2")
    for _ in range(3):
        ground.fail(one, FAILURES_TO_EJECT - 1)
        ground.endpoints.answered(one)
    assert "host:1" in ground.picked(20)


async def test_every_further_ejection_is_twice_as_long_up_to_a_maximum(ground: Ground) -> None:
    one, _ = await ground.list("host:1", "host:2")
    for seconds in (10, 20, 40, 80, 160, *[MAX_EJECT_SECONDS] * 1100):
        ground.fail(one)
        ground.clock.advance(seconds - 0.5)
        assert ground.picked(4) == {"host:2": 4}
        ground.clock.advance(0.5)
        assert "host:1" in ground.picked(4)


async def test_an_answer_ends_an_ejection_and_what_led_to_it(ground: Ground) -> None:
    one, _ = await ground.list("host:1", "host:2")
    ground.fail(one)
    ground.clock.advance(EJECT_SECONDS)
    ground.fail(one)
    ground.endpoints.answered(one)
    assert "host:1" in ground.picked(20)
    ground.fail(one)
    ground.clock.advance(EJECT_SECONDS)
    assert "host:1" in ground.picked(20), "as if it were the first time"


async def test_the_last_usable_endpoint_of_a_skill_is_never_ejected(ground: Ground) -> None:
    one, two = await ground.list("host:1", "host:2")
    ground.fail(one)
    ground.fail(two, 10 * FAILURES_TO_EJECT)
    assert ground.picked(20) == {"host:2": 20}
    await unlist(ground.store, one)
    ground.fail(two, 10 * FAILURES_TO_EJECT)
    assert ground.picked(20) == {"host:2": 20}


async def test_an_ejected_endpoint_is_picked_where_no_other_serves(ground: Ground) -> None:
    one, two = await ground.list("host:1", "host:2")
    ground.fail(one)
    ground.endpoints.report_health(two, serving=False)
    assert ground.picked(20) == {"host:1": 20}


async def test_an_endpoint_that_comes_back_under_a_new_lease_starts_afresh(ground: Ground) -> None:
    one, _ = await ground.list("host:1", "host:2")
    ground.fail(one)
    ground.endpoints.report_health(one, serving=False)
    (again,) = await ground.list("host:1")
    assert again != one
    ground.endpoints.report_health(one, serving=False)
    assert "host:1" in ground.picked(20)


async def test_the_state_of_others_outlives_a_change_of_the_listing(ground: Ground) -> None:
    one, _ = await ground.list("host:1", "host:2")
    ground.fail(one)
    ground.endpoints.began(one)
    await ground.list("host:3")
    assert "host:1" not in ground.picked(60)


async def test_what_is_reported_of_an_endpoint_that_has_left_changes_nothing(ground: Ground) -> None:
    (one,) = await ground.list("host:1")
    ground.endpoints.began(one)
    await unlist(ground.store, one)
    assert ground.endpoints.pick(LOOK) is None
    before = ground.endpoints.revision
    ground.endpoints.ended(one)
    ground.endpoints.answered(one)
    ground.fail(one)
    ground.endpoints.report_health(one, serving=False)
    ground.endpoints.report_silence(one, silent=True)
    assert ground.endpoints.revision == before


async def test_a_skill_goes_only_where_its_schemas_and_effect_are_the_same(ground: Ground) -> None:
    changed = card(version="2.0.0", look="name")
    await ground.list("host:1", "host:2")
    await ground.list("host:3", card=changed)
    assert set(ground.picked(40)) == {"host:1", "host:2"}
    assert ground.picked(40, changed.skills[0]) == {"host:3": 40}


async def test_versions_with_the_same_contract_share_the_calls(ground: Ground) -> None:
    await ground.list("host:1")
    await ground.list("host:2", card=card(version="2.0.0", text="in other words"))
    assert set(ground.picked(40)) == {"host:1", "host:2"}


async def test_the_revision_grows_with_the_listing_and_with_health_and_with_nothing_else(ground: Ground) -> None:
    (one,) = await ground.list("host:1")
    first = ground.endpoints.revision
    ground.endpoints.began(one)
    ground.endpoints.ended(one)
    ground.endpoints.answered(one)
    ground.fail(one)
    ground.endpoints.report_health(one, serving=True)
    ground.endpoints.report_silence(one, silent=False)
    assert ground.endpoints.revision == first
    ground.endpoints.report_health(one, serving=False)
    assert ground.endpoints.revision > first
    assert not ground.endpoints.is_healthy(one)


async def test_a_call_that_meets_no_endpoint_waits_for_one(ground: Ground) -> None:
    following = asyncio.create_task(ground.endpoints.follow())
    waiting = asyncio.create_task(ground.endpoints.wait_for(LOOK, (), NEVER_SECONDS))
    await asyncio.wait({waiting}, timeout=0)
    assert not waiting.done()
    (one,) = await ground.list("host:1")
    assert await waiting == one
    following.cancel()
    await asyncio.wait({following})


async def test_it_waits_also_for_one_that_does_not_serve_yet(ground: Ground) -> None:
    (one,) = await ground.list("host:1")
    ground.endpoints.report_health(one, serving=False)
    waiting = asyncio.create_task(ground.endpoints.wait_for(LOOK, (), NEVER_SECONDS))
    await asyncio.wait({waiting}, timeout=0)
    ground.endpoints.report_health(one, serving=True)
    assert await waiting == one


@virtual_time
async def test_after_its_time_there_is_no_endpoint_and_the_text_says_why() -> None:
    clock = VirtualClock()
    store = MemoryAgentStore(clock)
    endpoints = Endpoints(store, clock)
    with pytest.raises(NoEndpoint, match="no endpoint of `one` is known just now"):
        await endpoints.wait_for(LOOK, (), 3.0)
    assert now() == 3.0
    one = await list_endpoint(store, clock, "host:1", CARD)
    endpoints.report_health(one, serving=False)
    with pytest.raises(NoEndpoint, match=r"none of the endpoints of `one` serves just now \(1 listed\)"):
        await endpoints.wait_for(LOOK, (), 2.0)
    with pytest.raises(NoEndpoint, match="no endpoint of `one` has `look` just now as it was planned with"):
        await endpoints.wait_for(card(look="name").skills[0], (), 0.0)
    assert now() == 5.0


async def test_how_each_endpoint_does_can_be_looked_at(ground: Ground) -> None:
    away, silent, failing, busy = await ground.list("host:1", "host:2", "host:3", "host:4")
    ground.endpoints.report_health(away, serving=False)
    ground.endpoints.report_silence(silent, silent=True)
    ground.fail(failing)
    ground.endpoints.began(busy)
    found = ground.endpoints.statuses()
    assert {one.address: (status.state, status.calls_in_flight) for one, status in found.items()} == {
        "host:1": (EndpointState.NOT_SERVING, 0),
        "host:2": (EndpointState.SILENT, 0),
        "host:3": (EndpointState.EJECTED, 0),
        "host:4": (EndpointState.SERVING, 1),
    }
    ground.clock.advance(EJECT_SECONDS)
    assert ground.endpoints.statuses()[failing].state is EndpointState.SERVING
