"""The metrics that are kept: their units, and the smallest change of each that matters to an operator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from agent_svcs.components import COMPONENTS, HOST, MODULES


@dataclass(frozen=True, slots=True)
class Metric:
    """One quantity that is sampled."""

    name: str
    unit: str
    resolution: float
    """Changes smaller than this are never called an anomaly, however quiet the metric was before."""


SERVICE_METRICS: Final = (
    Metric("cpu_percent", "percent of one core", 5.0),
    Metric("memory_bytes", "bytes resident", 4.0 * 2**20),
    Metric("threads", "threads", 2.0),
    Metric("open_fds", "open file descriptors", 4.0),
)
"""Of a service, all its processes on this host together."""

HOST_METRICS: Final = (
    Metric("cpu_percent", "percent of all cores", 10.0),
    Metric("memory_percent", "percent of the memory", 2.0),
    Metric("swap_percent", "percent of the swap space", 2.0),
    Metric("disk_percent", "percent of the root file system", 1.0),
    Metric("load_1m", "runnable processes, average of a minute", 1.0),
)

METRICS: Final[Mapping[str, Mapping[str, Metric]]] = MappingProxyType(
    {
        component: MappingProxyType({one.name: one for one in (HOST_METRICS if component == HOST else SERVICE_METRICS)})
        for component in COMPONENTS
    }
)
"""Component, metric name -> metric."""


def covered(entity: str) -> tuple[str, ...]:
    """The components that an entity stands for: the host is itself and every component that runs on it."""
    return (HOST, *MODULES) if entity == HOST else (entity,)
