"""From two snapshots to a report: which processes an entity is, and what they did in between."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from agent_svcs.components import COMPONENTS, HOST, MODULES
from agent_svcs.data_agent import measure
from agent_svcs.data_agent.measure import ProcessCounters, Snapshot
from agent_svcs.data_agent.model import Cpu, Entities, Entity, Machine, Memory, Process, Report, Traffic
from agent_svcs.instants import iso
from agent_svcs.unknown import unknown

TOP_OF_HOST: Final = 10
MOST_PROCESSES: Final = 50
MOST_NAMES: Final = 200

Kind = Literal["host", "service", "process"]


@dataclass(frozen=True, slots=True)
class Target:
    """What an entity's name stands for."""

    name: str
    kind: Kind

    def owns(self, process: ProcessCounters) -> bool:
        """Whether the process belongs to it."""
        if self.kind == "host":
            return True
        return (process.component if self.kind == "service" else process.name) == self.name


def find_target(entity: str, snapshot: Snapshot) -> Target:
    """The host, a component of the mesh (running or not), else the processes of that name, in any case.

    Raises errors.NotFound naming the nearest.
    """
    if entity == HOST:
        return Target(HOST, "host")
    if entity in MODULES:
        return Target(entity, "service")
    names = {process.name for process in snapshot.processes}
    if entity in names:
        return Target(entity, "process")
    same = sorted(name for name in names if name.lower() == entity.lower())
    if same:
        return Target(same[0], "process")
    raise unknown("entity", entity, [*COMPONENTS, *names])


def list_all(snapshot: Snapshot) -> Entities:
    """Every name that `find_target` takes."""
    services = [process.component for process in snapshot.processes if process.component]
    names = [process.name for process in snapshot.processes if not process.component]
    listed = sorted(set(names))
    entities = [Entity(HOST, "host", running=True, process_count=len(snapshot.processes))]
    entities += [
        Entity(name, "service", running=name in services, process_count=services.count(name)) for name in MODULES
    ]
    entities += [Entity(name, "process", running=True, process_count=names.count(name)) for name in listed[:MOST_NAMES]]
    return Entities(iso(snapshot.at), entities, left_out=max(0, len(listed) - MOST_NAMES))


def build_report(target: Target, before: Snapshot, after: Snapshot) -> Report:
    """What the entity did between the snapshots; reads a few values of the second moment once more from the system."""
    seconds = after.clock - before.clock
    host = target.kind == "host"
    used = _processes(target, before, after, seconds)
    shown = used[: TOP_OF_HOST if host else MOST_PROCESSES]
    started = measure.boot_time() if host else min((one.started for one, _ in used), default=None)
    memory = measure.physical_memory()
    if not host:
        resident = sum(one.memory_bytes for one, _ in used)
        memory = Memory(resident, round(100.0 * resident / memory.total_bytes, 1), memory.total_bytes)
    return Report(
        entity=target.name,
        kind=target.kind,
        status="running" if used else "not_running",
        measured_at=iso(after.at),
        interval_seconds=round(seconds, 3),
        started_at=None if started is None else iso(started),
        uptime_seconds=0 if started is None else max(0, round(after.at - started)),
        cpu=_cpu_of_host(before, after) if host else _cpu_of(used, len(after.cores)),
        memory=memory,
        threads=sum(one.threads for one, _ in used),
        process_count=len(used),
        processes=[_shown(process, percent) for process, percent in shown],
        machine=_machine(before, after, seconds) if host else None,
    )


Used = tuple[ProcessCounters, float]
"""A process and its CPU use over the interval, in percent of one core."""


def _processes(target: Target, before: Snapshot, after: Snapshot, seconds: float) -> list[Used]:
    earlier = {(one.pid, one.started): one.cpu_seconds for one in before.processes}
    used = [
        # A process that started in between used all of its time in between.
        (one, 100.0 * max(0.0, one.cpu_seconds - earlier.get((one.pid, one.started), 0.0)) / seconds)
        for one in after.processes
        if target.owns(one)
    ]
    return sorted(used, key=lambda pair: (-pair[1], -pair[0].memory_bytes, pair[0].pid))


def _shown(process: ProcessCounters, percent: float) -> Process:
    return Process(
        pid=process.pid,
        name=process.name,
        component=process.component,
        cpu_percent=round(percent, 1),
        memory_bytes=process.memory_bytes,
        threads=process.threads,
        open_fds=measure.open_fds(process.pid),
        status=process.status,
        started_at=iso(process.started),
    )


def _cpu_of(used: Iterable[Used], cores: int) -> Cpu:
    return Cpu(percent=round(sum((percent for _, percent in used), 0.0), 1), cores=cores, per_core_percent=[])


def _cpu_of_host(before: Snapshot, after: Snapshot) -> Cpu:
    # The lengths differ when a core was switched off in between.
    shares = [new.share_since(old) for old, new in zip(before.cores, after.cores, strict=False)]
    return Cpu(
        percent=round(sum(shares) / len(shares), 1),
        cores=len(after.cores),
        per_core_percent=[round(share, 1) for share in shares],
    )


def _machine(before: Snapshot, after: Snapshot, seconds: float) -> Machine:
    old, new = before.traffic, after.traffic

    def rate(earlier: int, later: int) -> float:
        return round(max(0, later - earlier) / seconds, 1)

    return Machine(
        load=measure.load(),
        swap=measure.swap(),
        disks=measure.disks(),
        traffic=Traffic(
            disk_read_bytes_per_second=rate(old.disk_read_bytes, new.disk_read_bytes),
            disk_written_bytes_per_second=rate(old.disk_written_bytes, new.disk_written_bytes),
            network_received_bytes_per_second=rate(old.network_received_bytes, new.network_received_bytes),
            network_sent_bytes_per_second=rate(old.network_sent_bytes, new.network_sent_bytes),
            network_errors_since_boot=new.network_errors,
        ),
    )
