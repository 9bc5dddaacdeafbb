"""Measures the host and the services of the mesh, one round at a time. Blocking: a few tens of milliseconds."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable
from typing import Final

import psutil

from agent_svcs.analytics_agent.series import Key, Round
from agent_svcs.components import HOST, service_of
from agent_svcs.cpu_time import CpuTime, read_all_cores

SETTLED_SECONDS: Final = 5.0
"""A younger process may still be about to become another program (fork, then exec): it is looked at again."""

Found = Iterable[tuple[str, psutil.Process]]
"""Services and their processes; a service may have several."""


class MeshServices:
    """Finds the processes of the mesh's services among all that run here."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, float], str | None] = {}

    def __call__(self) -> Found:
        """Looks at the command lines of processes that were not there, or were too young, the last time."""
        known: dict[tuple[int, float], str | None] = {}
        for process in psutil.process_iter():
            try:
                key = (process.pid, process.create_time())
                service = self._known[key] if key in self._known else service_of(process.cmdline())
            except psutil.Error:  # ended meanwhile, or not ours to see
                continue
            if time.time() - key[1] > SETTLED_SECONDS:
                known[key] = service
            if service is not None:
                yield service, process
        self._known = known


class Sampler:
    """Makes rounds. CPU use is over the time since the round before, so the first round has none."""

    def __init__(self, find: Callable[[], Found]) -> None:
        self._find = find
        self._host_cpu: CpuTime | None = None
        self._cpu_seconds: dict[tuple[int, float], tuple[float, float]] = {}
        """Process -> its CPU seconds, and when they were read."""

    def sample(self) -> Round:
        """Measures now."""
        at = time.time()
        readings: dict[Key, float] = {(HOST, metric): value for metric, value in self._host().items()}
        cpu_seconds: dict[tuple[int, float], tuple[float, float]] = {}
        for service, process in self._find():
            try:
                key, clock, cpu, sums = _read(process)
            except psutil.Error:
                continue
            before = self._cpu_seconds.get(key)
            if before is not None and clock > before[1]:
                sums["cpu_percent"] = max(0.0, 100.0 * (cpu - before[0]) / (clock - before[1]))
            cpu_seconds[key] = (cpu, clock)
            for metric, value in sums.items():
                readings[service, metric] = readings.get((service, metric), 0.0) + value
        self._cpu_seconds = cpu_seconds
        return Round(at, readings)

    def _host(self) -> dict[str, float]:
        memory, cpu = psutil.virtual_memory(), read_all_cores()
        measured = {
            "memory_percent": 100.0 * (1.0 - memory.available / memory.total),
            "swap_percent": psutil.swap_memory().percent,
            "load_1m": psutil.getloadavg()[0],
        }
        if self._host_cpu is not None and cpu.total > self._host_cpu.total:
            measured["cpu_percent"] = cpu.share_since(self._host_cpu)
        self._host_cpu = cpu
        with contextlib.suppress(OSError):
            measured["disk_percent"] = psutil.disk_usage("/").percent
        return measured


def _read(process: psutil.Process) -> tuple[tuple[int, float], float, float, dict[str, float]]:
    """Identity of the process, moment of a steady clock, CPU seconds, and what is summed over processes."""
    with process.oneshot():
        cpu = process.cpu_times()
        clock = time.monotonic()
        sums = {"memory_bytes": float(process.memory_info().rss), "threads": float(process.num_threads())}
        with contextlib.suppress(psutil.AccessDenied):  # of another user
            sums["open_fds"] = float(process.num_fds())
        return (process.pid, process.create_time()), clock, cpu.user + cpu.system, sums
