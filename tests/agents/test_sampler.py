"""The sampler of analytics_agent: real processes, measured."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import psutil
import pytest

from agent_svcs.analytics_agent.metrics import METRICS
from agent_svcs.analytics_agent.sampler import MeshServices, Sampler
from agent_svcs.components import MODULES
from tests.agents.conftest import SPIN, WAIT, child


def test_every_metric_of_the_host_is_measured_from_the_second_round_on() -> None:
    sampler = Sampler(list)
    first = sampler.sample()
    assert ("host", "cpu_percent") not in first.readings
    while sampler.sample().readings.get(("host", "cpu_percent")) is None:
        pass  # until the system's clock has ticked
    measured = sampler.sample().readings
    assert {metric for _, metric in {**first.readings, **measured}} <= set(METRICS["host"])
    assert set(METRICS["host"]) - {metric for _, metric in first.readings} == {"cpu_percent"}
    assert abs(first.at - time.time()) < 60


async def test_the_processes_of_a_service_are_added_up() -> None:
    async with child(sys.executable, "-c", SPIN) as spinning, child() as waiting:
        processes = [psutil.Process(spinning.pid), psutil.Process(waiting.pid)]
        sampler = Sampler(lambda: [("config_agent", one) for one in processes])
        sampler.sample()
        before = processes[0].cpu_times().user
        while processes[0].cpu_times().user == before:
            pass
        readings = sampler.sample().readings
    assert readings["config_agent", "threads"] == 2.0
    assert readings["config_agent", "open_fds"] >= 6.0
    assert readings["config_agent", "memory_bytes"] > 2_000_000
    assert readings["config_agent", "cpu_percent"] > 0.0
    assert {metric for component, metric in readings if component == "config_agent"} == set(METRICS["config_agent"])


async def test_a_process_that_ended_is_left_out() -> None:
    async with child() as waiting:
        process = psutil.Process(waiting.pid)
        sampler = Sampler(lambda: [("config_agent", process)])
        assert ("config_agent", "threads") in sampler.sample().readings
    assert not [key for key in sampler.sample().readings if key[0] == "config_agent"]


@pytest.fixture
def waiting_package(tmp_path: Path) -> Path:
    """A directory where `python -m agent_svcs.data_agent` only waits: what counts is the command line."""
    (tmp_path / "agent_svcs").mkdir()
    (tmp_path / "agent_svcs" / "__init__.py").write_text("")
    (tmp_path / "agent_svcs" / "data_agent.py").write_text(WAIT)
    return tmp_path


async def test_services_are_found_by_their_command_line_while_they_run(waiting_package: Path) -> None:
    find = MeshServices()
    async with child(sys.executable, "-m", "agent_svcs.data_agent", directory=waiting_package) as waiting:
        for _ in range(2):
            assert ("data_agent", waiting.pid) in [(service, process.pid) for service, process in find()]
    assert waiting.pid not in [process.pid for _, process in find()]
    assert {service for service, _ in find()} <= set(MODULES)
