"""Remembers the latest runs in this process."""

from __future__ import annotations

from orchestrator_svc.app.run import Run, RunState


class MemoryRunStore:
    """Implements `RunStore`; keeps every run in flight and the latest `kept` that have ended."""

    def __init__(self, kept: int) -> None:
        self._kept = kept
        self._running: dict[str, Run] = {}
        self._ended: dict[str, Run] = {}

    async def put(self, run: Run) -> None:
        if run.state is RunState.RUNNING:
            self._running[run.id] = run
            return
        self._running.pop(run.id, None)
        self._ended[run.id] = run
        while len(self._ended) > self._kept:
            del self._ended[next(iter(self._ended))]

    async def get(self, run_id: str) -> Run | None:
        return self._running.get(run_id) or self._ended.get(run_id)
