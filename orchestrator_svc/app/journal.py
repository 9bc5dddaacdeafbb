"""The events of one run, in order, for every reader alike: those who follow it and those who come later.

A reader has a place in the journal and no queue of its own, so a slow one costs nothing and misses nothing. What an
agent says of its progress is thinned out here, before it gets a number: the numbers have no gaps for anybody.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from orchestrator_svc.app.ports.clock import Clock
from orchestrator_svc.app.run_events import AnswerToken, RunEvent, StepProgress

PROGRESS_PAUSE_SECONDS: Final = 0.1
"""Progress of one step, or item, that comes sooner after the last is dropped."""
MAX_PROGRESS: Final = 1000
"""Progress events of one run; later ones are dropped."""
_ENTRY_BYTES: Final = 250
"""What an entry takes in memory, without its text."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One event."""

    sequence: int
    """1, 2, 3 ... without gaps."""
    at: datetime
    event: RunEvent


class Journal:
    """Written by the run, in one event loop; closed when it has ended."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._entries: list[Entry] = []
        self._closed = False
        self._readers = 0
        self._change = asyncio.Event()
        self._last_progress: dict[tuple[str, int | None], float] = {}
        self._progress_left = MAX_PROGRESS
        self.size_bytes = 0
        """About what it takes in memory."""

    @property
    def is_read(self) -> bool:
        """Whether somebody follows the run now."""
        return self._readers > 0

    def write(self, event: RunEvent) -> None:
        """Add an event and wake the readers; of progress only as much as somebody can follow."""
        if isinstance(event, StepProgress) and not self._worth_telling(event):
            return
        self._entries.append(Entry(len(self._entries) + 1, self._clock.now(), event))
        text = event.text if isinstance(event, AnswerToken) else ""
        self.size_bytes += _ENTRY_BYTES + 4 * len(text)
        self._wake()

    def close(self) -> None:
        """Nothing will be written any more."""
        self._closed = True
        self._wake()

    async def closed(self) -> None:
        """Return when nothing will be written any more."""
        while not self._closed:
            await self._change.wait()

    async def read(self, after: int = 0) -> AsyncGenerator[Entry, None]:
        """Give the entries with a greater sequence, those to come included, until the journal is closed."""
        self._readers += 1
        try:
            while True:
                while after < len(self._entries):
                    entry = self._entries[after]
                    after += 1
                    yield entry
                if self._closed:
                    return
                await self._change.wait()
        finally:
            self._readers -= 1

    def _worth_telling(self, progress: StepProgress) -> bool:
        place, now = (progress.step_id, progress.item_index), self._clock.monotonic()
        last = self._last_progress.get(place)
        if not self._progress_left or (last is not None and now - last < PROGRESS_PAUSE_SECONDS):
            return False
        self._last_progress[place] = now
        self._progress_left -= 1
        return True

    def _wake(self) -> None:
        change, self._change = self._change, asyncio.Event()
        change.set()
