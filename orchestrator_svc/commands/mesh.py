"""A mesh on this machine: an orchestrator and three agents as processes, ready when all of them can be asked."""

from __future__ import annotations

import errno
import json
import os
import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, TypeAlias

import grpc
from grpc_health.v1 import health_pb2

from agentmesh.client import AgentInfo, MeshClient
from agentmesh.errors import MeshError
from agentmesh.transport.options import proxy_options
from orchestrator_svc.commands.processes import Child, Processes
from orchestrator_svc.config.addresses import OFF

AGENTS: Final = ("data_agent", "analytics_agent", "config_agent")
"""Names as they register; the module of each is `agent_svcs.<name>`, which only its own process imports."""
ANY_PORT: Final = "127.0.0.1:0"
START_SECONDS: Final = 60.0
"""Longest start; on an idle machine it takes three."""
Health: TypeAlias = "grpc.UnaryUnaryMultiCallable[health_pb2.HealthCheckRequest, health_pb2.HealthCheckResponse]"

_CALL_SECONDS: Final = 2.0
_LOOK_SECONDS: Final = 0.2
"""How often it is looked whether the next thing is ready; each time is a line in the orchestrator's log."""
_HEALTH: Final = "agentmesh.v1.Orchestrator"
_LISTENING: Final = "orchestrator is listening"
"""The event with which the orchestrator logs its address."""


class MeshDidNotStart(Exception):
    """The mesh is not usable; `lines` are the last ones that the culprit logged."""

    def __init__(self, message: str, lines: list[str]) -> None:
        super().__init__(message)
        self.lines = lines


class LocalMesh:
    """The processes of one mesh. Start it once; always stop it.

    Args:
        environment: Of the children; what it says about addresses of agents is replaced.
        logs: Directory for a log a process.
        interrupted: Asked again and again while waiting; once it says yes, waiting ends with KeyboardInterrupt.
    """

    def __init__(
        self, environment: Mapping[str, str], logs: Path, interrupted: Callable[[], bool] = lambda: False
    ) -> None:
        self._environment = {**environment, "PYTHONUNBUFFERED": "1"}
        self._interrupted = interrupted
        self.processes = Processes(logs)
        self.orchestrator: Child | None = None
        self.address = ""
        self.http = ""
        """Where the orchestrator serves HTTP; empty for nowhere."""

    def start(self, listen: str, ready: Callable[[str, str], None], *, http: str = "") -> None:
        """Start everything and wait until all of it can be asked.

        Args:
            listen: Where the orchestrator is to serve; port 0 takes a free one.
            http: Where it is to serve HTTP; empty leaves that to its configuration.
            ready: Called with name and address of each process when it is ready.

        Raises:
            MeshDidNotStart: A process ended, or something was missing when the time was up.
        """
        self._start_orchestrator({"AGENTMESH_LISTEN": listen} | ({"AGENTMESH_HTTP_LISTEN": http} if http else {}))
        ready("orchestrator", self.address)
        self._start_agents()
        self._wait_for_agents(ready)

    def stop(self, *, grace_seconds: float, hurry: Callable[[], bool] = lambda: False) -> int:
        """Stop everything and return how many processes were running; see `Processes.stop`.

        The orchestrator goes first: questions that it is still answering need the agents.
        """
        first = [] if self.orchestrator is None else [self.orchestrator]
        return self.processes.stop([first], grace_seconds=grace_seconds, hurry=hurry)

    def _start_orchestrator(self, addresses: Mapping[str, str]) -> None:
        environment = {**self._environment, **addresses}
        self.orchestrator = self.processes.start("orchestrator", "orchestrator_svc", environment)
        self._wait_for("the orchestrator", self._finds_address)

    def _start_agents(self) -> None:
        own = {
            "AGENTMESH_ORCHESTRATOR_ADDRESS": self.address,
            "AGENTMESH_AGENT_LISTEN": "127.0.0.1:0",  # one variable for three processes: none may name a port
            "AGENTMESH_AGENT_ADVERTISE": "",
        }
        for name in AGENTS:
            self.processes.start(name, f"agent_svcs.{name}", {**self._environment, **own})

    def _wait_for_agents(self, ready: Callable[[str, str], None]) -> None:
        """They register by themselves; the orchestrator says that it serves once it knows one."""
        seen: set[str] = set()
        with (
            MeshClient(self.address) as client,
            grpc.insecure_channel(self.address, proxy_options(self.address)) as channel,
        ):
            health: Health = channel.unary_unary(
                "/grpc.health.v1.Health/Check",
                request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
                response_deserializer=health_pb2.HealthCheckResponse.FromString,
            )

            def all_there() -> bool:
                for agent in _agents_of(client) if len(seen) < len(AGENTS) else ():
                    if agent.name in AGENTS and agent.name not in seen:
                        seen.add(agent.name)
                        ready(agent.name, agent.endpoints[0].address)
                return len(seen) == len(AGENTS) and _serves(health)

            self._wait_for("the agents", all_there)

    def _wait_for(self, what: str, reached: Callable[[], bool]) -> None:
        until = time.monotonic() + START_SECONDS
        while not reached():
            if self._interrupted():
                raise KeyboardInterrupt
            dead = self.processes.dead()
            if dead:
                raise MeshDidNotStart(f"{dead[0].name} {dead[0].ending()}", dead[0].last_lines())
            if time.monotonic() > until:
                youngest = self.processes.children[-1]
                raise MeshDidNotStart(f"{what} did not get ready in {START_SECONDS:g} s", youngest.last_lines())
            time.sleep(_LOOK_SECONDS)

    def _finds_address(self) -> bool:
        """Its log tells the address that it got: choosing a free port here and hoping for it would be a race."""
        assert self.orchestrator is not None
        for line in self.orchestrator.log.read_bytes().splitlines():
            try:
                entry = json.loads(line)
            except ValueError:  # a warning of some library, or half a line
                continue
            if isinstance(entry, dict) and entry.get("event") == _LISTENING:
                self.address = _reachable(str(entry["address"]))
                self.http = "" if entry["http"] == OFF else _reachable(str(entry["http"]))
                return True
        return False


def is_taken(listen: str) -> bool:
    """Whether another process listens there already; False for what cannot be told."""
    host, _, port = listen.rpartition(":")
    if listen.startswith("unix:") or not port.isdigit() or port == "0":
        return False
    family = socket.AF_INET6 if host.startswith("[") else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # what has just ended does not count
        try:
            probe.bind((host.strip("[]"), int(port)))
        except OSError as error:
            return error.errno == errno.EADDRINUSE
    return False


def process_environment() -> dict[str, str]:
    """The environment to pass on to children."""
    return dict(os.environ)


def _reachable(listening: str) -> str:
    """The address to call for one that is listened at: everywhere means here, too."""
    host, _, port = listening.rpartition(":")
    return f"127.0.0.1:{port}" if host in ("0.0.0.0", "[::]") else listening  # noqa: S104 - compared, not bound


def _agents_of(client: MeshClient) -> tuple[AgentInfo, ...]:
    try:
        return client.list_agents(timeout_seconds=_CALL_SECONDS).agents
    except MeshError:  # not yet; whether it ever will is for the caller to judge
        return ()


def _serves(health: Health) -> bool:
    try:
        answer = health(health_pb2.HealthCheckRequest(service=_HEALTH), timeout=_CALL_SECONDS)
    except grpc.RpcError:
        return False
    return answer.status == health_pb2.HealthCheckResponse.SERVING
