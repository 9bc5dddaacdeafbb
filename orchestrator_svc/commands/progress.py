"""What is shown while a mesh starts, and when it has stopped."""

from __future__ import annotations

import time
from collections.abc import Callable

from agentmesh.cli.output import Output


def readiness_lines(output: Output) -> Callable[[str, str], None]:
    """Return what writes a line for each process that is ready, with the time since now."""
    began = time.monotonic()

    def ready(name: str, address: str) -> None:
        output.line((f"{name:<18}", "bold"), f"{address:<24}", (f"ready after {time.monotonic() - began:.1f} s", "dim"))

    return ready


def stopped_line(count: int) -> str:
    """How many processes were stopped."""
    return "1 process stopped" if count == 1 else f"{count} processes stopped"
