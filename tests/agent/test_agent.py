"""What an author says of an agent, and the life of one in a test's event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from agentmesh import errors
from agentmesh.agent import Agent, AgentDefinitionError, RegistrationRefused, SkillDefinitionError
from agentmesh.errors import Violation, ViolationReason
from agentmesh.transport.channel import open_channel
from agentmesh.v1 import agent_service_pb2_grpc
from tests.agent.conftest import Serve, Served
from tests.agent.registry_server import RegistryServer, serving


def answering(**said: Any) -> Agent:  # noqa: ANN401 - passed on
    agent = Agent("answer_agent", version="0.1.0", **said)

    @agent.skill(effect="READ_ONLY")
    async def answer() -> int:
        """Answer everything."""
        return 42

    return agent


@pytest.mark.parametrize(
    ("said", "named"),
    [
        ({"name": "Weather"}, "name does not match"),
        ({"name": ""}, "name"),
        ({"name": "a" * 49}, "name"),
        ({"version": "1"}, "version does not match"),
        ({"description": "x" * 4097}, "description must be at most 4096 bytes"),
    ],
    ids=str,
)
def test_an_agent_that_a_card_cannot_describe_is_refused(said: dict[str, str], named: str) -> None:
    with pytest.raises(AgentDefinitionError, match=named):
        Agent(**{"name": "weather_agent", "version": "0.1.0", **said})  # type: ignore[arg-type]


def test_an_agent_without_skills_has_no_card() -> None:
    with pytest.raises(AgentDefinitionError, match="skills must contain at least 1"):
        Agent("weather_agent", version="0.1.0").card()


def test_a_card_over_256_kb_is_refused() -> None:
    agent = Agent("weather_agent", version="0.1.0")
    for number in range(40):

        def skill() -> None: ...

        skill.__doc__ = f"{number} " + "x" * 8000
        agent.skill(effect="READ_ONLY", name=f"skill{number}")(skill)
    with pytest.raises(AgentDefinitionError, match="at most 256000"):
        agent.card()


def test_two_skills_of_one_name_are_refused() -> None:
    agent = answering()
    with pytest.raises(SkillDefinitionError, match="answer_agent has a skill answer already"):

        @agent.skill(effect="READ_ONLY")
        async def answer() -> int:
            """Answer again."""
            return 43


def test_a_decorated_function_stays_as_it_is() -> None:
    agent = Agent("weather_agent", version="0.1.0")

    def forecast(city: str) -> str:
        """Forecast."""
        return f"rain in {city}"

    assert agent.skill(effect="READ_ONLY")(forecast) is forecast
    assert forecast("Delft") == "rain in Delft"


async def test_health_is_serving_once_started(serve: Serve) -> None:
    served = await serve(answering())
    health: Any = health_pb2_grpc.HealthStub(served.channel)
    for service in ("", "agentmesh.v1.Agent"):
        answer = await health.Check(health_pb2.HealthCheckRequest(service=service))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING


async def test_the_lifespan_is_around_everything_and_in_one_task() -> None:
    events: list[tuple[str, asyncio.Task[Any] | None]] = []

    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as group:
            background = group.create_task(asyncio.Event().wait())
            events.append(("entered", asyncio.current_task()))
            yield
            events.append(("left", asyncio.current_task()))
            background.cancel()

    agent = answering(lifespan=lifespan)
    running = await agent.start()
    async with open_channel(running.address) as channel:
        served = Served(running, channel, agent_service_pb2_grpc.AgentStub(channel))
        assert await served.execute("answer") == {"result": 42}
        assert [name for name, _ in events] == ["entered"]
        await asyncio.create_task(running.stop())
    assert [name for name, _ in events] == ["entered", "left"]
    assert events[0][1] is events[1][1]


async def test_a_lifespan_that_fails_is_raised_by_start_and_nothing_is_left() -> None:
    def fail() -> None:
        raise OSError("no database")

    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        fail()
        yield

    before = asyncio.all_tasks()
    with pytest.raises(OSError, match="no database"):
        await answering(lifespan=lifespan).start()
    assert asyncio.all_tasks() == before


async def test_a_lifespan_that_fails_while_the_agent_serves_ends_it() -> None:
    fail = asyncio.Event()

    async def sample() -> None:
        await fail.wait()
        raise OSError("disk full")

    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as group:
            group.create_task(sample())
            yield

    running = await answering(lifespan=lifespan).start()
    fail.set()
    async with open_channel(running.address) as channel:
        with pytest.raises(ExceptionGroup) as failed:
            await running.ended()
        assert failed.group_contains(OSError, match="disk full")
        served = Served(running, channel, agent_service_pb2_grpc.AgentStub(channel))
        with pytest.raises(errors.Unreachable):
            await served.execute("answer")


async def test_an_address_in_use_is_raised_by_start() -> None:
    async with await answering().start() as running:
        with pytest.raises(OSError, match=running.address):
            await answering().start(listen=running.address)


async def test_stopping_finishes_what_runs_and_refuses_what_comes() -> None:
    agent = Agent("slow_agent", version="0.1.0")
    started, release = asyncio.Event(), asyncio.Event()

    @agent.skill(effect="READ_ONLY")
    async def work() -> str:
        """Work until released."""
        started.set()
        await release.wait()
        return "done"

    running = await agent.start()
    async with open_channel(running.address) as channel:
        served = Served(running, channel, agent_service_pb2_grpc.AgentStub(channel))
        health: Any = health_pb2_grpc.HealthStub(channel)
        watch = health.Watch(health_pb2.HealthCheckRequest(service="agentmesh.v1.Agent"))
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        working = asyncio.create_task(served.execute("work"))
        await started.wait()
        stopping = asyncio.create_task(running.stop())
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        with pytest.raises(errors.ShuttingDown):
            await served.execute("work")
        assert not stopping.done()
        release.set()
        assert await working == {"result": "done"}
        await stopping
        await running.stop()  # again: nothing happens


async def test_a_started_agent_registers_and_leaves_when_it_stops() -> None:
    registry = RegistryServer(heartbeat_seconds=0.01)
    async with serving(registry) as server:
        agent = answering()
        async with await agent.start(orchestrator=server.address, ttl_seconds=7) as running:
            await running.registered()
            (request,) = registry.leases.values()
            assert request.card == agent.card()
            assert request.address == running.address
            assert request.ttl.ToSeconds() == 7
            await registry.until(lambda: "Heartbeat" in registry.heard)
        assert registry.leases == {}
        assert registry.heard[-1] == "Deregister"


async def test_the_address_to_register_can_be_another_than_the_one_listened_on() -> None:
    registry = RegistryServer(heartbeat_seconds=5)
    async with (
        serving(registry) as server,
        await answering().start(orchestrator=server.address, advertise="agent.example:443") as running,
    ):
        await running.registered()
        assert [lease.address for lease in registry.leases.values()] == ["agent.example:443"]


async def test_a_refused_registration_ends_the_agent_with_every_violation() -> None:
    registry = RegistryServer(heartbeat_seconds=5)
    violations = [Violation(f"card.skills[{n}].name", ViolationReason.SKILL_NAME, f"bad {n}") for n in range(2)]
    registry.answers.append(errors.CardInvalid("the card is not valid", violations=violations))
    async with serving(registry) as server:
        running = await answering().start(orchestrator=server.address)
        with pytest.raises(RegistrationRefused) as refused:
            await running.registered()
        assert [part for part in ("bad 0", "bad 1", "card.skills[1].name") if part not in str(refused.value)] == []
        async with open_channel(running.address) as channel:
            served = Served(running, channel, agent_service_pb2_grpc.AgentStub(channel))
            with pytest.raises(errors.Unreachable):
                await served.execute("answer")


async def test_without_an_orchestrator_nothing_is_registered(serve: Serve) -> None:
    served = await serve(answering())
    with pytest.raises(ValueError, match="without an orchestrator"):
        await served.running.registered()
