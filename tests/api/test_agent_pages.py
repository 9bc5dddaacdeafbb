"""Pages of agents: one entry a deployment, in a stable order, whatever comes and goes between two pages."""

from __future__ import annotations

import string
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from agentmesh.card_messages import card_from_json
from agentmesh.errors import RequestInvalid
from agentmesh.jsonvalues import JsonObject
from agentmesh.v1 import registry_service_pb2 as pb
from orchestrator_svc.api.agent_pages import MAX_PAGE_BYTES, all_pages, deployments_of, page_of_agents
from orchestrator_svc.api.page_tokens import PageTokens
from orchestrator_svc.app.endpoint_status import EndpointState, EndpointStatus
from orchestrator_svc.app.ports.agent_store import Listing, Registration
from orchestrator_svc.core.card import read_card

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
FINGERPRINT = "f" * 64


def registration(name: str, address: str, version: str = "1.0.0", text: str = "works") -> Registration:
    skill: JsonObject = {
        "name": "work",
        "description": text,
        "input_schema": {},
        "output_schema": {},
        "effect": "READ_ONLY",
        "tags": [],
        "examples": [],
        "timeout_seconds": None,
        "reports_progress": False,
    }
    card = read_card({"name": name, "version": version, "description": "", "skills": [skill]})
    return Registration(f"lease at {address}", card, address, 15.0, NOON, NOON, NOON)


@dataclass
class Ground:
    """A listing that changes."""

    registrations: list[Registration] = field(default_factory=list)

    def add(self, name: str, version: str = "1.0.0", text: str = "works") -> None:
        self.registrations.append(registration(name, f"host:{len(self.registrations) + 1}", version, text))

    def remove(self, name: str) -> None:
        self.registrations = [one for one in self.registrations if one.card.name != name]

    @property
    def listing(self) -> Listing:
        ordered = sorted(self.registrations, key=lambda one: (one.card.name, one.address))
        return Listing(1, tuple(ordered))

    def page(self, size: int = 0, token: str = "") -> pb.ListAgentsResponse:
        return page_of_agents(self.listing, pb.ListAgentsRequest(page_size=size, page_token=token), FINGERPRINT, {})


def shown(page: pb.ListAgentsResponse) -> list[tuple[str, str]]:
    return [(agent.card.name, agent.card.version) for agent in page.agents]


@pytest.fixture
def ground() -> Ground:
    made = Ground()
    for name, version in [
        ("two", "1.0.0"),
        ("one", "1.2.0"),
        ("one", "1.10.0"),
        ("one", "2.0.0-rc.1"),
        ("one", "2.0.0"),
        ("a", "0.1.0"),
    ]:
        made.add(name, version)
    return made


ORDERED = [
    ("a", "0.1.0"),
    ("one", "2.0.0"),
    ("one", "2.0.0-rc.1"),
    ("one", "1.10.0"),
    ("one", "1.2.0"),
    ("two", "1.0.0"),
]


def test_agents_are_ordered_by_name_and_by_version_the_highest_first(ground: Ground) -> None:
    page = ground.page()
    assert shown(page) == ORDERED
    assert page.next_page_token == ""
    assert page.catalog_fingerprint == FINGERPRINT


def test_endpoints_with_equal_cards_are_one_entry_and_others_are_entries_of_their_own(ground: Ground) -> None:
    ground.registrations = [
        registration("one", "host:2"),
        registration("one", "host:1"),
        registration("one", "host:3", text="works better"),
    ]
    groups = {agent.card_digest: [one.address for one in agent.endpoints] for agent in ground.page().agents}
    assert list(groups) == sorted(groups)
    assert sorted(groups.values()) == [["host:1", "host:2"], ["host:3"]]


def test_an_entry_has_the_card_as_it_was_registered() -> None:
    one = registration("one", "host:1")
    page = page_of_agents(Listing(1, (one,)), pb.ListAgentsRequest(), FINGERPRINT, {})
    assert page.agents[0].card == card_from_json(one.card.source)
    assert page.agents[0].card_digest == one.card.digest
    assert page.agents[0].endpoints[0].registered_at.ToDatetime(UTC) == NOON


@pytest.mark.parametrize("state", EndpointState)
def test_an_endpoint_is_shown_with_how_it_does(state: EndpointState) -> None:
    one = registration("one", "host:1")
    statuses = {one.endpoint: EndpointStatus(state, 3)}
    (endpoint,) = page_of_agents(Listing(1, (one,)), pb.ListAgentsRequest(), FINGERPRINT, statuses).agents[0].endpoints
    assert pb.EndpointState.Name(endpoint.state) == f"ENDPOINT_STATE_{state}"
    assert endpoint.calls_in_flight == 3


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5])
def test_pages_together_are_the_list(ground: Ground, size: int) -> None:
    page = ground.page(size)
    seen = shown(page)
    while page.next_page_token:
        assert len(page.agents) == size
        page = ground.page(size, page.next_page_token)
        seen += shown(page)
    assert seen == ORDERED


@pytest.mark.parametrize("size", [0, 6, 1000])
def test_the_last_page_has_no_token_also_when_it_is_full(ground: Ground, size: int) -> None:
    assert ground.page(size).next_page_token == ""


def test_what_comes_and_goes_between_two_pages_moves_nothing(ground: Ground) -> None:
    first = ground.page(3)
    ground.add("0_before")
    ground.remove("a")
    ground.registrations = [one for one in ground.registrations if one.card.version != "2.0.0-rc.1"]
    ground.add("three")
    assert shown(ground.page(10, first.next_page_token)) == [
        ("one", "1.10.0"),
        ("one", "1.2.0"),
        ("three", "1.0.0"),
        ("two", "1.0.0"),
    ]


def test_a_page_has_at_most_three_megabytes_whatever_its_size_is_to_be(ground: Ground) -> None:
    for number in range(500):
        ground.add(f"large_{number:03}", text="x" * 8000)
    first = ground.page(1000)
    second = ground.page(1000, first.next_page_token)
    assert max(first.ByteSize(), second.ByteSize()) < MAX_PAGE_BYTES + 10_000
    assert len(first.agents) + len(second.agents) == 506
    assert second.next_page_token == ""
    assert list(all_pages(deployments_of(ground.listing), FINGERPRINT, {})) == [first, second]


def test_nobody_is_one_empty_page() -> None:
    assert Ground().page() == pb.ListAgentsResponse(catalog_fingerprint=FINGERPRINT)
    assert list(all_pages((), FINGERPRINT, {})) == [pb.ListAgentsResponse(catalog_fingerprint=FINGERPRINT)]


def test_a_token_is_short_and_may_stand_in_a_url() -> None:
    ground = Ground()
    for letter in "ab":
        ground.add(letter * 48, "1.0.0-" + "x" * 58)
    token = ground.page(1).next_page_token
    assert set(token) <= {*string.ascii_letters, *string.digits, "-", "_"}
    assert len(token) <= 512


AGENTS = PageTokens("agents")


@pytest.mark.parametrize(
    "token",
    [
        "x",
        "of something else",
        "=",
        "\u00e4",
        "AAAA",
        PageTokens("runs").token_of(bytes(24)),
        AGENTS.token_of(b""),
        AGENTS.token_of(bytes(32)),
        AGENTS.token_of(bytes(32) + b"one 1.0.0 more"),
        AGENTS.token_of(bytes(32) + b"one newest"),
        AGENTS.token_of(bytes(32) + b"\xff 1.0.0"),
        AGENTS.token_of(bytes(32) + b"one 1.0.0") + "=",
    ],
)
def test_what_is_no_token_of_this_list_is_refused(ground: Ground, token: str) -> None:
    with pytest.raises(RequestInvalid) as caught:
        ground.page(1, token)
    assert [violation.path for violation in caught.value.violations] == ["page_token"]
