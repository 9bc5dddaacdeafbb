"""The life of runs: each is begun, remembered, and ended exactly once, however it ends."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from agentmesh.deadline import HOP_MARGIN_SECONDS, Deadline
from agentmesh.errors import DeadlineExceeded, MeshError, RunNotFound
from agentmesh.incidents import as_internal
from orchestrator_svc.app.ledger import Ledger
from orchestrator_svc.app.ports.clock import Clock
from orchestrator_svc.app.ports.planner import Question
from orchestrator_svc.app.ports.run_store import RunStore
from orchestrator_svc.app.run import Run, RunState


class Runs:
    """Begins, ends and finds runs."""

    def __init__(self, store: RunStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def begin(self, question: Question) -> Run:
        """Make a run that has not started yet; `open` starts it."""
        run_id = secrets.token_hex(16)
        return Run(
            id=run_id,
            question=question,
            started_at=self._clock.now(),
            clock=self._clock,
            began=self._clock.monotonic(),
            ledger=Ledger(run_id=run_id),
        )

    @asynccontextmanager
    async def open(self, run: Run, deadline: Deadline) -> AsyncIterator[None]:
        """Remember the run from here on, and how the block ended: FINISHED, FAILED or CANCELLED.

        What is cancelled at the deadline has FAILED: nobody left.
        """
        await self._store.put(run)
        try:
            yield
        except asyncio.CancelledError:
            if deadline.earlier(HOP_MARGIN_SECONDS).expired:
                run.end(RunState.FAILED, DeadlineExceeded("the deadline passed").about_run(run.id))
            else:
                run.end(RunState.CANCELLED)
            raise
        except MeshError as error:
            run.end(RunState.FAILED, error.about_run(run.id))
            raise
        except BaseException as bug:
            run.end(RunState.FAILED, as_internal(bug).about_run(run.id))
            raise
        else:
            run.end(RunState.FINISHED)
        finally:
            await self._store.put(run)

    async def get(self, run_id: str) -> Run:
        """Find a run.

        Raises:
            RunNotFound: It is not remembered here.
        """
        run = await self._store.get(run_id)
        if run is None:
            raise RunNotFound(f"no run {run_id} is remembered here")
        return run
