"""Endpoints of one agent under load, each a process: they share it, die, hang, come, go, and are replaced.

A caller asks at a steady rate, whatever becomes of the answers; each of its questions must be answered in time.
"""

from __future__ import annotations

import asyncio
import json
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import grpc.aio
import pytest

from agentmesh.v1 import orchestrator_service_pb2 as pb
from agentmesh.v1 import orchestrator_service_pb2_grpc, registry_service_pb2, registry_service_pb2_grpc, run_pb2
from tests.e2e.agents.counter import TAKES
from tests.e2e.processes import Process, running

ASKS = 210
A_SECOND = 35.0
DEADLINE_SECONDS = 5.0
"""Of each question."""
PATIENCE_SECONDS = 30.0
"""Only a test that fails waits so long."""

pytestmark = pytest.mark.timeout(90)


@dataclass(frozen=True)
class Asked:
    """How a question went."""

    began: float
    """On the clock of the loop."""
    seconds: float
    endpoint: str
    attempts: int
    problem: str
    """Empty if it was answered."""


@dataclass
class Agent:
    """An endpoint: a process whose output is read to its end."""

    process: Process
    address: str
    version: int
    ended: asyncio.Task[int]

    def send(self, number: signal.Signals) -> None:
        self.process.process.send_signal(number)

    def records(self, event: str) -> list[dict[str, Any]]:
        """What it has logged of this event; it has ended."""
        lines = [json.loads(line) for part in self.process.lines for line in part.splitlines() if line.startswith("{")]
        return [line for line in lines if line.get("event") == event]


@dataclass
class Mesh:
    """An orchestrator, a process, and the endpoints that were started for it."""

    address: str
    channel: grpc.aio.Channel
    stack: AsyncExitStack
    directory: Path
    agents: list[Agent] = field(default_factory=list)
    started: int = 0
    asked: list[Asked] = field(default_factory=list)

    async def start(self, version: int = 1) -> Agent:
        """Start an endpoint, every other one on a unix socket, and return when it has registered."""
        self.started += 1
        number = self.started
        listen = f"unix:{self.directory}/{number}" if number % 2 else "127.0.0.1:0"
        environment = {
            "AGENTMESH_ORCHESTRATOR_ADDRESS": self.address,
            "AGENTMESH_AGENT_LISTEN": listen,
            "COUNTER_VERSION": str(version),
        }
        process = await self.stack.enter_async_context(
            running("-m", "tests.e2e.agents.counter", environment=environment)
        )
        address = str((await process.says("serving"))["address"])
        await process.says("registered")
        agent = Agent(process, address, version, asyncio.create_task(process.ended()))
        self.agents.append(agent)
        return agent

    async def ask(self, number: int) -> None:
        orchestrator = orchestrator_service_pb2_grpc.OrchestratorStub(self.channel)
        began = asyncio.get_running_loop().time()
        endpoint, attempts, problem = "", 0, ""
        request = pb.AskRequest(query=f'Count the pieces of "tea {number % 7}"', answer_format=pb.ANSWER_FORMAT_RAW)
        try:
            response = await orchestrator.Ask(request, timeout=DEADLINE_SECONDS)
        except grpc.aio.AioRpcError as error:
            problem = f"{error.code()}: {error.details()}"
        else:
            step = response.steps[0] if response.steps else run_pb2.StepResult()
            endpoint, attempts = step.endpoint, step.attempts
            if response.outcome != run_pb2.RUN_OUTCOME_COMPLETE or step.result["pieces"] != len("tea 0"):
                problem = str(response)
        self.asked.append(Asked(began, asyncio.get_running_loop().time() - began, endpoint, attempts, problem))

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until so, as questions are answered."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not condition():  # noqa: ASYNC110 - asked again with each question, and there are many
                await asyncio.sleep(1 / A_SECOND)

    @asynccontextmanager
    async def load(self) -> AsyncIterator[None]:
        """Ask at a steady rate while the block runs, and so long as there have not been enough questions."""
        loop = asyncio.get_running_loop()
        over = asyncio.Event()

        async def caller(group: asyncio.TaskGroup) -> None:
            start, number = loop.time(), 0
            while number < ASKS or not over.is_set():
                group.create_task(self.ask(number))
                number += 1
                await asyncio.sleep(max(0.0, start + number / A_SECOND - loop.time()))

        async with asyncio.TaskGroup() as group:
            group.create_task(caller(group))
            yield
            over.set()

    async def listed(self) -> set[str]:
        registry = registry_service_pb2_grpc.RegistryStub(self.channel)
        response = await registry.ListAgents(registry_service_pb2.ListAgentsRequest())
        return {endpoint.address for agent in response.agents for endpoint in agent.endpoints}

    def spread(self) -> Counter[str]:
        return Counter(one.endpoint for one in self.asked)

    def tell(self, what: str, since: float = 0.0) -> None:
        """Every question was answered; say how fast, of those that were not answered before a moment."""
        assert [one.problem for one in self.asked if one.problem] == []
        assert len(self.asked) >= ASKS
        seconds = [one.seconds for one in self.asked if since <= one.began + one.seconds <= since + 3 or not since]
        rate = len(self.asked) / (max(one.began for one in self.asked) - min(one.began for one in self.asked))
        print(  # noqa: T201 - figures for the reader of the test
            f"\n{what}: {len(self.asked)} asked, {rate:.0f} a second, 0 failed,"
            f" {sum(one.attempts > 1 for one in self.asked)} repeated;"
            f" {len(seconds)}{' in the 3 s after it' if since else ''}:"
            f" p50 {median(seconds) * 1000:.0f} ms, max {max(seconds) * 1000:.0f} ms;"
            f" at the endpoints {sorted(self.spread().values())}"
        )


@asynccontextmanager
async def mesh_of(directory: Path, **settings: str) -> AsyncIterator[Mesh]:
    """With three endpoints, and these settings of the orchestrator."""
    async with AsyncExitStack() as stack:
        environment = {"AGENTMESH_LISTEN": "127.0.0.1:0", **settings}
        orchestrator = await stack.enter_async_context(running("-m", "orchestrator_svc", environment=environment))
        address = str((await orchestrator.says("orchestrator is listening"))["address"])
        reading = asyncio.create_task(orchestrator.ended())
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(address))
        mesh = Mesh(address, channel, stack, directory)
        await asyncio.gather(*(mesh.start() for _ in range(3)))
        await mesh.ask(0)  # the planner learns the catalog once
        mesh.asked.clear()
        yield mesh
        for agent in mesh.agents:
            if agent.process.process.returncode is None:
                agent.send(signal.SIGCONT)
                agent.send(signal.SIGTERM)
        await asyncio.gather(*(agent.ended for agent in mesh.agents))
        orchestrator.process.send_signal(signal.SIGTERM)
        assert await reading == 0


async def test_endpoints_share_the_calls_and_a_new_one_takes_part_within_two_seconds(tmp_path: Path) -> None:
    async with mesh_of(tmp_path) as mesh:
        async with mesh.load():
            pass
        mesh.tell("spread over 3")
        third = len(mesh.asked) / 3
        assert len(mesh.spread()) == 3
        assert all(0.8 * third <= calls <= 1.2 * third for calls in mesh.spread().values()), mesh.spread()

        mesh.asked.clear()
        async with mesh.load():
            added = await mesh.start()
            came = asyncio.get_running_loop().time()
            await mesh.until(lambda: mesh.spread()[added.address] > 0)
        first = min(one.began for one in mesh.asked if one.endpoint == added.address)
        mesh.tell(f"a fourth is added, and called after {max(0.0, first - came):.2f} s")
        assert first - came < 2.0


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=lambda number: number.name)
async def test_an_endpoint_dies_or_hangs_and_no_question_fails(tmp_path: Path, number: signal.Signals) -> None:
    """Also where nothing is left of the budget for retries: however many calls it takes with it, all of them move."""
    async with mesh_of(tmp_path, AGENTMESH_RETRY_SHARE="0", AGENTMESH_RETRY_BURST="0") as mesh:
        victim = mesh.agents[1]
        async with mesh.load():
            await mesh.until(lambda: mesh.spread()[victim.address] >= 10)
            victim.send(number)
            moment = asyncio.get_running_loop().time()
        mesh.tell(f"one of 3 gets {number.name}", since=moment)
        assert len(mesh.spread()) == 3


async def test_all_endpoints_are_restarted_one_by_one_and_no_question_fails(tmp_path: Path) -> None:
    async with mesh_of(tmp_path) as mesh:
        before = list(mesh.agents)
        async with mesh.load():
            await replace_all(mesh, before, version=1)
        mesh.tell("3 are restarted one by one")
        assert len(mesh.spread()) == 6


async def test_a_new_version_with_another_schema_is_rolled_out_and_no_call_meets_the_wrong_one(tmp_path: Path) -> None:
    async with mesh_of(tmp_path) as mesh:
        before = list(mesh.agents)
        async with mesh.load():
            await replace_all(mesh, before, version=2)
        mesh.tell("3 are replaced by a version with another schema")
    served = Counter[int]()
    for agent in mesh.agents:
        called = agent.records("called")
        served[agent.version] += len(called)
        assert {tuple(call["arguments"]) for call in called} <= {(TAKES[agent.version],)}
        codes = {line["code"] for line in agent.records("rpc") if line["method"].endswith("/Execute")}
        assert codes <= {"OK", "UNAVAILABLE"}, "none was refused for its schema"
    assert served[1] > 0
    assert served[2] > 0


async def replace_all(mesh: Mesh, before: list[Agent], version: int) -> None:
    """As a platform does it: a new one is started, and when it has registered, an old one is told to end."""
    for old in before:
        new = await mesh.start(version)
        await mesh.until(lambda: mesh.spread()[new.address] >= 5)  # noqa: B023 - called at once
        old.send(signal.SIGTERM)
        assert await old.ended == 0
    assert await mesh.listed() == {agent.address for agent in mesh.agents if agent not in before}
