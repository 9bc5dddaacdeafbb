"""The three agents as processes of their own, as operators start them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import MappingProxyType

import psutil
import pytest

from agent_svcs.analytics_agent.history import LIVE_ROUNDS
from agent_svcs.analytics_agent.record.recorder import main as record
from agent_svcs.analytics_agent.recordings import read_recording
from agent_svcs.components import MODULES
from orchestrator_svc.commands import leash
from tests.agents.conftest import Caller, calling

AGENTS = [service for service in MODULES if service.endswith("_agent")]


def _environment(directory: Path, **settings: str) -> dict[str, str]:
    """Of a process that registers nowhere: nobody listens at that address."""
    nowhere = {"AGENTMESH_ORCHESTRATOR_ADDRESS": f"unix:{directory}/nobody", "AGENTMESH_AGENT_LISTEN": "127.0.0.1:0"}
    return {"PATH": os.environ["PATH"], "PYTHONWARNINGS": "error", "no_proxy": "127.0.0.1", **nowhere, **settings}


@asynccontextmanager
async def running(
    name: str,
    directory: Path,
    settings: Mapping[str, str] = MappingProxyType({}),
    *,
    launcher: Sequence[str] = (),
    pass_fds: Sequence[int] = (),
) -> AsyncIterator[tuple[asyncio.subprocess.Process, Caller]]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", *launcher, MODULES[name]),
        pass_fds=pass_fds,
        env=_environment(directory, **settings),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    draining = None
    try:
        while '"serving"' not in (line := (await process.stdout.readline()).decode()):
            assert line, (await process.communicate())[1].decode()
        draining = asyncio.create_task(process.stdout.read())
        async with calling(json.loads(line)["address"]) as call:
            yield process, call
    finally:
        if process.returncode is None:
            process.kill()
        if draining is not None:
            await draining
        await process.wait()


@pytest.mark.parametrize("name", AGENTS)
async def test_each_agent_runs_by_itself_and_ends_with_zero(name: str, tmp_path: Path) -> None:
    async with running(name, tmp_path) as (process, call):
        skill, field = {
            "data_agent": ("list_entities", "entities"),
            "analytics_agent": ("get_trends", "metrics"),
            "config_agent": ("list_components", "components"),
        }[name]
        assert len((await call(skill))[field]) >= len(MODULES)
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
        assert process.stderr is not None
        assert await process.stderr.read() == b""


async def test_a_running_agent_is_found_under_its_name(tmp_path: Path) -> None:
    async with running("config_agent", tmp_path) as (config, _), running("data_agent", tmp_path) as (_, call):
        report = await call("get_report", entity="config_agent")
        assert config.pid in [one["pid"] for one in report["processes"]]
        assert (report["kind"], report["status"]) == ("service", "running")
        assert report["threads"] >= 1
        entities = {one["name"]: one for one in (await call("list_entities"))["entities"]}
        assert entities["config_agent"]["running"]
        assert entities["data_agent"]["process_count"] >= 1


async def test_a_service_that_agentmesh_up_started_is_found_under_its_name(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    command = (leash.__name__, str(reading), "5")
    async with (
        running("config_agent", tmp_path, launcher=command, pass_fds=[reading]) as (config, _),
        running("data_agent", tmp_path) as (_, call),
    ):
        os.close(reading)
        report = await call("get_report", entity="config_agent")
        assert config.pid in [one["pid"] for one in report["processes"]]
        os.close(writing)
        assert await config.wait() == 0


async def test_the_history_becomes_live_once_there_are_enough_rounds(tmp_path: Path) -> None:
    settings = {"AGENTMESH_ANALYTICS_AGENT_INTERVAL_SECONDS": "0.05"}
    async with running("analytics_agent", tmp_path, settings) as (process, call):
        first = await call("get_trends")
        assert first["source"] == "recording"
        assert f"of the {LIVE_ROUNDS} rounds" in first["note"]
        while (trends := await call("get_trends", entity="analytics_agent", metric="threads"))["source"] != "live":
            pass
        (threads,) = trends["metrics"]
        assert threads["count"] >= LIVE_ROUNDS - 1
        assert threads["last"] == pytest.approx(psutil.Process(process.pid).num_threads(), abs=5 * threads["last"])
        assert trends["window_end"] > trends["window_start"]
        host = await call("get_trends")
        assert {one["component"] for one in host["metrics"]} >= {"host", "analytics_agent"}


async def test_a_history_in_a_file_is_there_again_after_a_restart(tmp_path: Path) -> None:
    settings = {
        "AGENTMESH_ANALYTICS_AGENT_INTERVAL_SECONDS": "0.05",
        "AGENTMESH_ANALYTICS_AGENT_STORE": str(tmp_path / "history.sqlite3"),
    }
    async with running("analytics_agent", tmp_path, settings) as (process, call):
        while (await call("get_trends", metric="load_1m"))["source"] != "live":
            pass
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
    async with running("analytics_agent", tmp_path, settings) as (_, call):
        trends = await call("get_trends", metric="load_1m")
        assert trends["source"] == "live"
        assert trends["metrics"][0]["count"] >= LIVE_ROUNDS


@pytest.mark.parametrize(
    ("name", "settings", "said"),
    [
        (
            "analytics_agent",
            {"AGENTMESH_ANALYTICS_AGENT_INTERVAL_SECONDS": "0", "AGENTMESH_ANALYTICS_AGENT_RETENTION_HOURS": "ever"},
            ["AGENTMESH_ANALYTICS_AGENT_INTERVAL_SECONDS: 0 is less than 0.05", "RETENTION_HOURS: 'ever' is no number"],
        ),
        (
            "analytics_agent",
            {"AGENTMESH_ANALYTICS_AGENT_STORE": "/dev/null/x"},
            ["AGENTMESH_ANALYTICS_AGENT_STORE: cannot"],
        ),
        (
            "config_agent",
            {"AGENTMESH_CONFIG_AGENT_DIR": "/dev/null"},
            ["AGENTMESH_CONFIG_AGENT_DIR: '/dev/null' is no"],
        ),
    ],
)
async def test_wrong_settings_end_an_agent_at_once_and_each_is_named(
    name: str, settings: dict[str, str], said: list[str], tmp_path: Path
) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", MODULES[name], env=_environment(tmp_path, **settings), stderr=asyncio.subprocess.PIPE
    )
    _, stderr = await process.communicate()
    assert process.returncode == 1
    assert [text in stderr.decode() for text in said] == [True] * len(said)
    assert "Traceback" not in stderr.decode()


async def test_the_recording_can_be_made_again_and_leaves_nothing_running(tmp_path: Path) -> None:
    output = tmp_path / "made.csv"
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "agent_svcs.analytics_agent.record",
        *("--seconds", "1.5", "--interval-seconds", "0.05", "--warm-up-seconds", "0.1", "--fault-seconds", "0.4"),
        *("--clients", "12", "--output", str(output)),
        env=_environment(tmp_path),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    said = (await process.stdout.readline()).decode()
    started = psutil.Process(process.pid).children(recursive=True)
    _, stderr = await process.communicate()
    assert (process.returncode, stderr.decode()) == (0, "")
    assert len(started) == len(said.removeprefix("recording ").partition(" for ")[0].split(", ")) >= len(AGENTS)
    assert not any(one.is_running() for one in started)
    recording = read_recording(output)
    assert recording.about["fault component"] == "config_agent"
    (fds,) = recording.read([("config_agent", "open_fds")], 0.0)
    assert fds.values.size == 30
    assert fds.values.max() >= fds.values.min() + 12


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--seconds", "0"), "--interval-seconds must be more than 0, and at most --seconds"),
        (("--seconds", "nan"), "nan is not between"),
        (("--seconds", "-1"), "-1 is not between"),
        (("--seconds", "30", "--fault-seconds", "20"), "at most 10.0 fit"),
        (("--clients", "0"), "--clients must be 1 to"),
        (("--output", "/proc/nowhere/made.csv"), "--output: /proc/nowhere: No such file or directory"),
        (("--output", "/"), "cannot be written"),
    ],
)
def test_a_recording_that_cannot_be_made_is_refused_before_anything_starts(
    arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match=r"^2$"):
        record(arguments)
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err


async def test_a_recording_that_is_interrupted_leaves_the_old_one_and_nothing_running(tmp_path: Path) -> None:
    output = tmp_path / "made.csv"
    output.write_text("the old one")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "agent_svcs.analytics_agent.record", "--output", str(output)),
        env=_environment(tmp_path),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    await process.stdout.readline()
    started = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGTERM)  # Ctrl-C goes the same way
    _, stderr = await process.communicate()
    assert process.returncode == 130
    assert stderr.decode().endswith(f"interrupted; {output} is as it was\n")
    assert "Traceback" not in stderr.decode()
    assert output.read_text() == "the old one"
    assert not any(one.is_running() for one in started)
