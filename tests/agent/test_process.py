"""An agent as a process of its own: ten lines, registration, signals, exit codes."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from agentmesh import errors
from agentmesh.errors import Violation, ViolationReason
from agentmesh.transport import from_struct, open_channel, to_struct
from agentmesh.v1 import agent_service_pb2, agent_service_pb2_grpc
from tests.agent.registry_server import RegistryServer, serving

TEN_LINES = '''\
from agentmesh.agent import Agent

agent = Agent("greeting_agent", version="0.1.0", description="Greets people.")

@agent.skill(effect="READ_ONLY")
def greet(name: str) -> str:
    """Greet somebody by name."""
    return f"Hello {name}"

agent.serve()
'''

AT_WORK = '''\
import asyncio, threading
from agentmesh.agent import Agent

agent = Agent("working_agent", version="0.1.0", description="Works.")
release = asyncio.Event()

@agent.skill(effect="READ_ONLY")
async def work() -> str:
    """Work until released."""
    print("at work", flush=True)
    await release.wait()
    return "done"

@agent.skill(effect="READ_ONLY")
async def let_go() -> None:
    """Release it a little later, so that this call is answered before."""
    asyncio.get_running_loop().call_later(0.1, release.set)

@agent.skill(effect="READ_ONLY")
def block() -> None:
    """Block for ever."""
    print("at work", flush=True)
    threading.Event().wait()

@agent.skill(effect="READ_ONLY")
async def block_executor() -> None:
    """Block a thread of the loop's executor for ever."""
    print("at work", flush=True)
    await asyncio.to_thread(threading.Event().wait)

@agent.skill(effect="READ_ONLY")
async def hold_on() -> None:
    """Swallow every cancellation."""
    print("at work", flush=True)
    while True:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            pass

agent.serve()
'''


class AgentProcess:
    """An agent that runs as a child of this test."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.lines: list[str] = []
        """Of standard output, as far as they were read."""

    async def line(self, wanted: str) -> str:
        """Read on until a line that contains the text."""
        assert self._process.stdout is not None
        while line := (await self._process.stdout.readline()).decode():
            self.lines.append(line)
            if wanted in line:
                return line
        raise AssertionError(f"no line with {wanted!r} in:\n{''.join(self.lines)}")

    async def event(self, name: str) -> dict[str, Any]:
        """Read on until the log has an event."""
        entry: dict[str, Any] = json.loads(await self.line(f'"event": "{name}"'))
        return entry

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    async def end(self) -> tuple[int, str]:
        """Wait until it has ended; return its exit code and standard error."""
        stdout, stderr = await self._process.communicate()
        self.lines += stdout.decode().splitlines(keepends=True)
        assert self._process.returncode is not None
        return self._process.returncode, stderr.decode()


@asynccontextmanager
async def started(source: str, directory: Path, **environment: str) -> AsyncIterator[AgentProcess]:
    program = directory / "program.py"
    program.write_text(source)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(program),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={"PATH": os.environ["PATH"], "PYTHONWARNINGS": "error", "no_proxy": "127.0.0.1", **environment},
    )
    try:
        yield AgentProcess(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@asynccontextmanager
async def registered(
    source: str, directory: Path, **environment: str
) -> AsyncIterator[tuple[AgentProcess, RegistryServer, str]]:
    """An agent process, the registry where it is registered, and its address."""
    registry = RegistryServer(heartbeat_seconds=0.05)
    async with (
        serving(registry) as server,
        started(source, directory, AGENTMESH_ORCHESTRATOR_ADDRESS=server.address, **environment) as process,
    ):
        await registry.until(lambda: bool(registry.leases))
        (lease,) = registry.leases.values()
        yield process, registry, lease.address


async def execute(address: str, skill: str, **arguments: str) -> Any:  # noqa: ANN401 - JSON
    async with open_channel(address) as channel:
        request = agent_service_pb2.ExecuteRequest(skill=skill, arguments=to_struct(dict(arguments)))
        return from_struct((await agent_service_pb2_grpc.AgentStub(channel).Execute(request)).result)["result"]


async def _describe_until_refused(stub: agent_service_pb2_grpc.AgentAsyncStub) -> None:
    while True:
        await stub.Describe(agent_service_pb2.DescribeRequest())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
async def test_an_agent_is_ten_lines(tmp_path: Path, number: signal.Signals) -> None:
    assert len(TEN_LINES.splitlines()) == 10
    async with registered(TEN_LINES, tmp_path) as (process, registry, address):
        assert await execute(address, "greet", name="Ada") == "Hello Ada"
        await registry.until(lambda: "Heartbeat" in registry.heard)
        process.send(number)
        code, text = await process.end()
        assert code == 0
        assert "Traceback" not in text
        assert registry.leases == {}
        assert registry.heard[-1] == "Deregister"


async def test_it_finds_the_orchestrator_that_comes_later_and_the_one_that_restarts(tmp_path: Path) -> None:
    address = f"unix:{tmp_path}/registry"
    async with started(TEN_LINES, tmp_path, AGENTMESH_ORCHESTRATOR_ADDRESS=address) as process:
        await process.event("not_registered")
        for _life in range(2):
            registry = RegistryServer(heartbeat_seconds=0.05)
            async with serving(registry, listen=address):
                await registry.until(lambda registry=registry: bool(registry.leases))  # type: ignore[misc]
                beats = registry.heard.count("Heartbeat")
                await registry.until(lambda r=registry, n=beats: r.heard.count("Heartbeat") > n)  # type: ignore[misc]
                assert len(registry.leases) == 1
        process.send(signal.SIGTERM)
        code, text = await process.end()
        assert code == 0
        assert "Traceback" not in text
    said = [json.loads(line)["event"] for line in process.lines if '"agentmesh.agent"' in line]
    assert said.count("not_registered") == 1


async def test_a_call_in_flight_is_answered_and_new_ones_are_refused_while_it_drains(tmp_path: Path) -> None:
    async with registered(AT_WORK, tmp_path) as (process, registry, address), open_channel(address) as channel:
        stub = agent_service_pb2_grpc.AgentStub(channel)
        health: Any = health_pb2_grpc.HealthStub(channel)
        watch = health.Watch(health_pb2.HealthCheckRequest(service="agentmesh.v1.Agent"))
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        working = asyncio.create_task(execute(address, "work"))
        await process.line("at work")
        await execute(address, "let_go")
        process.send(signal.SIGTERM)
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        await registry.until(lambda: not registry.leases)
        with pytest.raises(errors.ShuttingDown):
            await _describe_until_refused(stub)
        assert await working == "done"
        code, text = await process.end()
        assert code == 0
        assert "Traceback" not in text


@pytest.mark.parametrize("skill", ["work", "block", "block_executor", "hold_on"])
async def test_a_second_signal_ends_it_at_once(tmp_path: Path, skill: str) -> None:
    async with registered(AT_WORK, tmp_path, AGENTMESH_DRAIN_SECONDS="3600") as (process, registry, address):
        working = asyncio.create_task(execute(address, skill))
        await process.line("at work")
        process.send(signal.SIGTERM)
        await registry.until(lambda: not registry.leases)
        process.send(signal.SIGINT)
        code, _ = await process.end()
        assert code == 0
        with pytest.raises(errors.MeshError):
            await working


async def test_a_thread_that_never_ends_does_not_hold_up_the_end(tmp_path: Path) -> None:
    async with registered(AT_WORK, tmp_path) as (process, _, address):
        blocking = asyncio.create_task(execute(address, "block"))
        await process.line("at work")
        blocking.cancel()
        await asyncio.wait({blocking})
        process.send(signal.SIGTERM)
        assert (await process.end())[0] == 0


async def test_a_refused_registration_ends_it_with_1_and_every_violation(tmp_path: Path) -> None:
    registry = RegistryServer(heartbeat_seconds=5)
    violations = [Violation(f"card.skills[{n}]", ViolationReason.SKILL_NAME, f"is bad {n}") for n in range(2)]
    registry.answers.append(errors.CardInvalid("the card breaks 2 rules", violations=violations))
    async with (
        serving(registry) as server,
        started(TEN_LINES, tmp_path, AGENTMESH_ORCHESTRATOR_ADDRESS=server.address) as process,
    ):
        code, text = await process.end()
    assert code == 1
    assert text.splitlines() == [
        "agent greeting_agent: the orchestrator refuses it: the card breaks 2 rules",
        "  card.skills[0]: is bad 0",
        "  card.skills[1]: is bad 1",
    ]


async def test_an_address_that_is_taken_ends_it_with_1_and_one_line(tmp_path: Path) -> None:
    async with (
        serving(RegistryServer(heartbeat_seconds=60)) as other,
        started(TEN_LINES, tmp_path, AGENTMESH_AGENT_LISTEN=other.address) as process,
    ):
        code, text = await process.end()
    assert code == 1
    assert text == f"agent greeting_agent: cannot listen on {other.address}: Address already in use\n"


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        (
            {"AGENTMESH_AGENT_TTL_SECONDS": "soon", "AGENTMESH_ALLOW_PLAINTEXT": "perhaps", "AGENTMESH_LOG_LEVEL": "x"},
            ["AGENTMESH_AGENT_TTL_SECONDS", "AGENTMESH_ALLOW_PLAINTEXT", "AGENTMESH_LOG_LEVEL"],
        ),
        ({"AGENTMESH_AGENT_LISTEN": "nonsense"}, ["greeting_agent", "'nonsense'"]),
        (
            {"AGENTMESH_AGENT_LISTEN": "0.0.0.0:0", "AGENTMESH_ALLOW_PLAINTEXT": "1"},
            ["AGENTMESH_AGENT_ADVERTISE", "0.0.0.0:0"],
        ),
        (
            {"AGENTMESH_AGENT_LISTEN": "0.0.0.0:0", "AGENTMESH_AGENT_ADVERTISE": "agent:1"},
            ["AGENTMESH_ALLOW_PLAINTEXT"],
        ),
    ],
    ids=["several", "address", "every interface", "plaintext"],
)
async def test_wrong_settings_end_it_with_1_and_a_text_without_a_traceback(
    tmp_path: Path, environment: dict[str, str], named: list[str]
) -> None:
    async with started(TEN_LINES, tmp_path, **environment) as process:
        code, text = await process.end()
    assert code == 1
    assert [part for part in named if part not in text] == []
    assert "Traceback" not in text
