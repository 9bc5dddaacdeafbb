"""A mesh of real processes on loopback, started and ended by us."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Final

import psutil

from agent_svcs.analytics_agent.sampler import Found
from agent_svcs.components import MODULES

START_SECONDS: Final = 30.0
STOP_SECONDS: Final = 10.0
ORCHESTRATOR: Final = "orchestrator"


class NotStarted(RuntimeError):
    """A service ended, or said nothing for too long, before it listened."""


@dataclass(frozen=True, slots=True)
class RunningService:
    """One service of the mesh."""

    process: psutil.Process
    address: str


@dataclass(frozen=True, slots=True)
class RunningMesh:
    """Services by name."""

    services: Mapping[str, RunningService]

    def find(self) -> Found:
        """The processes of this mesh, and of no other that runs on the machine."""
        return [(name, service.process) for name, service in self.services.items()]


def installed_services() -> list[str]:
    """The services whose modules are there, the orchestrator first."""
    return [name for name, module in MODULES.items() if importlib.util.find_spec(f"{module}.__main__") is not None]


@asynccontextmanager
async def running_mesh(inherited: Mapping[str, str]) -> AsyncIterator[RunningMesh]:
    """Starts every installed service on a port that the system chooses; ends them in reverse order.

    Of the environment `inherited`, settings of the mesh and keys of models are left out.
    """
    base = {key: value for key, value in inherited.items() if not key.startswith(("AGENTMESH_", "OPENAI_"))}
    async with AsyncExitStack() as stack:
        services: dict[str, RunningService] = {}
        for name in installed_services():
            environment = {**base, "AGENTMESH_LISTEN": "127.0.0.1:0", "AGENTMESH_AGENT_LISTEN": "127.0.0.1:0"}
            if ORCHESTRATOR in services:
                environment["AGENTMESH_ORCHESTRATOR_ADDRESS"] = services[ORCHESTRATOR].address
            services[name] = await stack.enter_async_context(_running(name, environment))
        yield RunningMesh(services)


@asynccontextmanager
async def _running(name: str, environment: Mapping[str, str]) -> AsyncIterator[RunningService]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", MODULES[name], env=environment, stdout=asyncio.subprocess.PIPE
    )
    try:
        try:
            async with asyncio.timeout(START_SECONDS):
                address = await _address(name, process)
        except TimeoutError:
            raise NotStarted(f"{name} did not listen within {START_SECONDS:g} s") from None
        draining = asyncio.create_task(_drain(process))
        try:
            yield RunningService(psutil.Process(process.pid), address)
        finally:
            draining.cancel()
    finally:
        await _end(process)


async def _address(name: str, process: asyncio.subprocess.Process) -> str:
    """From the first log line that has one."""
    assert process.stdout is not None
    while line := await process.stdout.readline():
        with contextlib.suppress(ValueError):
            entry = json.loads(line)
            if isinstance(entry, dict) and isinstance(entry.get("address"), str):
                return str(entry["address"])
    raise NotStarted(f"{name} ended before it listened")


async def _drain(process: asyncio.subprocess.Process) -> None:
    """Reads the log away, so that the process is never held up by a full pipe."""
    assert process.stdout is not None
    while await process.stdout.read(65536):
        pass


async def _end(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await process.communicate()
    except TimeoutError:
        process.kill()
        await process.communicate()
