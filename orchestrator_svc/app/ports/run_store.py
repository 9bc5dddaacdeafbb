"""Remembers runs, those in flight included."""

from __future__ import annotations

from typing import Protocol

from orchestrator_svc.app.run import Run


class RunStore(Protocol):
    """Bounded, in runs and in the bytes of their results: the oldest that have ended are forgotten first."""

    async def put(self, run: Run) -> None:
        """Remember a run, or its new state."""
        ...

    async def get(self, run_id: str) -> Run | None:
        """The run as it is now; None if it is not remembered."""
        ...
