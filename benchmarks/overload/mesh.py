"""The processes: an orchestrator as it comes, an agent that does nothing, and one that asks."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

from benchmarks.overload import agent
from benchmarks.overload.load import Counted, Load
from benchmarks.processes import address_in, listed, process


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
                await listed(agent.NAME, address)
                yield Mesh(loader, psutil.Process(orchestrator.pid))
