"""What data_agent answers. Plans refer to these fields; their names carry the units."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from pydantic import ConfigDict

_DOCUMENTED = ConfigDict(use_attribute_docstrings=True)
"""The texts under the fields become the descriptions in the output schema."""


@dataclass(frozen=True, slots=True)
class Cpu:
    """Processor time used over the interval of the report."""

    __pydantic_config__: ClassVar[ConfigDict] = _DOCUMENTED

    percent: float
    """Host: busy share of all cores together, 0 to 100. Otherwise: of one core, so 200 is two cores fully busy."""
    cores: int
    """Logical cores of the host."""
    per_core_percent: list[float]
    """Host: busy share of each core; otherwise empty."""


@dataclass(frozen=True, slots=True)
class Memory:
    """Physical memory."""

    __pydantic_config__: ClassVar[ConfigDict] = _DOCUMENTED

    used_bytes: int
    """Host: what is not available to new programs. Otherwise: resident memory, shared pages counted in each process."""
    percent: float
    """Used share of the host's memory."""
    total_bytes: int
    """Of the host."""


@dataclass(frozen=True, slots=True)
class Process:
    """One process. Command lines are left out: they hold secrets."""

    __pydantic_config__: ClassVar[ConfigDict] = _DOCUMENTED

    pid: int
    name: str
    component: str | None
    """The service of the mesh that it is, if any."""
    cpu_percent: float
    """Of one core."""
    memory_bytes: int
    """Resident."""
    threads: int
    open_fds: int | None
    """Open file descriptors; null where the agent may not look."""
    status: str
    """As the operating system calls it, e.g. running, sleeping, stopped, zombie."""
    started_at: str


@dataclass(frozen=True, slots=True)
class Load:
    """Runnable processes, averaged."""

    one_minute: float
    five_minutes: float
    fifteen_minutes: float


@dataclass(frozen=True, slots=True)
class Swap:
    """Swap space."""

    used_bytes: int
    total_bytes: int
    percent: float


@dataclass(frozen=True, slots=True)
class Disk:
    """One mounted file system."""

    mountpoint: str
    used_bytes: int
    free_bytes: int
    total_bytes: int
    percent: float


@dataclass(frozen=True, slots=True)
class Traffic:
    """Input and output of the whole host; the rates are over the interval of the report."""

    disk_read_bytes_per_second: float
    disk_written_bytes_per_second: float
    network_received_bytes_per_second: float
    network_sent_bytes_per_second: float
    network_errors_since_boot: int


@dataclass(frozen=True, slots=True)
class Machine:
    """What only a host has."""

    load: Load
    swap: Swap
    disks: list[Disk]
    traffic: Traffic


@dataclass(frozen=True, slots=True)
class Report:
    """One measurement of one entity."""

    __pydantic_config__: ClassVar[ConfigDict] = _DOCUMENTED

    entity: str
    kind: Literal["host", "service", "process"]
    """service: a component of the mesh; process: every process of that name."""
    status: Literal["running", "not_running"]
    """not_running: a component of the mesh without a process here; its numbers are 0."""
    measured_at: str
    """ISO 8601, UTC: the end of the interval."""
    interval_seconds: float
    """Over which percentages of CPU time and rates were measured."""
    started_at: str | None
    """Boot of the host, or start of the oldest process."""
    uptime_seconds: int
    cpu: Cpu
    memory: Memory
    threads: int
    """Of all processes of the entity together."""
    process_count: int
    processes: list[Process]
    """By CPU use, then memory: the ten highest of a host, at most fifty otherwise."""
    machine: Machine | None
    """Load, swap, disks and traffic; null unless the entity is the host."""


@dataclass(frozen=True, slots=True)
class Entity:
    """Something that can be reported on."""

    __pydantic_config__: ClassVar[ConfigDict] = _DOCUMENTED

    name: str
    kind: Literal["host", "service", "process"]
    running: bool
    process_count: int


@dataclass(frozen=True, slots=True)
class Entities:
    """Everything that can be reported on now: the components of the mesh first, then processes by name."""

    __pydantic_config__: ClassVar[ConfigDict] = _DOCUMENTED

    measured_at: str
    entities: list[Entity]
    left_out: int
    """Process names beyond the first 200."""
