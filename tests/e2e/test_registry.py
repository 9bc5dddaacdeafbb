"""The registry over real gRPC: who is refused and why, and what survives restarts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import grpc
import grpc.aio
import pytest

from agentmesh.agent import Agent
from agentmesh.card_messages import card_to_json
from agentmesh.cards import MAX_CARD_BYTES
from agentmesh.jsonvalues import JsonObject
from agentmesh.transport import to_struct
from agentmesh.v1 import card_pb2
from agentmesh.v1 import registry_service_pb2 as pb
from orchestrator_svc.bootstrap import build
from orchestrator_svc.config import read_config
from tests.e2e.card_server import serving_card
from tests.e2e.errors import Refusal, refusal_of
from tests.e2e.mesh import Mesh, minds, running_mesh
from tests.fakes.planner import FixedPlanner

PATIENCE_SECONDS = 30.0


def card_of(name: str = "one_agent", version: str = "1.0.0", *skills: str) -> card_pb2.AgentCard:
    described = [
        card_pb2.Skill(name=skill, description="Works.", effect=card_pb2.EFFECT_READ_ONLY)
        for skill in skills or ("work",)
    ]
    return card_pb2.AgentCard(name=name, version=version, skills=described)


async def refused(mesh: Mesh, request: pb.RegisterRequest) -> Refusal:
    """The refusal of a registration, which changed nothing."""
    before = await mesh.registry.ListAgents(pb.ListAgentsRequest())
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await mesh.registry.Register(request)
    assert await mesh.registry.ListAgents(pb.ListAgentsRequest()) == before
    return refusal_of(caught.value)


@pytest.fixture
async def mesh() -> AsyncIterator[Mesh]:
    async with running_mesh(minds=minds(FixedPlanner([]))) as running:
        yield running


@pytest.fixture
async def listed(mesh: Mesh) -> AsyncIterator[str]:
    """The address of an agent that is listed and serves."""
    card = card_of("listed_agent", "1.0.0", "read", "write")
    async with serving_card(card) as address:
        await mesh.registry.Register(pb.RegisterRequest(card=card, address=address))
        yield address


def _duplicate(card: card_pb2.AgentCard) -> None:
    card.skills.append(card.skills[0])


def _schema(schema: JsonObject) -> Callable[[card_pb2.AgentCard], None]:
    def change(card: card_pb2.AgentCard) -> None:
        card.skills[0].input_schema.CopyFrom(to_struct(schema))

    return change


def _skill_name(name: str) -> Callable[[card_pb2.AgentCard], None]:
    def change(card: card_pb2.AgentCard) -> None:
        card.skills[0].name = name

    return change


def _agent_name(name: str) -> Callable[[card_pb2.AgentCard], None]:
    def change(card: card_pb2.AgentCard) -> None:
        card.name = name

    return change


RECURSIVE: JsonObject = {
    "type": "object",
    "properties": {"next": {"$ref": "#/$defs/node"}},
    "$defs": {"node": {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}}}},
}


@pytest.mark.parametrize(
    ("change", "reason", "violation"),
    [
        (_duplicate, "CARD_INVALID", ("card.skills[1].name", "SKILL_NAME")),
        (_skill_name("a" * 48), "CARD_INVALID", ("card.skills[0].name", "SKILL_NAME")),
        (_skill_name("two__words"), "REQUEST_INVALID", ("card.skills[0].name", "RULE")),
        (_skill_name("Work"), "REQUEST_INVALID", ("card.skills[0].name", "RULE")),
        (_agent_name("one__agent"), "REQUEST_INVALID", ("card.name", "RULE")),
        (_agent_name(""), "REQUEST_INVALID", ("card.name", "RULE")),
        (
            _schema({"type": "object", "minProperties": -1}),
            "CARD_INVALID",
            ("card.skills[0].input_schema", "SCHEMA_INVALID"),
        ),
        (_schema(RECURSIVE), "CARD_INVALID", ("card.skills[0].input_schema", "SCHEMA_INVALID")),
        (_schema({"type": "array"}), "CARD_INVALID", ("card.skills[0].input_schema", "SCHEMA_INVALID")),
    ],
    ids=["twice", "long-id", "separator", "capital", "agent", "no-name", "no-schema", "recursive", "no-object"],
)
async def test_a_card_that_breaks_a_rule_is_refused_with_the_place(
    mesh: Mesh, listed: str, change: Callable[[card_pb2.AgentCard], None], reason: str, violation: tuple[str, str]
) -> None:
    card = card_of("other_agent_with_a_name")
    change(card)
    refusal = await refused(mesh, pb.RegisterRequest(card=card, address=listed))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, reason)
    assert refusal.fields == dict([violation])


async def test_a_schema_of_another_document_is_refused_and_never_fetched(mesh: Mesh) -> None:
    asked = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        card = card_of()
        _schema({"type": "object", "properties": {"x": {"$ref": f"http://127.0.0.1:{port}/s.json"}}})(card)
        refusal = await refused(mesh, pb.RegisterRequest(card=card, address="127.0.0.1:1"))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "CARD_INVALID")
    assert refusal.fields == {"card.skills[0].input_schema": "SCHEMA_INVALID"}
    assert "another document" in refusal.message
    assert not asked.is_set()


@pytest.mark.parametrize("nanoseconds", [0, 999_999_999, 3_600_000_000_001, -1])
async def test_a_ttl_out_of_range_is_refused(mesh: Mesh, listed: str, nanoseconds: int) -> None:
    request = pb.RegisterRequest(card=card_of(), address=listed)
    request.ttl.FromNanoseconds(nanoseconds)
    refusal = await refused(mesh, request)
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_INVALID")
    assert refusal.fields == {"ttl": "RULE"}


async def test_a_card_over_its_limit_is_refused(mesh: Mesh, listed: str) -> None:
    card = card_of("one_agent", "1.0.0", *(f"work_{number}" for number in range(40)))
    for skill in card.skills:
        skill.description = "x" * 8000
    assert card.ByteSize() > MAX_CARD_BYTES
    refusal = await refused(mesh, pb.RegisterRequest(card=card, address=listed))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "CARD_INVALID")
    assert refusal.fields == {"card": "RULE"}


async def test_an_address_where_nobody_answers_is_refused_for_now(mesh: Mesh, listed: str) -> None:
    async with serving_card(card_of()) as address:
        pass
    refusal = await refused(mesh, pb.RegisterRequest(card=card_of(), address=address))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, "ADDRESS_UNREACHABLE")


async def test_the_address_of_another_agent_is_refused_and_its_lease_stays(mesh: Mesh, listed: str) -> None:
    refusal = await refused(mesh, pb.RegisterRequest(card=card_of("thief_agent"), address=listed))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "CARD_MISMATCH")
    assert "listed_agent" in refusal.message


async def test_another_contract_under_a_listed_version_is_refused_with_the_skill(mesh: Mesh, listed: str) -> None:
    card = card_of("listed_agent", "1.0.0", "read", "write")
    card.skills[1].effect = card_pb2.EFFECT_SIDE_EFFECT
    async with serving_card(card) as address:
        refusal = await refused(mesh, pb.RegisterRequest(card=card, address=address))
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "CARD_CONFLICT")
        assert refusal.fields == {"card.skills[1].effect": "SKILL_CHANGED"}
    card.version = "1.0.1"
    async with serving_card(card) as address:
        await mesh.registry.Register(pb.RegisterRequest(card=card, address=address))


async def test_a_lease_that_is_nobodys_gives_no_right(mesh: Mesh, listed: str) -> None:
    before = await mesh.registry.ListAgents(pb.ListAgentsRequest())
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await mesh.registry.Heartbeat(pb.HeartbeatRequest(lease_id="0" * 32))
    refusal = refusal_of(caught.value)
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.NOT_FOUND, "LEASE_NOT_FOUND")
    await mesh.registry.Deregister(pb.DeregisterRequest(lease_id="0" * 32))
    assert await mesh.registry.ListAgents(pb.ListAgentsRequest()) == before


async def test_nobody_is_told_the_lease_of_another(mesh: Mesh) -> None:
    card = card_of()
    async with serving_card(card) as address:
        lease = (await mesh.registry.Register(pb.RegisterRequest(card=card, address=address))).lease_id
    listing = await mesh.registry.ListAgents(pb.ListAgentsRequest())
    assert lease not in str(listing)


async def test_an_address_that_is_not_allowed_is_refused_and_not_called() -> None:
    called = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        called.set()
        writer.close()
        await writer.wait_closed()

    settings = {"AGENTMESH_ALLOWED_ADDRESSES": "10.0.0.0/8, .svc.cluster.local, unix:"}
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server, running_mesh(minds=minds(FixedPlanner([])), settings=settings) as mesh:
        address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        refusal = await refused(mesh, pb.RegisterRequest(card=card_of(), address=address))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.PERMISSION_DENIED, "ADDRESS_NOT_ALLOWED")
    assert refusal.fields == {"address": "ADDRESS_NOT_ALLOWED"}
    assert not called.is_set()


def worker(name: str = "one_agent") -> Agent:
    agent = Agent(name, version="1.0.0")

    @agent.skill(effect="READ_ONLY")
    def work() -> dict[str, int]:
        """Work."""
        return {}

    return agent


async def until_agents(mesh: Mesh, wanted: set[str]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while await mesh.agents() != wanted:  # noqa: ASYNC110  each look is a call over the network
            await asyncio.sleep(0.01)


async def test_an_orchestrator_that_restarts_has_its_agents_back_with_their_next_heartbeats() -> None:
    first = build(read_config({"AGENTMESH_LISTEN": "127.0.0.1:0"}).config, minds=minds(FixedPlanner([])))
    await first.start()
    address = first.server.address
    names = {"one_agent", "two_agent"}
    agents = [await worker(name).start(orchestrator=address, ttl_seconds=1.0) for name in names]
    for agent in agents:
        await agent.registered()
    await first.stop()
    async with running_mesh(minds=minds(FixedPlanner([])), settings={"AGENTMESH_LISTEN": address}) as second:
        await until_agents(second, names)
        for agent in agents:
            await agent.stop()


async def test_agents_of_an_address_file_are_listed_as_long_as_they_answer(tmp_path: Path) -> None:
    file = tmp_path / "agents.txt"
    async with await worker("one_agent").start() as one, await worker("two_agent").start() as two:
        file.write_text(f"# agents of this machine\n{one.address}\n")
        settings = {"AGENTMESH_AGENTS_FILE": str(file)}
        async with running_mesh(minds=minds(FixedPlanner([])), settings=settings) as mesh:
            assert await mesh.agents() == {"one_agent"}, "before the first question"
            file.write_text(f"{one.address}\n{two.address}\n")
            await until_agents(mesh, {"one_agent", "two_agent"})
            file.write_text(f"{two.address}\n")
            await until_agents(mesh, {"two_agent"})
            await two.stop()
            await until_agents(mesh, set())


async def test_a_card_from_an_address_file_keeps_the_rules_of_cards(tmp_path: Path) -> None:
    good, bad = card_of("good_agent"), card_of("Bad Agent")
    assert card_to_json(bad)["name"] == "Bad Agent"
    async with serving_card(good) as one, serving_card(bad) as two:
        file = tmp_path / "agents.yaml"
        file.write_text(f"- {one}\n- {two}\n- 127.0.0.1:1\n")
        settings = {"AGENTMESH_AGENTS_FILE": str(file)}
        async with running_mesh(minds=minds(FixedPlanner([])), settings=settings) as mesh:
            assert await mesh.agents() == {"good_agent"}
