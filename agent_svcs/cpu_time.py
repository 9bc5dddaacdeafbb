"""CPU time of the host as the operating system counts it."""

from __future__ import annotations

from dataclasses import dataclass

import psutil


@dataclass(frozen=True, slots=True)
class CpuTime:
    """Seconds since boot."""

    busy: float
    total: float

    def share_since(self, earlier: CpuTime) -> float:
        """Busy share in between, 0 to 100; 0 where no time passed."""
        total = self.total - earlier.total
        return min(100.0, max(0.0, 100.0 * (self.busy - earlier.busy) / total)) if total > 0.0 else 0.0


def read_cores() -> tuple[CpuTime, ...]:
    """Each logical core."""
    return tuple(_time(times) for times in psutil.cpu_times(percpu=True))


def read_all_cores() -> CpuTime:
    """All cores together."""
    return _time(psutil.cpu_times())


def _time(times: object) -> CpuTime:
    # Which fields there are depends on the operating system.
    fields: dict[str, float] = times._asdict()  # type: ignore[attr-defined] # a different named tuple on each
    guests = fields.get("guest", 0.0) + fields.get("guest_nice", 0.0)  # part of user and nice already
    total = sum(fields.values()) - guests
    return CpuTime(busy=total - fields["idle"] - fields.get("iowait", 0.0), total=total)
