"""The mesh of deploy/compose.yaml without containers: real processes with its commands, environment and order of start.

Every address is a unix socket here, so that no port is taken; where containers would name each other, sockets do.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from agentmesh.client import MeshClient, RunOutcome
from agentmesh.traces.reader import TraceReader
from agentmesh.traces.serving import serving_traces
from agentmesh.traces.settling import settled
from orchestrator_svc.commands.processes import Child, Processes
from tests.deploy.compose_file import ROOT, read_compose, written
from tests.redis_server import BINARIES, redis_server

pytestmark = pytest.mark.timeout(180)

HEALTH_CHECK = ROOT / "deploy/health_check.py"
COMPOSE = read_compose(written())
MESH = {name: service for name, service in COMPOSE.services.items() if service.module}
LONG_SECONDS = 40.0
"""Not reached unless a promise is broken."""
_HOST_AND_PORT = re.compile(r"(?:dns:///)?(?P<host>[a-z0-9.-]+):(?P<port>[0-9]+)")


class Sockets:
    """Where each service listens instead, in one directory."""

    def __init__(self, directory: Path, *, store: str, collector: str) -> None:
        self._directory = directory
        self._urls = {"redis://store:6379": store, "http://jaeger:4317": collector}

    def of(self, service: str, port: int) -> str:
        return f"unix:{self._directory}/{service}-{port}"

    def environment(self, service: str) -> dict[str, str]:
        """What compose gives the service, with these addresses; of the machine, where programs are."""
        given = {name: self._moved(service, value) for name, value in MESH[service].set_environment.items()}
        return {"PATH": os.environ["PATH"], "HOME": str(self._directory), **given}

    def _moved(self, service: str, value: str) -> str:
        if value in self._urls:
            return self._urls[value]
        if value.startswith("/var/lib/agentmesh/"):
            return value.replace("/var/lib/agentmesh", str(self._directory))
        found = _HOST_AND_PORT.fullmatch(value)
        if found is None:
            return value
        hosts = {"0.0.0.0": service, "orchestrators": "orchestrator-1"}  # noqa: S104 - what is replaced
        return self.of(hosts.get(found["host"], found["host"]), int(found["port"]))


def _health(environment: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(HEALTH_CHECK), *arguments]
    return subprocess.run(command, env=dict(environment), capture_output=True, text=True, check=False)


def _healthy(child: Child, environment: Mapping[str, str]) -> None:
    """Ask until the answer is yes, as a supervisor does."""
    while _health(environment).returncode != 0:
        assert child.running, child.last_lines()


@contextmanager
def _running(sockets: Sockets, logs: Path) -> Iterator[None]:
    """Each starts when those that it depends on are healthy."""
    processes = Processes(logs)
    order = TopologicalSorter({name: service.depends_on for name, service in MESH.items()})
    order.prepare()
    try:
        while order.is_active():
            ready = order.get_ready()
            started = {
                name: processes.start(name, str(MESH[name].module), sockets.environment(name))
                for name in filter(MESH.__contains__, ready)
            }
            for name, child in started.items():
                _healthy(child, sockets.environment(name))
            order.done(*ready)
        yield
    finally:
        processes.stop([], grace_seconds=LONG_SECONDS, hurry=lambda: False)


async def test_its_processes_start_one_after_the_other_answer_and_tell_of_it() -> None:
    with tempfile.TemporaryDirectory() as place, serving_traces() as traces:
        directory = Path(place)
        async with redis_server(BINARIES["valkey"], directory) as store:
            sockets = Sockets(directory, store=store.url, collector=traces.otlp_endpoint)
            with _running(sockets, directory):
                _answers(sockets, TraceReader(traces.url))


def _answers(sockets: Sockets, reader: TraceReader) -> None:
    """Through each orchestrator; agents register at one, and are asked by both."""
    answers = []
    for orchestrator in ("orchestrator-1", "orchestrator-2"):
        with MeshClient(sockets.of(orchestrator, 50051)) as mesh:
            names = [agent.name for agent in mesh.list_agents().agents]
            assert names == ["analytics_agent", "config_agent", "data_agent"]
            answers.append(mesh.ask("What are the current system metrics?"))
    for answer in answers:
        assert answer.outcome is RunOutcome.COMPLETE
        told = settled(reader, answer.trace_id, timeout_seconds=LONG_SECONDS)
        assert told.complete
        assert set(told.trace.services) == {"orchestrator", "data_agent"}


async def test_the_health_check_says_no_and_why(tmp_path: Path) -> None:
    async with redis_server(BINARIES["valkey"], tmp_path) as store:
        sockets = Sockets(tmp_path, store=store.url, collector="http://127.0.0.1:1")
        environment = sockets.environment("orchestrator-1")
        nobody = _health(environment)
        processes = Processes(tmp_path)
        try:
            _healthy(processes.start("orchestrator", "orchestrator_svc", environment), environment)
            without_agents = _health(environment, environment["AGENTMESH_LISTEN"], "agentmesh.v1.Orchestrator")
        finally:
            processes.stop([], grace_seconds=LONG_SECONDS, hurry=lambda: False)
    address = environment["AGENTMESH_LISTEN"]
    assert (nobody.returncode, nobody.stderr) == (1, f"agentmesh.v1.Registry at {address}: UNAVAILABLE\n")
    assert (without_agents.returncode, without_agents.stderr) == (
        1,
        f"agentmesh.v1.Orchestrator at {address}: NOT_SERVING\n",
    )
