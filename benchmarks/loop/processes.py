"""A mesh of real processes for as long as it is needed: one orchestrator, and with it the three agents."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

from agentmesh.client import AsyncMeshClient, Listing
from agentmesh.transport import open_channel
from agentmesh.v1.registry_service_pb2 import ListAgentsResponse, RegisterRequest
from agentmesh.v1.registry_service_pb2_grpc import RegistryStub

if TYPE_CHECKING:
    from agentmesh.v1.registry_service_pb2_grpc import RegistryAsyncStub

AGENTS: Final = ("data_agent", "analytics_agent", "config_agent")

_START_SECONDS: Final = 60.0
_STOP_SECONDS: Final = 10.0
_LOOK_SECONDS: Final = 0.05
_LEASE_SECONDS: Final = 3600
_FOREIGN: Final = ("AGENTMESH_", "OPENAI_", "AZURE_OPENAI_")
"""Variables that would change what is measured."""


class NotStarted(RuntimeError):
    """A process ended, or did not get ready; the text has the end of its log."""


@asynccontextmanager
async def orchestrator(environment: Mapping[str, str], **settings: str) -> AsyncIterator[str]:
    """Run an orchestrator on a free port and give its address.

    Args:
        environment: Of this process; what would configure a mesh is left out.
        settings: AGENTMESH_* variables, by the rest of their name.
    """
    async with _process("orchestrator_svc", environment, LISTEN="127.0.0.1:0", **settings) as log:
        yield await _address_in(log)


@asynccontextmanager
async def agents(environment: Mapping[str, str], address: str) -> AsyncIterator[Listing]:
    """Run the three agents, registered there; give what the orchestrator lists once all are."""
    # Sampling so rarely that the history stays the shipped recording: every run sees the same anomalies.
    settings = {"ORCHESTRATOR_ADDRESS": address, "ANALYTICS_AGENT_INTERVAL_SECONDS": "3600"}
    async with AsyncExitStack() as stack:
        logs = [
            await stack.enter_async_context(_process(f"agent_svcs.{name}", environment, **settings)) for name in AGENTS
        ]
        yield await _all_listed(address, logs)


async def _all_listed(address: str, logs: Sequence[_Log]) -> Listing:
    async with AsyncMeshClient(address) as mesh, asyncio.timeout(_START_SECONDS):
        while True:
            listing = await mesh.list_agents()
            if len(listing.agents) == len(logs):
                return listing
            for log in logs:
                log.lines()  # raises if it has ended
            await asyncio.sleep(_LOOK_SECONDS)


async def list_also(address: str, listing: Listing) -> None:
    """Register agents that run already with another orchestrator, for as long as the benchmark may take."""
    assert isinstance(listing.wire, ListAgentsResponse)
    async with open_channel(address) as channel:
        registry: RegistryAsyncStub = RegistryStub(channel)
        for agent in listing.wire.agents:
            request = RegisterRequest(card=agent.card, address=agent.endpoints[0].address)
            request.ttl.FromSeconds(_LEASE_SECONDS)
            await registry.Register(request, timeout=_START_SECONDS)


@asynccontextmanager
async def _process(module: str, environment: Mapping[str, str], **settings: str) -> AsyncIterator[_Log]:
    kept = {name: value for name, value in environment.items() if not name.startswith(_FOREIGN)}
    variables = {**kept, **{f"AGENTMESH_{name}": value for name, value in settings.items()}}
    with TemporaryDirectory() as directory:
        path = Path(directory) / "log"
        with path.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                module,
                env=variables,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        try:
            yield _Log(module, path, process)
        finally:
            await _stop(process)


class _Log:
    """What a process has written so far. A file, because a pipe would have to be read all the time."""

    def __init__(self, module: str, path: Path, process: asyncio.subprocess.Process) -> None:
        self._module = module
        self._path = path
        self._process = process

    def lines(self) -> list[str]:
        """Whole lines.

        Raises:
            NotStarted: The process has ended.
        """
        lines = self._path.read_text(errors="replace").splitlines(keepends=True)
        if self._process.returncode is not None:
            end = "".join(lines[-20:])
            raise NotStarted(f"{self._module} ended with {self._process.returncode}:\n{end}")
        return [line for line in lines if line.endswith("\n")]


async def _address_in(log: _Log) -> str:
    async with asyncio.timeout(_START_SECONDS):
        while True:
            for line in log.lines():
                entry = json.loads(line) if line.startswith("{") else {}
                if entry.get("event") == "orchestrator is listening":
                    return str(entry["address"])
            await asyncio.sleep(_LOOK_SECONDS)


async def _stop(process: asyncio.subprocess.Process) -> None:
    """Let it drain, and end it if it does not."""
    if process.returncode is None:
        process.terminate()
    try:
        async with asyncio.timeout(_STOP_SECONDS):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
