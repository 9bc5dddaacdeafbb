"""How an agent stays listed: over real gRPC, with a clock that moves only when the test says so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from agentmesh import errors
from agentmesh.agent.membership import Membership, RegistrationRefused
from agentmesh.errors import Violation, ViolationReason
from agentmesh.transport.channel import open_channel
from agentmesh.v1 import card_pb2, registry_service_pb2_grpc
from tests.agent.registry_server import RegistryServer, serving

CARD = card_pb2.AgentCard(
    name="test_agent",
    version="1.0.0",
    skills=[card_pb2.Skill(name="work", description="Work.", effect=card_pb2.EFFECT_READ_ONLY)],
)


class Clock:
    """Sleeps end when the test says so."""

    def __init__(self) -> None:
        self._asked: asyncio.Queue[float] = asyncio.Queue()
        self._tick = asyncio.Semaphore(0)

    async def sleep(self, seconds: float) -> None:
        self._asked.put_nowait(seconds)
        await self._tick.acquire()

    async def next_sleep(self) -> float:
        """Wait until somebody sleeps; return for how long."""
        return await self._asked.get()

    def wake(self) -> None:
        self._tick.release()


@asynccontextmanager
async def joining(
    address: str, clock: Clock, jitter: float = 1.0
) -> AsyncIterator[tuple[Membership, asyncio.Task[None]]]:
    async with open_channel(address) as channel:
        membership = Membership(
            registry_service_pb2_grpc.RegistryStub(channel),
            card=CARD,
            address="127.0.0.1:5000",
            ttl_seconds=9,
            sleep=clock.sleep,
            jitter=lambda: jitter,
        )
        keeping: asyncio.Task[None] = asyncio.create_task(membership.keep())
        try:
            yield membership, keeping
        finally:
            keeping.cancel()
            await asyncio.wait({keeping})


async def test_it_heartbeats_at_the_interval_that_the_registry_gives() -> None:
    registry, clock = RegistryServer(heartbeat_seconds=5), Clock()
    async with serving(registry) as server, joining(server.address, clock) as (membership, _):
        for beats in range(3):
            assert await clock.next_sleep() == 5
            assert membership.registered.is_set()
            assert registry.heard == ["Register"] + ["Heartbeat"] * beats
            clock.wake()
            await registry.until(lambda beats=beats: registry.heard.count("Heartbeat") == beats + 1)  # type: ignore[misc]


async def test_it_registers_again_when_the_lease_is_gone() -> None:
    registry, clock = RegistryServer(heartbeat_seconds=5), Clock()
    with capture_logs() as logs:
        async with serving(registry) as server, joining(server.address, clock):
            await clock.next_sleep()
            registry.leases.clear()
            clock.wake()
            assert await clock.next_sleep() == 5
            assert registry.heard == ["Register", "Heartbeat", "Register"]
            assert len(registry.leases) == 1
    assert [entry["event"] for entry in logs if entry.get("agent")] == ["registered", "lease_lost", "registered"]


async def test_it_tries_until_the_registry_is_there_and_says_so_once(tmp_path: Path) -> None:
    address, clock = f"unix:{tmp_path}/registry", Clock()
    with capture_logs() as logs:
        async with joining(address, clock) as (membership, _):
            delays = []
            for _attempt in range(9):
                delays.append(await clock.next_sleep())
                clock.wake()
            assert not membership.registered.is_set()
            registry = RegistryServer(heartbeat_seconds=7)
            async with serving(registry, listen=address):
                while await clock.next_sleep() != 7:
                    await asyncio.sleep(0.02)  # the channel waits between attempts to connect
                    clock.wake()
                assert membership.registered.is_set()
    assert delays == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5, 5, 5])
    said = [entry for entry in logs if entry.get("agent")]
    assert [entry["event"] for entry in said] == ["not_registered", "registered"]
    assert said[0]["error"] == "Unreachable"


async def test_half_of_a_delay_is_left_to_chance(tmp_path: Path) -> None:
    clock = Clock()
    async with joining(f"unix:{tmp_path}/registry", clock, jitter=0.0):
        assert await clock.next_sleep() == pytest.approx(0.05)


async def test_it_waits_as_long_as_the_registry_asks() -> None:
    registry, clock = RegistryServer(heartbeat_seconds=5), Clock()
    registry.answers.append(errors.ResourceExhausted("too many", retry_after_seconds=30))
    async with serving(registry) as server, joining(server.address, clock):
        assert await clock.next_sleep() == 30
        clock.wake()
        assert await clock.next_sleep() == 5


async def test_a_heartbeat_that_fails_is_tried_again_sooner_and_the_lease_is_kept() -> None:
    registry, clock = RegistryServer(heartbeat_seconds=0.3), Clock()
    with capture_logs() as logs:
        async with serving(registry) as server, joining(server.address, clock):
            assert await clock.next_sleep() == 0.3
            registry.answers.extend(errors.ShuttingDown("later") for _ in range(3))
            delays = []
            for _attempt in range(4):
                clock.wake()
                delays.append(await clock.next_sleep())
    assert delays == pytest.approx([0.1, 0.2, 0.3, 0.3])
    assert registry.heard == ["Register"] + ["Heartbeat"] * 4
    assert [entry["event"] for entry in logs if entry.get("agent")] == ["registered", "heartbeat_failed", "registered"]


@pytest.mark.parametrize(
    "refusal",
    [
        errors.CardInvalid(
            "the card breaks 2 rules",
            violations=[
                Violation("card.skills[0].input_schema", ViolationReason.SCHEMA_INVALID, "is recursive"),
                Violation("card.skills[1].name", ViolationReason.SKILL_NAME, "is used twice"),
            ],
        ),
        errors.RequestInvalid("address", violations=[Violation("address", ViolationReason.RULE, "is too long")]),
        errors.AddressNotAllowed("no", violations=[Violation("address", ViolationReason.ADDRESS_NOT_ALLOWED, "no")]),
    ],
    ids=lambda refusal: type(refusal).__name__,
)
async def test_a_refusal_for_good_is_raised_with_every_violation(refusal: errors.MeshError) -> None:
    registry = RegistryServer(heartbeat_seconds=5)
    registry.answers.append(refusal)
    async with serving(registry) as server, joining(server.address, Clock()) as (_, keeping):
        with pytest.raises(RegistrationRefused) as refused:
            await keeping
    assert refused.value.violations == refusal.violations
    assert str(refused.value).splitlines() == [
        refusal.message,
        *(f"  {violation.path}: {violation.message}" for violation in refusal.violations),
    ]
    assert registry.heard == ["Register"]


@pytest.mark.parametrize(
    "passing",
    [
        errors.Internal("a bug"),
        errors.PermissionDenied("no"),
        errors.ShuttingDown("later"),
        errors.AddressUnreachable("not yet"),
        errors.CardMismatch("another is still there"),
        errors.CardConflict("the other contract is still listed"),
        errors.RegistryUnavailable("the store is away"),
    ],
    ids=str,
)
async def test_any_other_answer_is_no_reason_to_give_up(passing: errors.MeshError) -> None:
    registry, clock = RegistryServer(heartbeat_seconds=5), Clock()
    registry.answers.extend([passing] * 2)
    async with serving(registry) as server, joining(server.address, clock) as (membership, _):
        for _attempt in range(2):
            await clock.next_sleep()
            clock.wake()
        await clock.next_sleep()
        assert membership.registered.is_set()


async def test_it_gives_the_lease_back() -> None:
    registry, clock = RegistryServer(heartbeat_seconds=5), Clock()
    async with serving(registry) as server, joining(server.address, clock) as (membership, keeping):
        await clock.next_sleep()
        keeping.cancel()
        await membership.leave()
        await membership.leave()  # once is enough
        assert not membership.registered.is_set()
    assert registry.leases == {}
    assert registry.heard == ["Register", "Deregister"]


async def test_a_lease_that_is_on_its_way_when_the_agent_leaves_is_given_back() -> None:
    registry, answer = RegistryServer(heartbeat_seconds=5), asyncio.Event()
    registry.before_answer = answer.wait
    async with serving(registry) as server, joining(server.address, Clock()) as (membership, keeping):
        await registry.until(lambda: bool(registry.leases))
        keeping.cancel()
        await asyncio.sleep(0)
        answer.set()
        await asyncio.wait({keeping})
        await membership.leave()
    assert registry.leases == {}
    assert keeping.cancelled()


async def test_a_registry_that_cannot_take_the_lease_back_is_logged_and_left() -> None:
    registry, clock = RegistryServer(heartbeat_seconds=5), Clock()
    with capture_logs() as logs:
        async with serving(registry) as server, joining(server.address, clock) as (membership, keeping):
            await clock.next_sleep()
            keeping.cancel()
            registry.answers.append(errors.ShuttingDown("later"))
            await membership.leave()
    assert [entry["event"] for entry in logs if entry.get("agent")] == ["registered", "not_deregistered"]


async def test_what_was_never_registered_is_not_given_back(tmp_path: Path) -> None:
    clock = Clock()
    async with joining(f"unix:{tmp_path}/registry", clock) as (membership, keeping):
        await clock.next_sleep()
        keeping.cancel()
        await membership.leave()
