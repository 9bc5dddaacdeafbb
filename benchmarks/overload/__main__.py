"""Asks a real orchestrator more than it can answer: what it still answers, what it refuses, what that costs.

    python -m benchmarks.overload [REPETITIONS]

Two meshes, each of an orchestrator, an agent and a process that asks, over loopback. In one the agent takes half a
second and the orchestrator answers 40 questions at a time, so the limit of concurrent Asks is what there is too little
of. In the other, with default settings, the agent takes no time, and it is the CPU of the orchestrator.

What a mesh sustains is the most that it answers, with a few asks in flight or when it is asked twice as much as that.
Then it is asked at one, two and three times that rate whether it answers or not. Promised is that at three times the
rate it answers at least 80 % as much as at its best, and that its memory stays as it is. Three repetitions take less
than three minutes.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks.overload.load import TIMEOUT_SECONDS, Load
from benchmarks.overload.mesh import Mesh, Phase, running_mesh

_PHASE_SECONDS: Final = 3.5
_FACTORS: Final = (1, 2, 3)
_PROMISED_SHARE: Final = 0.8
_PROMISED_GROWTH: Final = 0.05
"""Of memory from the first phase to the last; a leak of what each ask leaves would be more."""
_LATE_SECONDS: Final = 0.1
"""Asks that are later than this were not asked at the rate."""
_WIDTH: Final = 10
"""Of a column, at least."""
_BUSY: Final = 0.9
"""Of a core."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """What there is too little of."""

    name: str
    agent_seconds: float
    in_flight: int
    """With as many asks the mesh is busy, and refuses none."""
    settings: Mapping[str, str]


_SCENARIOS: Final = (
    Scenario("places: the agent takes 0.5 s, 40 asks at a time", 0.5, 40, {"MAX_CONCURRENT_ASKS": "40"}),
    Scenario("CPU: the agent takes no time, default settings", 0.0, 32, {}),
)


async def _repetition(mesh: Mesh, in_flight: int) -> list[Phase]:
    """Find the rate, and ask at its multiples.

    Raises:
        RuntimeError: The mesh does not work.
    """
    closed = await mesh.asked("in flight", Load(_PHASE_SECONDS, in_flight=in_flight))
    if closed.counted.failed:
        raise RuntimeError(f"asks fail without any need: {closed.counted.failed}")
    pushed = await mesh.asked("pushed", Load(_PHASE_SECONDS, rate=2 * closed.goodput))
    sustained = max(closed.goodput, pushed.goodput)
    loads = [(f"{factor}x", Load(_PHASE_SECONDS, rate=factor * sustained)) for factor in _FACTORS]
    return [closed, pushed, *[await mesh.asked(name, load) for name, load in loads]]


def _quantile(values: Sequence[float], share: float) -> float:
    """The value that this share of all does not exceed; not a number without values."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))] if values else float("nan")


_COLUMNS: Final[Sequence[tuple[str, str, Callable[[Phase], float]]]] = (
    ("asked/s", ".0f", lambda phase: phase.asks / phase.counted.seconds),
    ("answered/s", ".0f", lambda phase: phase.goodput),
    ("refused/s", ".0f", lambda phase: len(phase.counted.refused) / phase.counted.seconds),
    ("dropped/s", ".0f", lambda phase: phase.counted.dropped / phase.counted.seconds),
    ("other/s", ".0f", lambda phase: sum(phase.counted.failed.values()) / phase.counted.seconds),
    ("answer p50", ".0f", lambda phase: _quantile(phase.counted.answered, 0.5) * 1000),
    ("p95 ms", ".0f", lambda phase: _quantile(phase.counted.answered, 0.95) * 1000),
    ("refusal p50", ".0f", lambda phase: _quantile(phase.counted.refused, 0.5) * 1000),
    ("p95 ms", ".0f", lambda phase: _quantile(phase.counted.refused, 0.95) * 1000),
    ("CPU", ".2f", lambda phase: phase.orchestrator_cpu_seconds / phase.counted.seconds),
    ("RSS MiB", ".1f", lambda phase: phase.resident_mib),
)


def _row(name: str, phases: Sequence[Phase]) -> Iterator[str]:
    medians, ranges = [], []
    for title, form, measure in _COLUMNS:
        values = [measure(phase) for phase in phases]
        width = max(len(title), _WIDTH)
        medians.append(f"{statistics.median(values):{width}{form}}")
        ranges.append(f"{f'{min(values):{form}}..{max(values):{form}}':>{width}}")
    yield f"{name:<10}" + " ".join(medians)
    yield f"{'':<10}" + " ".join(ranges)


def _table(repetitions: Sequence[Sequence[Phase]]) -> Iterator[str]:
    yield f"{'load':<10}" + " ".join(f"{title:>{max(len(title), _WIDTH)}}" for title, _, _ in _COLUMNS)
    for phases in zip(*repetitions, strict=True):
        yield from _row(phases[0].name, phases)


def _verdict(repetitions: Sequence[Sequence[Phase]]) -> Iterator[str]:
    shares = [phases[-1].goodput / max(phase.goodput for phase in phases) for phases in repetitions]
    share = statistics.median(shares)
    kept = "kept" if share >= _PROMISED_SHARE else "NOT KEPT"
    yield (
        f"At 3x it answers {share:.0%} ({min(shares):.0%}..{max(shares):.0%}) as much as at its best;"
        f" promised are {_PROMISED_SHARE:.0%}: {kept}."
    )
    first, last = repetitions[0][0].resident_mib, repetitions[-1][-1].resident_mib
    growth = last / first - 1
    kept = "kept" if growth <= _PROMISED_GROWTH else "NOT KEPT"
    yield f"Memory went from {first:.1f} to {last:.1f} MiB ({growth:+.1%}); promised is that it is flat: {kept}."


def _warnings(repetitions: Sequence[Sequence[Phase]]) -> Iterator[str]:
    for phases in repetitions:
        for phase in phases:
            late = _quantile(phase.counted.late, 0.95) if phase.counted.late else 0.0
            busy = phase.counted.cpu_seconds / phase.counted.seconds
            if late > _LATE_SECONDS or busy > _BUSY:
                yield (
                    f"The asking process was a bottleneck at {phase.name}: 5 % of its asks were {late * 1000:.0f} ms"
                    f" late or more, and it took {busy:.0%} of a core."
                )


async def _measured(scenario: Scenario, count: int) -> list[list[Phase]]:
    async with running_mesh(scenario.agent_seconds, **scenario.settings) as mesh:
        await mesh.asked("warm-up", Load(_PHASE_SECONDS, in_flight=scenario.in_flight))
        await mesh.asked("warm-up", Load(_PHASE_SECONDS, in_flight=4 * scenario.in_flight))
        return [await _repetition(mesh, scenario.in_flight) for _ in range(count)]


async def _main(count: int) -> None:
    print(f"{os.cpu_count()} cores; {count} repetitions, medians with their ranges")
    print("refused: RESOURCE_EXHAUSTED; dropped: CANCELLED by the core of gRPC, before the server looked at it")
    print(f"other: mostly without an answer after {TIMEOUT_SECONDS:g} s; CPU: cores that the orchestrator took")
    for scenario in _SCENARIOS:
        print(f"\n{scenario.name} (load average before: {os.getloadavg()[0]:.1f})")
        repetitions = await _measured(scenario, count)
        print("\n".join([*_table(repetitions), *_verdict(repetitions), *_warnings(repetitions)]))


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1]) if len(sys.argv) > 1 else 3))
