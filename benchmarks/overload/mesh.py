"""The processes: an orchestrator as it comes, an agent that does nothing, and one that asks."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import psutil

from agentmesh.client import AsyncMeshClient
from benchmarks.overload import agent
from benchmarks.overload.load import Counted, Load

_ROOT: Final = Path(__file__).parents[2]
_START_SECONDS: Final = 30.0
_LOOK_SECONDS: Final = 0.05
_MOST_LINE_BYTES: Final = 2**26
"""Of what the asking process says of one phase: a number for each ask."""
_FOREIGN: Final = ("AGENTMESH_", "OPENAI_", "AZURE_OPENAI_", "OTEL_")
"""Variables that would change what is measured."""


@dataclass(frozen=True, slots=True)
class Phase:
    """One load, and what came of it."""

    name: str
    counted: Counted
    orchestrator_cpu_seconds: float
    resident_mib: float
    """Memory of the orchestrator afterwards."""

    @property
    def goodput(self) -> float:
        """Complete answers a second."""
        return len(self.counted.answered) / self.counted.seconds

    @property
    def asks(self) -> int:
        counted = self.counted
        return len(counted.answered) + len(counted.refused) + counted.dropped + sum(counted.failed.values())


class Mesh:
    """A mesh that can be asked."""

    def __init__(self, loader: asyncio.subprocess.Process, orchestrator: psutil.Process) -> None:
        self._loader = loader
        self._orchestrator = orchestrator

    async def asked(self, name: str, load: Load) -> Phase:
        """Ask as much as this, and wait for all answers."""
        assert self._loader.stdin is not None
        assert self._loader.stdout is not None
        before = self._cpu_seconds()
        self._loader.stdin.write(json.dumps(asdict(load)).encode() + b"\n")
        counted = Counted(**json.loads(await self._loader.stdout.readline()))
        resident = self._orchestrator.memory_info().rss / 2**20
        return Phase(name, counted, self._cpu_seconds() - before, resident)

    def _cpu_seconds(self) -> float:
        times = self._orchestrator.cpu_times()
        return float(times.user + times.system)


@asynccontextmanager
async def running_mesh(agent_seconds: float, **settings: str) -> AsyncIterator[Mesh]:
    """Start the processes, and stop them at the end.

    Args:
        agent_seconds: How long the agent takes for its answer.
        settings: AGENTMESH_* variables of the orchestrator, by the rest of their name.

    Raises:
        TimeoutError: The orchestrator or its agent did not come up.
    """
    own = {f"AGENTMESH_{name}": value for name, value in settings.items()}
    with TemporaryDirectory() as directory:
        logs = Path(directory)
        async with process("orchestrator_svc", logs, AGENTMESH_LISTEN="127.0.0.1:0", **own) as orchestrator:
            address = await address_in(logs / "orchestrator_svc")
            agent_settings = {"AGENTMESH_ORCHESTRATOR_ADDRESS": address, agent.SECONDS_VARIABLE: str(agent_seconds)}
            async with (
                process("benchmarks.overload.agent", logs, **agent_settings),
                process("benchmarks.overload.load", None, LOAD_ADDRESS=address) as loader,
            ):
                await listed(address)
                yield Mesh(loader, psutil.Process(orchestrator.pid))


@asynccontextmanager
async def process(module: str, logs: Path | None, **variables: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a module; what it says goes to a file of its name, or to us if there is no place for logs."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
    with (logs / module if logs else Path(os.devnull)).open("wb") as log:
        started = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", module),
            cwd=_ROOT,
            env={**kept, **variables},
            stdin=asyncio.subprocess.PIPE,
            stdout=log if logs else asyncio.subprocess.PIPE,
            limit=_MOST_LINE_BYTES,
        )
    try:
        yield started
    finally:
        if started.returncode is None:
            started.terminate()
        await started.wait()


async def address_in(log: Path) -> str:
    """What the orchestrator says that it listens on.

    Raises:
        TimeoutError: It says nothing.
    """
    async with asyncio.timeout(_START_SECONDS):
        while True:
            for line in (await asyncio.to_thread(log.read_text)).splitlines():
                if "orchestrator is listening" in line:
                    return str(json.loads(line)["address"])
            await asyncio.sleep(_LOOK_SECONDS)


async def listed(address: str) -> None:
    """Return when the agent is in the mesh.

    Raises:
        TimeoutError: It did not come.
    """
    async with AsyncMeshClient(address) as client, asyncio.timeout(_START_SECONDS):
        while agent.NAME not in {listed.name for listed in (await client.list_agents()).agents}:  # noqa: ASYNC110
            await asyncio.sleep(_LOOK_SECONDS)
