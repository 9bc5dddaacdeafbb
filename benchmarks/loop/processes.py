"""A mesh of real processes, as `agentmesh up` starts it, for as long as it is needed."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from agentmesh.client import AsyncMeshClient
from orchestrator_svc.commands.mesh import ANY_PORT, LocalMesh

_START_SECONDS: Final = 30.0
_STOP_SECONDS: Final = 10.0
_LOOK_SECONDS: Final = 0.05
_ROOT: Final = Path(__file__).parents[2]
_FOREIGN: Final = ("AGENTMESH_", "OPENAI_", "AZURE_OPENAI_", "OTEL_")
"""Variables that would change what is measured."""


@asynccontextmanager
async def local_mesh(environment: Mapping[str, str], **settings: str) -> AsyncIterator[str]:
    """Run an orchestrator and the three agents, and give the orchestrator's address.

    Args:
        environment: Of this process; what would configure a mesh is left out.
        settings: AGENTMESH_* variables, by the rest of their name.

    Raises:
        MeshDidNotStart: With the end of a log.
    """
    kept = {name: value for name, value in environment.items() if not name.startswith(_FOREIGN)}
    # Sampling so rarely that the history stays the shipped recording: every run sees the same anomalies. Every question
    # is routed, though it is asked again: a loop has no plan to keep.
    own = {"ANALYTICS_AGENT_INTERVAL_SECONDS": "3600", "PLAN_CACHE_SECONDS": "0", **settings}
    with TemporaryDirectory() as logs:
        mesh = LocalMesh({**kept, **{f"AGENTMESH_{name}": value for name, value in own.items()}}, Path(logs))
        try:
            await asyncio.to_thread(mesh.start, ANY_PORT, _ready)
            yield mesh.address
        finally:
            await asyncio.to_thread(mesh.stop, grace_seconds=_STOP_SECONDS)


@asynccontextmanager
async def echo_agent(environment: Mapping[str, str], address: str) -> AsyncIterator[None]:
    """Run `echo_agent` beside the three, registered there."""
    kept = {name: value for name, value in environment.items() if not name.startswith(_FOREIGN)}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.loop.echo_agent"),
        cwd=_ROOT,
        env={**kept, "AGENTMESH_ORCHESTRATOR_ADDRESS": address},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
    )
    try:
        async with AsyncMeshClient(address) as mesh, asyncio.timeout(_START_SECONDS):
            while "echo_agent" not in {agent.name for agent in (await mesh.list_agents()).agents}:  # noqa: ASYNC110
                await asyncio.sleep(_LOOK_SECONDS)
        yield
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


def _ready(name: str, address: str) -> None:
    del name, address
