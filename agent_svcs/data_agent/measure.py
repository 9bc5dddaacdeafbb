"""Reads the counters of the machine and of its processes, through psutil. Blocking: a few tens of milliseconds.

A snapshot holds what the operating system counts; shares and rates need two of them (`agent_svcs.data_agent.report`).
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final, Protocol, cast

import psutil

from agent_svcs.components import service_of
from agent_svcs.cpu_time import CpuTime, read_cores
from agent_svcs.data_agent.model import Disk, Load, Memory, Swap


class _DiskCounters(Protocol):
    read_bytes: int
    write_bytes: int


class _NetworkCounters(Protocol):
    bytes_recv: int
    bytes_sent: int
    errin: int
    errout: int


@dataclass(frozen=True, slots=True)
class TrafficCounters:
    """Since boot."""

    disk_read_bytes: int
    disk_written_bytes: int
    network_received_bytes: int
    network_sent_bytes: int
    network_errors: int


@dataclass(frozen=True, slots=True)
class ProcessCounters:
    """One process that has a command line (kernel threads have none)."""

    pid: int
    started: float
    """Seconds since 1970; with the pid it identifies the process."""
    name: str
    component: str | None
    cpu_seconds: float
    memory_bytes: int
    threads: int
    status: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that is counted, at one moment."""

    at: float
    """Seconds since 1970."""
    clock: float
    """Seconds of a clock that never jumps."""
    cores: tuple[CpuTime, ...]
    traffic: TrafficCounters
    processes: tuple[ProcessCounters, ...]


def take_snapshot() -> Snapshot:
    """Reads all counters now."""
    return Snapshot(
        at=time.time(),
        clock=time.monotonic(),
        cores=read_cores(),
        traffic=_traffic(),
        processes=tuple(_processes()),
    )


def _traffic() -> TrafficCounters:
    # Both are None where there is no such device, e.g. in some containers, whatever the stubs say.
    disk = cast("_DiskCounters | None", psutil.disk_io_counters())
    network = cast("_NetworkCounters | None", psutil.net_io_counters())
    return TrafficCounters(
        disk_read_bytes=disk.read_bytes if disk else 0,
        disk_written_bytes=disk.write_bytes if disk else 0,
        network_received_bytes=network.bytes_recv if network else 0,
        network_sent_bytes=network.bytes_sent if network else 0,
        network_errors=network.errin + network.errout if network else 0,
    )


_ATTRIBUTES: Final = ["pid", "create_time", "name", "cmdline", "cpu_times", "memory_info", "num_threads", "status"]


def _processes() -> list[ProcessCounters]:
    found: list[ProcessCounters] = []
    for process in psutil.process_iter(_ATTRIBUTES):  # None stands for what this user may not see
        seen = process.info
        if seen["cmdline"] == [] or not seen["name"] or seen["create_time"] is None:
            continue
        cpu, memory = seen["cpu_times"], seen["memory_info"]
        found.append(
            ProcessCounters(
                pid=seen["pid"],
                started=seen["create_time"],
                name=seen["name"],
                component=service_of(seen["cmdline"] or []),
                cpu_seconds=cpu.user + cpu.system if cpu else 0.0,
                memory_bytes=memory.rss if memory else 0,
                threads=seen["num_threads"] or 0,
                status=seen["status"] or "unknown",
            )
        )
    return found


def open_fds(pid: int) -> int | None:
    """Open file descriptors of a process; None where the agent may not look, or the process ended."""
    try:
        return int(psutil.Process(pid).num_fds())
    except psutil.Error:
        return None


def boot_time() -> float:
    """Seconds since 1970."""
    return psutil.boot_time()


def physical_memory() -> Memory:
    """Of the host."""
    memory = psutil.virtual_memory()
    return Memory(
        used_bytes=memory.total - memory.available,
        percent=round(100.0 * (1.0 - memory.available / memory.total), 1),
        total_bytes=memory.total,
    )


def swap() -> Swap:
    """Of the host; all zeros without swap space."""
    space = psutil.swap_memory()
    return Swap(used_bytes=space.used, total_bytes=space.total, percent=space.percent)


def load() -> Load:
    """Of the host."""
    one, five, fifteen = (round(value, 2) for value in psutil.getloadavg())
    return Load(one_minute=one, five_minutes=five, fifteen_minutes=fifteen)


def disks() -> list[Disk]:
    """Mounted physical file systems, the root always among them; what cannot be read is left out."""
    mountpoints = dict.fromkeys(["/", *(one.mountpoint for one in psutil.disk_partitions(all=False))])
    found: list[Disk] = []
    for mountpoint in mountpoints:
        try:
            usage = psutil.disk_usage(mountpoint)
        except OSError:  # unmounted meanwhile, or not permitted
            continue
        found.append(
            Disk(
                mountpoint=mountpoint,
                used_bytes=usage.used,
                free_bytes=usage.free,
                total_bytes=usage.total,
                percent=usage.percent,
            )
        )
    return found
