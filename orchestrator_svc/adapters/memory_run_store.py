"""Remembers the latest runs in this process."""

from __future__ import annotations

import asyncio
from bisect import bisect_left, insort
from collections.abc import Sequence
from datetime import timedelta
from itertools import islice
from typing import Final

from orchestrator_svc.app.ports.clock import Clock
from orchestrator_svc.app.ports.run_store import RunFilter, RunPosition, RunSummary
from orchestrator_svc.app.run import Run, RunState

MAX_BYTES: Final = 32 * 1024 * 1024
"""`Run.size_bytes` of all runs that have ended; in memory results take some six times as much, plans twelve times."""
_AT_ONCE: Final = 1000
"""Runs that are looked at for a list before others get their turn: about a millisecond."""


class MemoryRunStore:
    """Implements `RunStore`; keeps every run in flight and the latest that have ended.

    Args:
        kept: Most runs that have ended.
        clock: The time of day.
        replay_seconds: Time after its end for which a request_id means its run.
        max_bytes: Most that the runs that have ended take together; the latest one is kept whatever it takes.
    """

    def __init__(self, kept: int, *, clock: Clock, replay_seconds: float, max_bytes: int = MAX_BYTES) -> None:
        self._kept = kept
        self._clock = clock
        self._replay = timedelta(seconds=replay_seconds)
        self._max_bytes = max_bytes
        self._runs: dict[str, Run] = {}
        self._ended: dict[str, int] = {}
        """Size in bytes by id, in the order in which they ended."""
        self._ended_bytes = 0
        self._places: dict[str, list[RunPosition]] = {}
        """By caller, oldest first; a run is nearly always added at the end and taken near the front."""
        self._claims: dict[tuple[str, str], str] = {}
        """Id of the run that has a caller's request_id. Goes with the run, so there are never more of them."""

    async def begin(self, run: Run) -> Run | None:
        request = run.request
        if request.request_id:
            earlier = self._claimant(request.caller, request.request_id)
            if earlier is not None:
                return earlier
            self._claims[request.caller, request.request_id] = run.id
        self._remember(run)
        return None

    async def put(self, run: Run) -> None:
        self._remember(run)
        if run.state is RunState.RUNNING:
            return
        size = run.size_bytes
        self._ended_bytes += size - self._ended.get(run.id, 0)
        self._ended[run.id] = size
        while len(self._ended) > self._kept or (self._ended_bytes > self._max_bytes and len(self._ended) > 1):
            self._forget_oldest()

    async def release(self, run: Run) -> None:
        self._release(run)

    async def requested(self, caller: str, request_id: str) -> Run | None:
        return self._claimant(caller, request_id)

    async def get(self, run_id: str) -> Run | None:
        return self._runs.get(run_id)

    async def list(self, wanted: RunFilter, *, before: RunPosition | None, limit: int) -> Sequence[RunSummary]:
        found: list[RunSummary] = []
        while runs := self._newest(wanted, before):
            found += map(RunSummary.of, islice(filter(wanted.takes, runs), limit - len(found)))
            if len(found) == limit:
                break
            before = RunPosition.of(runs[-1])
            await asyncio.sleep(0)
        return found

    def _newest(self, wanted: RunFilter, before: RunPosition | None) -> Sequence[Run]:
        """The newest of the caller's runs inside the bounds of time, newest first, as many as are looked at at once."""
        places = self._places.get(wanted.caller, [])
        ends = [] if before is None else [before]
        if wanted.started_before is not None:
            ends.append(RunPosition(wanted.started_before, ""))
        end = bisect_left(places, min(ends)) if ends else len(places)
        start = 0 if wanted.started_after is None else bisect_left(places, RunPosition(wanted.started_after, ""))
        return [self._runs[place.run_id] for place in reversed(places[max(start, end - _AT_ONCE) : end])]

    def _remember(self, run: Run) -> None:
        if run.id not in self._runs:
            insort(self._places.setdefault(run.request.caller, []), RunPosition.of(run))
        self._runs[run.id] = run

    def _forget_oldest(self) -> None:
        run_id = next(iter(self._ended))
        self._ended_bytes -= self._ended.pop(run_id)
        run = self._runs.pop(run_id)
        self._release(run)
        places = self._places[run.request.caller]
        del places[bisect_left(places, RunPosition.of(run))]
        if not places:
            del self._places[run.request.caller]

    def _claimant(self, caller: str, request_id: str) -> Run | None:
        run_id = self._claims.get((caller, request_id))
        if run_id is None:
            return None
        run = self._runs[run_id]
        if run.ended_at is not None and self._clock.now() >= run.ended_at + self._replay:
            self._release(run)
            return None
        return run

    def _release(self, run: Run) -> None:
        """Unless its request_id belongs to a later run by now."""
        claim = (run.request.caller, run.request.request_id)
        if self._claims.get(claim) == run.id:
            del self._claims[claim]
