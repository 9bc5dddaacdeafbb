"""Real processes: started, waited for by their own words, stopped by pid."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass
class Process:
    """A child process whose log lines are JSON on stdout."""

    process: asyncio.subprocess.Process
    lines: list[str] = field(default_factory=list)

    async def says(self, event: str) -> dict[str, object]:
        """The next log line with this event.

        Raises:
            AssertionError: The process ended without it.
        """
        assert self.process.stdout is not None
        while line := await self.process.stdout.readline():
            self.lines.append(line.decode())
            try:
                record = json.loads(line)
            except ValueError:
                continue
            if isinstance(record, dict) and record.get("event") == event:
                return record
        raise AssertionError(f"ended without saying {event!r}:\n{''.join(self.lines)}")

    async def ended(self) -> int:
        """Wait until it ends by itself, and return the exit code."""
        assert self.process.stdout is not None
        self.lines.append((await self.process.stdout.read()).decode())
        return await self.process.wait()

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send the signal, read to the end, and return the exit code."""
        if self.process.returncode is None:
            self.process.send_signal(number)
        return await self.ended()


@asynccontextmanager
async def running(*command: str, environment: Mapping[str, str] | None = None) -> AsyncIterator[Process]:
    """Run `python COMMAND...`; killed at the end if it still runs."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *command,
        cwd=ROOT,
        env={**os.environ, **(environment or {})},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        yield Process(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
