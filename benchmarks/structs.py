"""JSON to Struct and back: our converter and the ones of the protobuf library, on the same value.

    .venv/bin/python -m benchmarks.structs [rounds]

The variants take turns; printed are medians and ranges in milliseconds. json.loads and json.dumps of the same text are
there as the floor.
"""

from __future__ import annotations

import json
import random
import statistics
import sys
import time
from collections.abc import Callable

from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.struct_pb2 import Struct

from agentmesh.jsonvalues import JsonObject, check_limits
from agentmesh.transport import from_struct, to_struct

_SIZES = {"typical": 2_000, "largest result": 1_000_000}


def _report(size_bytes: int) -> JsonObject:
    """A report like those of data_agent, of about this size as JSON."""
    rng = random.Random(7)
    rows: list[object] = []
    value = {"entity": "host", "generated_at": "2026-01-31T12:00:00Z", "rows": rows}
    size = 0
    while size < size_bytes:
        row = {
            "metric": rng.choice(["cpu_percent", "memory_bytes", "load_1"]),
            "value": rng.random() * 100,
            "samples": [rng.randrange(1000) for _ in range(4)],
            "healthy": True,
            "note": None,
        }
        rows.append(row)
        size += len(json.dumps(row))
    return value  # type: ignore[return-value]


def _measure(variants: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    taken: dict[str, list[float]] = {name: [] for name in variants}
    for number in range(rounds + 1):
        for name, work in variants.items():
            started = time.perf_counter()
            work()
            if number:  # the first round warms up
                taken[name].append((time.perf_counter() - started) * 1000)
    return taken


def main(rounds: int) -> None:
    """Print the table."""
    for name, size_bytes in _SIZES.items():
        value = _report(size_bytes)
        text = json.dumps(value)
        struct = to_struct(value)
        variants: dict[str, Callable[[], object]] = {
            "into: ours": lambda value=value: to_struct(value),  # type: ignore[misc]
            "into: Struct.update": lambda value=value: Struct().update(value),  # type: ignore[misc]
            "into: ParseDict": lambda value=value: ParseDict(value, Struct()),  # type: ignore[misc]
            "out: ours": lambda struct=struct: from_struct(struct),  # type: ignore[misc]
            "out: MessageToDict": lambda struct=struct: MessageToDict(struct),  # type: ignore[misc]
            "check_limits": lambda value=value: check_limits(value, max_bytes=sys.maxsize),  # type: ignore[misc]
            "json.dumps": lambda value=value: json.dumps(value),  # type: ignore[misc]
            "json.loads": lambda text=text: json.loads(text),  # type: ignore[misc]
        }
        print(f"{name}: {len(text)} bytes as JSON, {struct.ByteSize()} as Struct; {rounds} rounds, milliseconds")
        print(f"  {'':<22}{'median':>10}{'least':>10}{'most':>10}")
        for variant, times in _measure(variants, rounds).items():
            print(f"  {variant:<22}{statistics.median(times):10.3f}{min(times):10.3f}{max(times):10.3f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
