"""A mesh on this machine: orchestrators and agents as processes, ready when all of them can be asked."""

from __future__ import annotations

import errno
import json
import os
import socket
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from orchestrator_svc.commands.asked import asking
from orchestrator_svc.commands.processes import Child, Processes
from orchestrator_svc.commands.store import find_program, takes_connections
from orchestrator_svc.config.addresses import OFF

AGENTS: Final = ("data_agent", "analytics_agent", "config_agent")
"""Names as they register; the module of each is `agent_svcs.<name>`, which only its own process imports."""
ANY_PORT: Final = "127.0.0.1:0"
STORE_VARIABLE: Final = "AGENTMESH_REGISTRY_URL"
START_SECONDS: Final = 60.0
"""Longest start; on an idle machine it takes three."""

_LOOK_SECONDS: Final = 0.2
"""How often it is looked whether the next thing is ready; each time is a line in the orchestrator's log."""
_LISTENING: Final = "orchestrator is listening"
"""The event with which the orchestrator logs its address."""


class MeshDidNotStart(Exception):
    """The mesh is not usable; `lines` are the last ones that the culprit logged."""

    def __init__(self, message: str, lines: list[str]) -> None:
        super().__init__(message)
        self.lines = lines


@dataclass(frozen=True)
class Shape:
    """How many processes there are of what."""

    orchestrators: int = 1
    """Several share the store of AGENTMESH_REGISTRY_URL, else one that is started for them."""
    replicas: Mapping[str, int] = field(default_factory=dict)
    """Processes of an agent; one for those that are not named."""

    def of(self, agent: str) -> int:
        return self.replicas.get(agent, 1)


_ONE_OF_EACH: Final = Shape()


class NoStore(Exception):
    """Several orchestrators have none to share, and no program for one is installed."""


class LocalMesh:
    """The processes of one mesh. Start it once; always stop it.

    Args:
        environment: Of the children; what it says about addresses of agents is replaced.
        logs: Directory for a log a process.
        interrupted: Asked again and again while waiting; once it says yes, waiting ends with KeyboardInterrupt.
        shape: How many processes there are of what.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        logs: Path,
        interrupted: Callable[[], bool] = lambda: False,
        shape: Shape = _ONE_OF_EACH,
    ) -> None:
        self._environment = {**environment, "PYTHONUNBUFFERED": "1"}
        self._interrupted = interrupted
        self._shape = shape
        self._stack = ExitStack()
        self.processes = Processes(logs)
        self.orchestrators: list[Child] = []
        self._agents: list[Child] = []
        self.addresses: list[str] = []
        """Of the orchestrators."""
        self.http = ""
        """Where the first orchestrator serves HTTP; empty for nowhere."""

    @property
    def address(self) -> str:
        """Of all orchestrators, as clients and agents take it."""
        return ",".join(self.addresses)

    def start(self, listen: str, ready: Callable[[str, str], None], *, http: str = "") -> None:
        """Start everything and wait until all of it can be asked.

        Args:
            listen: Where the first orchestrator is to serve; port 0 takes a free one, as the others do beside it.
            http: Where it is to serve HTTP; empty leaves that to its configuration.
            ready: Called with name and address of each process when it is ready.

        Raises:
            MeshDidNotStart: A process ended, or something was missing when the time was up.
            NoStore: Several orchestrators have none to share; nothing was started.
        """
        if self._shape.orchestrators > 1 and not self._environment.get(STORE_VARIABLE):
            self._start_store(ready)
        for number, name in enumerate(_names("orchestrator", self._shape.orchestrators)):
            first = number == 0
            places = {"AGENTMESH_LISTEN": listen if first else f"{listen.rpartition(':')[0]}:0"}
            if http:
                places["AGENTMESH_HTTP_LISTEN"] = http if first else ANY_PORT
            self._start_orchestrator(name, places)
            ready(name, self.addresses[-1])
        self._start_agents()
        self._wait_for_agents(ready)

    def stop(self, *, grace_seconds: float, hurry: Callable[[], bool] = lambda: False) -> int:
        """Stop everything and return how many processes were running; see `Processes.stop`.

        The orchestrators go first: questions that they are still answering need the agents. The store goes last.
        """
        with self._stack:
            return self.processes.stop([self.orchestrators, self._agents], grace_seconds=grace_seconds, hurry=hurry)

    def _start_store(self, ready: Callable[[str, str], None]) -> None:
        program = find_program()
        if program is None:
            raise NoStore
        # Of its own: the path of a socket has 107 characters at most, that of the logs may have more.
        directory = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="agentmesh-store-")))
        path = directory / "store"
        self.processes.start("store", "orchestrator_svc.commands.store", self._environment, [program, str(path)])
        self._wait_for("the store", lambda: takes_connections(path))
        self._environment[STORE_VARIABLE] = f"unix://{path}"
        ready("store", Path(program).name)

    def _start_orchestrator(self, name: str, addresses: Mapping[str, str]) -> None:
        environment = {**self._environment, **addresses}
        child = self.processes.start(name, "orchestrator_svc", environment)
        self.orchestrators.append(child)
        self._wait_for(f"the {name}", lambda: self._finds_address(child))

    def _start_agents(self) -> None:
        own = {
            "AGENTMESH_ORCHESTRATOR_ADDRESS": self.address,
            "AGENTMESH_AGENT_LISTEN": "127.0.0.1:0",  # one variable for all processes: none may name a port
            "AGENTMESH_AGENT_ADVERTISE": "",
        }
        for agent in AGENTS:
            for name in _names(agent, self._shape.of(agent)):
                self._agents.append(self.processes.start(name, f"agent_svcs.{agent}", {**self._environment, **own}))

    def _wait_for_agents(self, ready: Callable[[str, str], None]) -> None:
        """They register by themselves; every orchestrator has to know them all, and to say that it serves."""
        seen: set[str] = set()
        wanted = {agent: self._shape.of(agent) for agent in AGENTS}
        with ExitStack() as stack:
            asked = [stack.enter_context(asking(address)) for address in self.addresses]

            def all_there() -> bool:
                knows_all = True
                for one in asked:
                    found = one.endpoints()
                    for agent, address in found:
                        if agent in wanted and address not in seen:
                            seen.add(address)
                            ready(agent, address)
                    counts = Counter(agent for agent, _ in found)
                    knows_all &= all(counts[agent] >= count for agent, count in wanted.items())
                return knows_all and all(one.serves() for one in asked)

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

    def _finds_address(self, orchestrator: Child) -> bool:
        """Its log tells the address that it got: choosing a free port here and hoping for it would be a race."""
        for line in orchestrator.log.read_bytes().splitlines():
            try:
                entry = json.loads(line)
            except ValueError:  # a warning of some library, or half a line
                continue
            if isinstance(entry, dict) and entry.get("event") == _LISTENING:
                self.addresses.append(_reachable(str(entry["address"])))
                if len(self.addresses) == 1:
                    self.http = "" if entry["http"] == OFF else _reachable(str(entry["http"]))
                return True
        return False


def _names(kind: str, count: int) -> list[str]:
    return [kind] if count == 1 else [f"{kind}-{number}" for number in range(1, count + 1)]


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
