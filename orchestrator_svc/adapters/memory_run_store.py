"""Remembers the latest runs in this process."""

from __future__ import annotations

from typing import Final

from orchestrator_svc.app.run import Run, RunState

MAX_RESULT_BYTES: Final = 32 * 1024 * 1024
"""Results of all runs that have ended, as JSON; in memory they take some six times as much."""


class MemoryRunStore:
    """Implements `RunStore`; keeps every run in flight and the latest that have ended.

    Args:
        kept: Most runs that have ended.
        max_result_bytes: Most that their results have together, as JSON; the latest run is kept whatever it has.
    """

    def __init__(self, kept: int, *, max_result_bytes: int = MAX_RESULT_BYTES) -> None:
        self._kept = kept
        self._max_result_bytes = max_result_bytes
        self._running: dict[str, Run] = {}
        self._ended: dict[str, Run] = {}
        self._result_bytes = 0
        """Of the runs that have ended."""

    async def put(self, run: Run) -> None:
        if run.state is RunState.RUNNING:
            self._running[run.id] = run
            return
        self._running.pop(run.id, None)
        if run.id not in self._ended:
            self._result_bytes += run.result_bytes
        self._ended[run.id] = run
        while len(self._ended) > self._kept or (self._result_bytes > self._max_result_bytes and len(self._ended) > 1):
            self._result_bytes -= self._ended.pop(next(iter(self._ended))).result_bytes

    async def get(self, run_id: str) -> Run | None:
        return self._running.get(run_id) or self._ended.get(run_id)
