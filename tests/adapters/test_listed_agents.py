"""Agents at the addresses of a file, beside those that register."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from agentmesh.jsonvalues import JsonObject
from orchestrator_svc.adapters.listed_agents import ListedAgents
from orchestrator_svc.adapters.memory_agent_store import MemoryAgentStore
from orchestrator_svc.app.addresses import AllowedAddresses
from orchestrator_svc.app.ports.agent_store import Registration
from orchestrator_svc.core.card import read_card
from tests.fakes.agent_dialer import ServedAgents
from tests.fakes.clock import ManualClock
from tests.telemetry.recording import Metrics


def card(name: str, version: str = "1.0.0", effect: str = "READ_ONLY") -> JsonObject:
    skill: JsonObject = {
        "name": "work",
        "description": "works",
        "input_schema": {},
        "output_schema": {},
        "effect": effect,
        "tags": [],
        "examples": [],
        "timeout_seconds": None,
        "reports_progress": False,
    }
    return {"name": name, "version": version, "description": "", "skills": [skill]}


@dataclass
class Ground:
    file: Path
    clock: ManualClock = field(default_factory=ManualClock)
    agents: ServedAgents = field(default_factory=ServedAgents)

    def __post_init__(self) -> None:
        allowed = AllowedAddresses.of(["host", ".example"])
        self.file.write_text("host:1\nhost:2\n")
        self.registered = MemoryAgentStore(self.clock)
        self.store = ListedAgents(self.registered, self.file, self.agents, allowed, self.clock)

    async def look(self, after_seconds: float = 2.0) -> list[tuple[str, str, str]]:
        """Who is listed after the next round of calls."""
        self.clock.advance(after_seconds)
        await self.store.look()
        return self.listed()

    def listed(self) -> list[tuple[str, str, str]]:
        return [(one.card.name, one.card.version, one.address) for one in self.store.listing().registrations]

    def registration(self, name: str, address: str) -> Registration:
        now = self.clock.now()
        ends = now + timedelta(seconds=60)
        return Registration("f" * 32, read_card(card(name)), address, 60.0, now, now, ends)


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    return Ground(tmp_path / "agents")


async def test_who_answers_is_listed_and_nobody_else(ground: Ground) -> None:
    ground.agents.serve("host:1", card("one"))
    assert await ground.look() == [("one", "1.0.0", "host:1")]
    ground.agents.serve("host:2", card("two"))
    ground.agents.serve("host:3", card("three"))
    assert await ground.look() == [("one", "1.0.0", "host:1"), ("two", "1.0.0", "host:2")]


async def test_who_goes_on_answering_stays_the_same_endpoint(ground: Ground) -> None:
    ground.agents.serve("host:1", card("one"))
    await ground.look()
    before = ground.store.listing()
    for _ in range(10):
        await ground.look()
    assert ground.store.listing().revision == before.revision
    assert ground.store.listing().registrations[0].endpoint == before.registrations[0].endpoint


async def test_who_misses_one_call_stays_and_who_answers_no_more_leaves(ground: Ground) -> None:
    ground.agents.serve("host:1", card("one"))
    await ground.look()
    ground.agents.say_not_serving("host:1")
    assert await ground.look() == [("one", "1.0.0", "host:1")]
    ground.agents.serve("host:1", card("one"))
    await ground.look()
    ground.agents.stop("host:1")
    assert len(await ground.look()) == 1
    assert await ground.look(4.0) == []


async def test_another_card_is_another_endpoint(ground: Ground) -> None:
    ground.agents.serve("host:1", card("one"))
    await ground.look()
    before = ground.store.listing().registrations[0]
    ground.agents.serve("host:1", card("one", "2.0.0"))
    assert await ground.look() == [("one", "2.0.0", "host:1")]
    assert ground.store.listing().registrations[0].endpoint != before.endpoint


async def test_an_address_that_left_the_file_leaves_the_list(ground: Ground) -> None:
    ground.agents.serve("host:1", card("one"))
    ground.agents.serve("host:2", card("two"))
    await ground.look()
    ground.file.write_text("host:2\n")
    assert await ground.look() == [("two", "1.0.0", "host:2")]


async def test_while_the_file_cannot_be_read_its_addresses_stay_and_it_is_said_once(ground: Ground) -> None:
    ground.agents.serve("host:1", card("one"))
    await ground.look()
    ground.file.unlink()
    with capture_logs() as logs:
        for _ in range(5):
            assert await ground.look() == [("one", "1.0.0", "host:1")]
    assert [log["why"] for log in logs] == ["No such file or directory"]


async def test_a_registration_at_the_same_address_counts(ground: Ground) -> None:
    ground.agents.serve("host:1", card("one"))
    await ground.look()
    registered = await ground.store.put(ground.registration("one", "host:1"))
    assert ground.store.listing().registrations == (registered,)
    await ground.store.remove(registered.lease_id)
    assert ground.listed() == [("one", "1.0.0", "host:1")]


async def test_registered_and_listed_agents_are_in_one_order(ground: Ground) -> None:
    ground.agents.serve("host:1", card("b"))
    await ground.store.put(ground.registration("a", "host:8"))
    await ground.store.put(ground.registration("c", "host:9"))
    assert [name for name, _, _ in await ground.look()] == ["a", "b", "c"]


async def test_what_may_not_be_called_is_not_and_what_breaks_a_rule_is_left_out_with_a_word(ground: Ground) -> None:
    ground.file.write_text("host:1\nelsewhere:1\nhost:2\nhost:3\n")
    ground.agents.serve("host:1", card("one"))
    ground.agents.serve("elsewhere:1", card("two"))
    ground.agents.serve("host:2", card("No Name"))
    ground.agents.serve("host:3", card("one", effect="SIDE_EFFECT"))
    with capture_logs() as logs:
        assert await ground.look() == [("one", "1.0.0", "host:1")]
        await ground.look()
    assert "elsewhere:1" not in ground.agents.dialled
    assert sorted(log["listed"] for log in logs) == ["elsewhere:1", "host:2", "host:3"], "once each"


async def test_who_is_listed_already_and_breaks_a_rule_then_leaves_at_once(ground: Ground) -> None:
    ground.agents.serve("host:1", card("one"))
    await ground.look()
    ground.agents.serve("host:1", card("No Name"))
    assert await ground.look() == []


async def test_who_comes_leaves_or_falls_silent_is_counted_once(ground: Ground, metrics: Metrics) -> None:
    for port in (1, 2):
        ground.agents.serve(f"host:{port}", card("one"))
    for _ in range(3):
        await ground.look()
    ground.file.write_text("host:1\n")
    ground.agents.stop("host:1")
    for _ in range(5):
        await ground.look()
    assert ground.listed() == []
    counted = metrics.values("agentmesh.registry.changes", "agentmesh.registry.change")
    assert counted == {"joined": 2, "left": 1, "expired": 1}
