"""data_agent: real measurements of the host, of services and of processes."""

from __future__ import annotations

import asyncio
import os
import sys
from datetime import datetime

import psutil
import pytest

from agent_svcs.components import MODULES
from agent_svcs.cpu_time import CpuTime
from agent_svcs.data_agent.measure import ProcessCounters, Snapshot, TrafficCounters, take_snapshot
from agent_svcs.data_agent.report import MOST_NAMES, TOP_OF_HOST, Target, build_report, find_target, list_all
from agent_svcs.data_agent.skills import INTERVAL_SECONDS, build_agent
from agentmesh import errors
from agentmesh.jsonvalues import Json
from tests.agents.conftest import SPIN, Serve, child


def _process(
    pid: int, name: str, cpu: float, *, component: str | None = None, started: float = 50.0
) -> ProcessCounters:
    return ProcessCounters(pid, started, name, component, cpu, 1000 * pid, 2, "sleeping")


def _snapshot(
    at: float, *processes: ProcessCounters, busy: tuple[float, ...] = (0.0, 0.0), received: int = 0
) -> Snapshot:
    return Snapshot(
        at=at,
        clock=at - 7.0,
        cores=tuple(CpuTime(one, at) for one in busy),
        traffic=TrafficCounters(0, 0, received, 0, 3),
        processes=processes,
    )


def test_cpu_time_between_two_snapshots_becomes_percent_of_one_core() -> None:
    before = _snapshot(100.0, _process(1, "db", 10.0), _process(2, "db", 5.0), _process(3, "web", 1.0))
    after = _snapshot(102.0, _process(1, "db", 13.0), _process(2, "db", 5.5), _process(3, "web", 2.0))
    report = build_report(Target("db", "process"), before, after)
    assert (report.interval_seconds, report.cpu.percent) == (2.0, 175.0)
    assert [(one.pid, one.cpu_percent) for one in report.processes] == [(1, 150.0), (2, 25.0)]
    assert (report.process_count, report.threads, report.memory.used_bytes) == (2, 4, 3000)
    assert report.machine is None


def test_a_process_that_took_over_the_pid_of_another_is_not_charged_with_its_time() -> None:
    before = _snapshot(100.0, _process(1, "db", 500.0, started=10.0))
    after = _snapshot(101.0, _process(1, "db", 0.2, started=100.5))
    assert build_report(Target("db", "process"), before, after).cpu.percent == 20.0


def test_the_host_is_measured_over_all_cores_and_its_traffic_as_rates() -> None:
    before = _snapshot(100.0, busy=(10.0, 10.0))
    after = _snapshot(104.0, busy=(14.0, 11.0), received=8000)
    report = build_report(Target("host", "host"), before, after)
    assert (report.cpu.percent, report.cpu.per_core_percent, report.cpu.cores) == (62.5, [100.0, 25.0], 2)
    assert report.machine is not None
    assert report.machine.traffic.network_received_bytes_per_second == 2000.0
    assert report.machine.traffic.network_errors_since_boot == 3


def test_the_processes_of_the_host_are_the_ten_that_use_most_cpu_then_memory() -> None:
    idle = [_process(pid, "idle", 1.0) for pid in range(1, 20)]
    report = build_report(
        Target("host", "host"),
        _snapshot(1.0, *idle, _process(99, "busy", 0.0)),
        _snapshot(2.0, *idle, _process(99, "busy", 0.5)),
    )
    assert len(report.processes) == TOP_OF_HOST
    assert [one.pid for one in report.processes[:3]] == [99, 19, 18]
    assert report.process_count == 20


def test_a_component_that_does_not_run_is_reported_as_such_with_zeros() -> None:
    nothing = _snapshot(100.0)
    report = build_report(find_target("orchestrator", nothing), nothing, _snapshot(101.0))
    assert (report.kind, report.status, report.process_count, report.processes) == ("service", "not_running", 0, [])
    assert (report.cpu.percent, report.memory.used_bytes, report.started_at) == (0.0, 0, None)


def test_an_entity_is_the_host_a_component_or_a_process_name_in_any_case() -> None:
    seen = _snapshot(1.0, _process(1, "Nginx", 0.0), _process(2, "python", 0.0, component="data_agent"))
    assert find_target("host", seen) == Target("host", "host")
    assert find_target("data_agent", seen) == Target("data_agent", "service")
    assert find_target("nginx", seen) == Target("Nginx", "process")
    with pytest.raises(errors.NotFound, match="did you mean Nginx"):
        find_target("nginxx", seen)
    with pytest.raises(errors.NotFound, match="did you mean analytics_agent"):
        find_target("analytic-agent", seen)


def test_at_most_two_hundred_process_names_are_listed_and_the_rest_is_counted() -> None:
    seen = _snapshot(1.0, *(_process(pid, f"p{pid:04}", 0.0) for pid in range(1, 251)))
    listed = list_all(seen)
    assert (len(listed.entities), listed.left_out) == (1 + len(MODULES) + MOST_NAMES, 50)


async def test_the_report_of_the_host_is_measured_now(serve: Serve) -> None:
    call = await serve(build_agent())
    async with child(sys.executable, "-c", SPIN) as spinning:
        report = await call("get_report")
        same_name = await call("get_report", entity=psutil.Process(spinning.pid).name())
    assert report["cpu"]["percent"] > 0
    used = [one["cpu_percent"] for one in report["processes"]]
    assert used[0] > 0
    assert used == sorted(used, reverse=True)
    assert spinning.pid in [one["pid"] for one in same_name["processes"] if one["cpu_percent"] > 0]
    assert report["entity"] == report["kind"] == "host"
    assert report["interval_seconds"] >= INTERVAL_SECONDS
    assert report["memory"]["total_bytes"] == psutil.virtual_memory().total
    assert report["cpu"]["cores"] == len(report["cpu"]["per_core_percent"]) == psutil.cpu_count()
    assert "/" in [disk["mountpoint"] for disk in report["machine"]["disks"]]
    assert report["machine"]["load"].keys() == {"one_minute", "five_minutes", "fifteen_minutes"}
    assert datetime.fromisoformat(report["started_at"]).timestamp() == pytest.approx(psutil.boot_time(), abs=2)
    assert datetime.fromisoformat(report["measured_at"]).utcoffset() is not None


async def test_a_process_is_found_by_its_name(serve: Serve) -> None:
    call = await serve(build_agent())
    async with child() as waiting:
        report = await call("get_report", entity=psutil.Process(waiting.pid).name())
        (found,) = [one for one in report["processes"] if one["pid"] == waiting.pid]
    assert report["kind"] == "process"
    assert report["process_count"] >= 1
    assert found["memory_bytes"] > 1_000_000
    assert found["open_fds"] >= 3
    assert found["threads"] == 1
    assert datetime.fromisoformat(found["started_at"]) <= datetime.fromisoformat(report["measured_at"])


async def test_two_reports_at_once_do_not_disturb_each_other(serve: Serve) -> None:
    call = await serve(build_agent())
    async with child(sys.executable, "-c", SPIN):
        reports = await asyncio.gather(*(call("get_report") for _ in range(4)))
    assert all(report["processes"][0]["cpu_percent"] > 0 for report in reports)


async def test_everything_that_is_listed_can_be_reported_on(serve: Serve) -> None:
    call = await serve(build_agent())
    names = [one["name"] for one in (await call("list_entities"))["entities"] if one["kind"] != "process"]
    reports = await asyncio.gather(*(call("get_report", entity=name) for name in names))
    assert [report["entity"] for report in reports] == names


@pytest.mark.parametrize(
    "entity", ["no-such-process", "../../etc/passwd", "host; rm -rf /", "${HOME}", "ho\u200dst", "HOST "]
)
async def test_an_unknown_entity_is_not_found(serve: Serve, entity: str) -> None:
    call = await serve(build_agent())
    with pytest.raises((errors.NotFound, errors.ArgumentsInvalid)):
        await call("get_report", entity=entity)


@pytest.mark.parametrize("entity", ["", "a\0b", "x" * 10_000, 7, None, ["host"]])
async def test_what_can_be_no_entity_is_refused(serve: Serve, entity: Json) -> None:
    call = await serve(build_agent())
    with pytest.raises(errors.ArgumentsInvalid) as raised:
        await call("get_report", entity=entity)
    assert len(raised.value.message) < 500


def test_kernel_threads_are_left_out_and_this_process_is_there() -> None:
    seen = take_snapshot()
    mine = [one for one in seen.processes if one.pid == os.getpid()]
    assert len(mine) == 1
    assert mine[0].cpu_seconds > 0.0
    assert not any(one.name.startswith("kworker/") for one in seen.processes)
