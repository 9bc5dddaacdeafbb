"""A mesh of real processes, as `agentmesh up` starts it, for as long as it is needed."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from benchmarks.processes import ROOT, listed, unconfigured
from orchestrator_svc.commands.mesh import ANY_PORT, LocalMesh

_STOP_SECONDS: Final = 10.0


@asynccontextmanager
async def local_mesh(environment: Mapping[str, str], **settings: str) -> AsyncIterator[str]:
    """Run an orchestrator and the three agents, and give the orchestrator's address.

    Args:
        environment: Of this process; what would configure a mesh is left out.
        settings: AGENTMESH_* variables, by the rest of their name.

    Raises:
        MeshDidNotStart: With the end of a log.
    """
    # Sampling so rarely that the history stays the shipped recording: every run sees the same anomalies. Every question
    # is routed, though it is asked again: a loop has no plan to keep.
    own = {"ANALYTICS_AGENT_INTERVAL_SECONDS": "3600", "PLAN_CACHE_SECONDS": "0", **settings}
    with TemporaryDirectory() as logs:
        mesh = LocalMesh(
            {**unconfigured(environment), **{f"AGENTMESH_{name}": value for name, value in own.items()}}, Path(logs)
        )
        try:
            await asyncio.to_thread(mesh.start, ANY_PORT, _ready)
            yield mesh.address
        finally:
            await asyncio.to_thread(mesh.stop, grace_seconds=_STOP_SECONDS)


@asynccontextmanager
async def echo_agent(environment: Mapping[str, str], address: str) -> AsyncIterator[None]:
    """Run `echo_agent` beside the three, registered there."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.loop.echo_agent"),
        cwd=ROOT,
        env={**unconfigured(environment), "AGENTMESH_ORCHESTRATOR_ADDRESS": address},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
    )
    try:
        await listed("echo_agent", address)
        yield
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


def _ready(name: str, address: str) -> None:
    del name, address
