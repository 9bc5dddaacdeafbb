"""`agentmesh up`: a mesh on this machine until Ctrl-C."""

from __future__ import annotations

import json
import shlex
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Final

from agentmesh.addresses import read_target
from agentmesh.cli.exits import CommandFailed, ExitCode
from agentmesh.cli.options import DEFAULT_ADDRESS, DEFAULT_TRACE_API
from agentmesh.cli.output import Output, open_output
from orchestrator_svc.commands.mesh import (
    ANY_PORT,
    LocalMesh,
    MeshDidNotStart,
    NoStore,
    Shape,
    is_taken,
    process_environment,
)
from orchestrator_svc.commands.processes import POLL_SECONDS, Child, LogFollower
from orchestrator_svc.commands.progress import readiness_lines, stopped_line
from orchestrator_svc.commands.show_config import load_config
from orchestrator_svc.commands.traces import LocalTraces, local_traces
from orchestrator_svc.config import LoadedConfig

_STOP_MARGIN_SECONDS: Final = 5.0
"""Beyond the drain of the orchestrator, for the agents."""

_GET_A_STORE: Final = (
    "install one (`pip install 'agentmesh[store]'`, or redis-server or valkey-server of your system), or name one that"
    " runs with AGENTMESH_REGISTRY_URL"
)
_QUESTION: Final = "What are the current system metrics?"
_PLAN: Final = {
    "steps": [
        {"id": "scan", "skill": "analytics_agent__get_trends", "arguments": {}},
        {
            "id": "conf",
            "skill": "config_agent__check_config",
            "arguments": {"component": "${scan.anomalies[0].component}"},
            "when": "size(scan.anomalies) > 0",
        },
        {
            "id": "each",
            "skill": "data_agent__get_report",
            "arguments": {"entity": "${item}"},
            "for_each": ["host", "orchestrator"],
        },
    ]
}


class StopSignals:
    """Counts SIGINT, SIGTERM and SIGHUP while it is entered: the first stops in order, the second at once."""

    _SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def __init__(self) -> None:
        self.count = 0
        self._before: dict[int, signal._HANDLER] = {}

    def __enter__(self) -> StopSignals:
        self._before = {number: signal.signal(number, self._counted) for number in self._SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _counted(self, _number: int, _frame: FrameType | None) -> None:
        self.count += 1


def run_up(*, logs: Path | None, verbose: bool, shape: Shape) -> ExitCode:
    """Start a mesh, wait for a signal, stop it.

    Raises:
        CommandFailed: The configuration is wrong, a process did not start, no orchestrator stayed, or several have no
            store to share.
    """
    loaded = load_config()
    output = open_output()
    for warning in loaded.warnings:
        output.line(("warning: ", "yellow"), warning)
    listen = _where_to_listen("listen", loaded.config.listen, loaded, output)
    if shape.orchestrators > 1:
        _check_can_be_listed(listen)
    http = loaded.config.http_address if listen == loaded.config.listen else None
    if http is not None:
        http = _where_to_listen("http_listen", http, loaded, output)
    directory = _log_directory(logs)
    environment = process_environment()
    with (
        StopSignals() as signals,
        local_traces(environment, loaded.telemetry, output, _where_to_keep_traces(loaded.config.listen)) as traces,
    ):
        mesh = LocalMesh({**environment, **traces.environment}, directory, lambda: signals.count > 0, shape)
        watched = _Watched(mesh, LogFollower() if verbose else None, output)
        try:
            mesh.start(listen, readiness_lines(output), http=http or "")
            _show_where(output, directory, traces, kept=logs is not None)
            _show_how_to_ask(output, mesh, traces)
            watched.until(lambda: signals.count > 0)
        except KeyboardInterrupt:
            pass  # a signal during the start
        except NoStore:
            raise CommandFailed(
                "several orchestrators share a Redis or Valkey, and none is installed", advice=_GET_A_STORE
            ) from None
        except MeshDidNotStart as error:
            raise CommandFailed(str(error), details=error.lines, advice=f"the logs are in {directory}") from None
        finally:
            stopped = _stop(mesh, signals, loaded.config.drain_seconds + _STOP_MARGIN_SECONDS, output)
            watched.show_logs()
            output.line(stopped_line(stopped))
    if logs is None:
        shutil.rmtree(directory, ignore_errors=True)
    return ExitCode.OK


def _stop(mesh: LocalMesh, signals: StopSignals, grace_seconds: float, output: Output) -> int:
    """Stop the processes, also where nobody reads any more that they are stopped."""
    before = signals.count
    try:
        output.line()
        output.line(("stopping ... (once more to stop at once)", "dim"))
    finally:
        stopped = mesh.stop(grace_seconds=grace_seconds, hurry=lambda: signals.count > before)
    return stopped


def _where_to_listen(setting: str, listen: str, loaded: LoadedConfig, output: Output) -> str:
    if not is_taken(listen):
        return listen
    if setting in loaded.sources:
        raise CommandFailed(
            f"something else listens at {listen}",
            details=[f"set by {loaded.sources[setting]}"],
            advice="stop it, or choose another address; port 0 takes a free one",
        )
    output.line(("note: ", "yellow"), f"something else listens at {listen}, so a free port is taken")
    return ANY_PORT


def _where_to_keep_traces(listen: str) -> str:
    """Beside the orchestrator: at the usual port, or at any where that takes any."""
    return ANY_PORT if listen.endswith(":0") else DEFAULT_TRACE_API.removeprefix("http://")


def _check_can_be_listed(listen: str) -> None:
    """Clients and agents get a list of all orchestrators, which has IP addresses alone."""
    try:
        read_target(f"{listen},{listen}")
    except ValueError as error:
        raise CommandFailed(f"several orchestrators cannot serve beside {listen}", details=[str(error)]) from None


def _log_directory(logs: Path | None) -> Path:
    if logs is None:
        return Path(tempfile.mkdtemp(prefix="agentmesh-"))
    try:
        logs.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CommandFailed(f"{logs} is no directory for logs: {error.strerror}", code=ExitCode.USAGE) from None
    return logs


def _show_where(output: Output, directory: Path, traces: LocalTraces, *, kept: bool) -> None:
    output.line(
        ("logs              ", "bold"), str(directory), ("" if kept else "  (removed after a clean stop)", "dim")
    )
    if traces.url:
        output.line(("traces            ", "bold"), traces.url, ("  (the latest, in memory)", "dim"))


def _show_how_to_ask(output: Output, mesh: LocalMesh, traces: LocalTraces) -> None:
    address, one = mesh.address, mesh.addresses[0]
    ask = json.dumps({"query": _QUESTION})
    execute = json.dumps({"plan": _PLAN, "answerFormat": "ANSWER_FORMAT_RAW"})
    where = "" if address == DEFAULT_ADDRESS else f" --address {address}"
    output.heading("ask")
    output.line(f"{_own_name()} ask {shlex.quote(_QUESTION)}{where}")
    if traces.url:
        read_at = "" if traces.url == DEFAULT_TRACE_API else f" --trace-api {traces.url}"
        output.heading("see who did what when")
        output.line(f"{_own_name()} ask --trace {shlex.quote(_QUESTION)}{where}{read_at}")
        output.line(f"{_own_name()} trace RUN_ID{where}{read_at}")
    output.heading("or with grpcurl")
    output.line(f"grpcurl -plaintext {one} agentmesh.v1.Registry/ListAgents")
    output.line(f"grpcurl -plaintext -d {shlex.quote(ask)} {one} agentmesh.v1.Orchestrator/Ask")
    output.line(f"grpcurl -plaintext -d {shlex.quote(execute)} {one} agentmesh.v1.Orchestrator/ExecutePlan")
    if mesh.http:
        output.heading("or with curl")
        url = f"http://{mesh.http}/agentmesh.v1.Orchestrator/Ask"
        output.line(f"curl -H 'content-type: application/json' -d {shlex.quote(ask)} {url}")
    output.line()
    output.line(("Ctrl-C stops all of it.", "dim"))


def _own_name() -> str:
    """How this program can be called again from this directory."""
    return "agentmesh" if shutil.which("agentmesh") else sys.argv[0]


class _Watched:
    """Shows what happens to the processes."""

    def __init__(self, mesh: LocalMesh, follower: LogFollower | None, output: Output) -> None:
        self._mesh = mesh
        self._follower = follower
        self._output = output
        self._mourned: list[Child] = []

    def until(self, stopped: Callable[[], bool]) -> None:
        """Watch until told to stop.

        Raises:
            CommandFailed: The last orchestrator ended; without anything else the mesh goes on.
        """
        while not stopped():
            self.show_logs()
            for child in self._mesh.processes.dead():
                if child in self._mesh.orchestrators and not any(one.running for one in self._mesh.orchestrators):
                    raise CommandFailed(f"{child.name} {child.ending()}", details=child.last_lines())
                self._mourn(child)
            time.sleep(POLL_SECONDS)

    def show_logs(self) -> None:
        for child in self._mesh.processes.children if self._follower is not None else ():
            assert self._follower is not None
            for line in self._follower.new_lines(child):
                self._output.line((f"{child.name:<16} ", "cyan"), line)

    def _mourn(self, child: Child) -> None:
        if child in self._mourned:
            return
        self._mourned.append(child)
        self._output.line((f"{child.name} {child.ending()}; its last lines:", "red"))
        for line in child.last_lines():
            self._output.line("  ", line)
