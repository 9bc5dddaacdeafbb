"""A serving process ends in two stages: the first signal drains, the second stops."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from agentmesh import errors
from agentmesh.transport import build_server, open_channel, run_until_signal
from agentmesh.v1 import agent_service_pb2_grpc as pb_grpc
from tests.transport.support import agent_service, call

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Process:
    process: asyncio.subprocess.Process
    stub: pb_grpc.AgentAsyncStub
    health: Any

    async def says(self, *, until: str) -> list[str]:
        """Its lines up to this one, without those of the log."""
        lines: list[str] = []
        assert self.process.stdout is not None
        while until not in lines:
            line = (await self.process.stdout.readline()).decode()
            assert line, lines
            if "[info" not in line:
                lines.append(line.strip())
        return lines

    def release(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(b"\n")


@asynccontextmanager
async def serving_process() -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.transport.serving_process",
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        address = (await process.stdout.readline()).decode().strip()
        async with open_channel(address, peer="the process") as channel:
            yield Process(process, pb_grpc.AgentStub(channel), health_pb2_grpc.HealthStub(channel))
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_the_first_signal_finishes_the_call_in_flight_and_exits_0(number: signal.Signals) -> None:
    async with serving_process() as agent:
        running = asyncio.ensure_future(agent.stub.Execute(call("first"), timeout=30))
        await agent.says(until="started first")
        agent.process.send_signal(number)
        await agent.says(until="deregistered")
        watch = agent.health.Watch(health_pb2.HealthCheckRequest(), timeout=30)
        while (await watch.read()).status != health_pb2.HealthCheckResponse.NOT_SERVING:
            pass
        with pytest.raises(errors.ShuttingDown):
            await agent.stub.Execute(call("later"), timeout=30)
        assert not running.done()
        agent.release()
        await running
        assert await agent.says(until="stopped") == ["finished", "stopped"]
        assert await agent.process.wait() == 0


async def test_the_second_signal_cancels_what_runs() -> None:
    async with serving_process() as agent:
        running = asyncio.ensure_future(agent.stub.Execute(call("first"), timeout=30))
        await agent.says(until="started first")
        agent.process.send_signal(signal.SIGTERM)
        await agent.says(until="deregistered")
        agent.process.send_signal(signal.SIGTERM)
        assert await agent.says(until="cancelled") == ["cancelled"]
        with pytest.raises(errors.Unreachable):
            await running
        agent.release()  # the thread that reads the line outlives the call, and Python waits for it
        await agent.says(until="stopped")
        assert await agent.process.wait() == 0


async def test_what_fails_before_draining_does_not_keep_the_server_from_its_end() -> None:
    server = build_server("127.0.0.1:0", [agent_service()])
    await server.start()

    async def deregister() -> None:
        raise errors.Unreachable("the orchestrator is gone")

    ending = asyncio.create_task(run_until_signal(server, before_drain=deregister))
    await asyncio.sleep(0)
    signal.raise_signal(signal.SIGTERM)
    await ending
    async with open_channel(server.address) as channel:
        with pytest.raises(errors.Unreachable):
            await pb_grpc.AgentStub(channel).Execute(call(), timeout=10)
