"""Processes that are told to end finish what they have begun: under load, with callers who left, in any order."""

from __future__ import annotations

import asyncio
import json
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2

from agentmesh import errors
from agentmesh.client import AsyncMeshClient, AsyncRunEvents, Finished, RunOutcome, StepStarted
from agentmesh.errors import MeshError
from tests.e2e.processes import Process, running

LONG_SECONDS = 60.0
"""For a test; not reached unless a promise is broken."""
GRACE_SECONDS = 300.0
"""So a process that ends within a test has not waited for its grace."""
CALLERS = 6
MANY = 30
"""Answers that show that work goes on."""

pytestmark = pytest.mark.timeout(LONG_SECONDS)


@dataclass
class Mesh:
    """An orchestrator and its agents as processes."""

    orchestrator: Process
    address: str
    agents: Sequence[Process]


@asynccontextmanager
async def meshes(*agents: int) -> AsyncIterator[list[Mesh]]:
    """A mesh with so many endpoints of one agent, for each number."""
    async with AsyncExitStack() as stack:

        async def started(*command: str, **environment: str) -> Process:
            environment["AGENTMESH_DRAIN_SECONDS"] = f"{GRACE_SECONDS:g}"
            return await stack.enter_async_context(running("-m", *command, environment=environment))

        async def mesh(count: int) -> Mesh:
            orchestrator = await started("orchestrator_svc", AGENTMESH_LISTEN="127.0.0.1:0")
            address = str((await orchestrator.says("orchestrator is listening"))["address"])
            keepers = [
                await started("tests.e2e.agents.keeper", AGENTMESH_ORCHESTRATOR_ADDRESS=address) for _ in range(count)
            ]
            for _ in keepers:
                await orchestrator.says("agent registered")
            return Mesh(orchestrator, address, keepers)

        yield list(await asyncio.gather(*[mesh(count) for count in agents]))


@dataclass
class Load:
    """Callers who ask again and again; where an orchestrator is unavailable they turn to the next."""

    addresses: Sequence[str]
    answered: Counter[str] = field(default_factory=Counter)
    """By address."""
    refused: Counter[str] = field(default_factory=Counter)
    """By exception."""
    failed: list[str] = field(default_factory=list)
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with self._changed:
            await self._changed.wait_for(condition)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        stopped = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for _ in range(CALLERS):
                group.create_task(self._caller(stopped))
            yield
            stopped.set()

    async def _caller(self, stopped: asyncio.Event) -> None:
        at = 0
        async with AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(AsyncMeshClient(address)) for address in self.addresses]
            while not stopped.is_set():
                try:
                    answer = await clients[at].execute_plan(
                        {"steps": [{"id": "w", "skill": "keeper_agent__work"}]}, raw=True, timeout_seconds=30
                    )
                except (errors.ShuttingDown, errors.Unreachable) as error:
                    self.refused[type(error).__name__] += 1
                    at = (at + 1) % len(clients)
                except MeshError as error:
                    self.failed.append(repr(error))
                else:
                    if answer.outcome is not RunOutcome.COMPLETE:
                        self.failed.append(str(answer))
                    self.answered[self.addresses[at]] += 1
                async with self._changed:
                    self._changed.notify_all()


def calls_of(agent: Process) -> list[str]:
    """The codes of what an agent that has ended was asked to do."""
    lines = [json.loads(line) for part in agent.lines for line in part.splitlines() if line.startswith("{")]
    return [line["code"] for line in lines if line["event"] == "rpc" and line["method"].endswith("/Execute")]


async def waiting_at(gate: Path, client: AsyncMeshClient, *, keep_running: bool = False) -> AsyncRunEvents:
    """A stream whose run has come to a gate in the agent, and ends when that is opened."""
    reached = gate.with_name(f"{gate.name}.reached")
    reached.unlink(missing_ok=True)
    events = client.ask_stream(
        f'Wait at the gate "{gate}"', raw=True, allowed_skills=["keeper_agent__wait_at"], keep_running=keep_running
    )
    while not isinstance(await anext(events), StepStarted):
        pass
    while not reached.exists():  # noqa: ASYNC110 - the agent, another process, makes the file
        await asyncio.sleep(0.01)
    return events


@asynccontextmanager
async def health(address: str) -> AsyncIterator[AsyncIterator[health_pb2.HealthCheckResponse]]:
    """The states of an orchestrator."""
    async with grpc.aio.insecure_channel(address) as channel:
        watch = channel.unary_stream(
            "/grpc.health.v1.Health/Watch",
            health_pb2.HealthCheckRequest.SerializeToString,
            health_pb2.HealthCheckResponse.FromString,
        )(health_pb2.HealthCheckRequest(service="agentmesh.v1.Orchestrator"))
        yield aiter(watch)
        watch.cancel()


async def test_under_load_an_orchestrator_gives_way_to_another_and_no_ask_fails(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    async with meshes(1, 1) as (first, second), AsyncMeshClient(first.address) as client:
        load = Load([first.address, second.address])
        told = asyncio.create_task(first.orchestrator.says("signal"))
        others = [asyncio.create_task(p.ended()) for p in (second.orchestrator, *first.agents, *second.agents)]
        async with load.running(), health(first.address) as states:
            streams = [await waiting_at(gate, client) for _ in range(3)]
            await load.until(lambda: load.answered[first.address] >= MANY)
            assert (await anext(states)).status == health_pb2.HealthCheckResponse.SERVING
            first.orchestrator.process.send_signal(signal.SIGTERM)
            await told
            assert (await anext(states)).status == health_pb2.HealthCheckResponse.NOT_SERVING
            with pytest.raises(errors.ShuttingDown):
                await client.ask("Work", timeout_seconds=10)
            await load.until(lambda: load.answered[second.address] >= MANY)
            assert first.orchestrator.process.returncode is None, "its streams have not ended"
            gate.touch()
            for events in streams:
                *_, last = [event async for event in events]
                assert isinstance(last, Finished)
                assert last.answer.outcome is RunOutcome.COMPLETE
            assert await first.orchestrator.ended() == 0
            before = load.answered[second.address]
            await load.until(lambda: load.answered[second.address] >= before + MANY)
        assert load.failed == []
        assert load.refused["ShuttingDown"] > 0
        assert load.refused.keys() <= {"ShuttingDown", "Unreachable"}
        for process in (*first.agents, *second.agents, second.orchestrator):
            process.process.send_signal(signal.SIGTERM)
        assert await asyncio.gather(*others) == [0, 0, 0]


async def test_an_agent_leaves_under_load_and_no_ask_fails() -> None:
    async with meshes(2) as (mesh,):
        load = Load([mesh.address])
        used = {asyncio.create_task(first_call(agent)): agent for agent in mesh.agents}
        async with load.running():
            done, _ = await asyncio.wait(used, return_when=asyncio.FIRST_COMPLETED)
            leaving = used.pop(done.pop())
            others = [mesh.orchestrator.ended(), *(ended_after(called, agent) for called, agent in used.items())]
            ends = asyncio.gather(*others)
            leaving.process.send_signal(signal.SIGTERM)
            await leaving.says("deregistered")
            assert await leaving.ended() == 0
            before = load.answered[mesh.address]
            await load.until(lambda: load.answered[mesh.address] >= before + MANY)
        assert load.failed == []
        assert not load.refused
        for process in (*used.values(), mesh.orchestrator):
            process.process.send_signal(signal.SIGTERM)
        assert await ends == [0, 0]
    served = Counter(calls_of(leaving))
    assert served["OK"] > 1, served
    assert served.keys() <= {"OK", "UNAVAILABLE"}, "nothing that it had begun was cancelled"


async def first_call(agent: Process) -> None:
    while not str((await agent.says("rpc"))["method"]).endswith("/Execute"):
        pass


async def ended_after(called: asyncio.Task[None], agent: Process) -> int:
    await called
    return await agent.ended()


async def test_a_run_that_nobody_waits_for_ends_before_its_orchestrator_and_its_agent_do(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    async with meshes(1) as (mesh,), AsyncMeshClient(mesh.address) as client, health(mesh.address) as states:
        agent = mesh.agents[0]
        assert (await anext(states)).status == health_pb2.HealthCheckResponse.SERVING
        events = await waiting_at(gate, client, keep_running=True)
        await events.aclose()
        mesh.orchestrator.process.send_signal(signal.SIGTERM)
        assert (await anext(states)).status == health_pb2.HealthCheckResponse.NOT_SERVING
        agent.process.send_signal(signal.SIGTERM)
        await agent.says("deregistered")
        assert agent.process.returncode is mesh.orchestrator.process.returncode is None
        gate.touch()
        assert await mesh.orchestrator.ended() == 0
        assert await agent.ended() == 0
    assert calls_of(agent) == ["OK"]


async def test_a_second_signal_ends_an_orchestrator_at_once_although_runs_hang(tmp_path: Path) -> None:
    async with meshes(1) as (mesh,), AsyncMeshClient(mesh.address) as client:
        agent = mesh.agents[0]
        events = await waiting_at(tmp_path / "never", client)
        kept = await waiting_at(tmp_path / "never", client, keep_running=True)
        await kept.aclose()
        mesh.orchestrator.process.send_signal(signal.SIGTERM)
        await mesh.orchestrator.says("signal")
        mesh.orchestrator.process.send_signal(signal.SIGTERM)
        assert await mesh.orchestrator.ended() == 0
        with pytest.raises(errors.Unreachable):
            await anext(events)
        assert await agent.stop() == 0
    assert calls_of(agent) == ["CANCELLED", "CANCELLED"]
