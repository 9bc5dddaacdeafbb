"""Processes that benchmarks start: without the settings of this machine, and there when they can be used."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from agentmesh.client import AsyncMeshClient

ROOT: Final = Path(__file__).parents[1]
_START_SECONDS: Final = 30.0
_LOOK_SECONDS: Final = 0.05
_MOST_LINE_BYTES: Final = 2**26
"""Of what a process says to us: it may be a number for each ask."""
_FOREIGN: Final = ("AGENTMESH_", "OPENAI_", "AZURE_OPENAI_", "OTEL_")


def unconfigured(environment: Mapping[str, str]) -> dict[str, str]:
    """Leave out the variables that would change what is measured."""
    return {name: value for name, value in environment.items() if not name.startswith(_FOREIGN)}


@asynccontextmanager
async def process(module: str, logs: Path | None, **variables: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a module; what it says goes to a file of its name, or to us if there is no place for logs."""
    with (logs / module if logs else Path(os.devnull)).open("wb") as log:
        started = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", module),
            cwd=ROOT,
            env={**unconfigured(os.environ), **variables},
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


async def listed(agent: str, address: str) -> None:
    """Return when the agent is in the mesh.

    Raises:
        TimeoutError: It did not come.
    """
    async with AsyncMeshClient(address) as client, asyncio.timeout(_START_SECONDS):
        while agent not in {listed.name for listed in (await client.list_agents()).agents}:  # noqa: ASYNC110
            await asyncio.sleep(_LOOK_SECONDS)
