"""A mesh of real processes for tests that run commands: started, waited for by its own words, stopped by pid."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from agentmesh.traces.serving import serving_traces
from orchestrator_svc.commands.mesh import ANY_PORT, LocalMesh


@dataclass(frozen=True)
class AMesh:
    """Where it is."""

    address: str
    http: str
    traces: str
    """URL of where its traces are read."""

    @contextmanager
    def with_agent(self, program: Path) -> Iterator[None]:
        """Run one more agent; ready when it has said that it is registered."""
        process = subprocess.Popen(
            [sys.executable, str(program)],
            env={**os.environ, "AGENTMESH_ORCHESTRATOR_ADDRESS": self.address},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        try:
            said = []
            for line in process.stdout:
                said.append(line)
                if '"registered"' in line:
                    break
            else:
                raise AssertionError("".join(said))
            yield
        finally:
            process.terminate()
            process.communicate()


@contextmanager
def mesh_of_processes() -> Iterator[AMesh]:
    """Orchestrator and the three agents, offline, on free ports."""
    with tempfile.TemporaryDirectory() as logs, serving_traces() as traces:
        exporting = {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": traces.otlp_endpoint, "OTEL_BSP_SCHEDULE_DELAY": "200"}
        mesh = LocalMesh({**os.environ, **exporting}, Path(logs))
        try:
            mesh.start(ANY_PORT, lambda name, address: None)
            yield AMesh(mesh.address, mesh.http, traces.url)
        finally:
            mesh.stop(grace_seconds=10)
