"""A run in flight: who is attached to it, and how it ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass

import structlog
from opentelemetry.trace import get_current_span

from agentmesh.deadline import HOP_MARGIN_SECONDS, Deadline
from agentmesh.errors import DeadlineExceeded, MeshError, RunCancelled
from agentmesh.incidents import as_internal, close_incident
from agentmesh.telemetry.spans import record_bug
from orchestrator_svc.app import metrics
from orchestrator_svc.app.answer import Answering
from orchestrator_svc.app.journal import Entry
from orchestrator_svc.app.run import Run, RunState
from orchestrator_svc.app.run_events import Accepted, Finished
from orchestrator_svc.app.tracing import workflow

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Attached:
    """A run as one of its callers sees it."""

    run: Run
    replayed: bool = False
    """Whether it had ended before this caller repeated its request."""

    async def ended(self) -> Run:
        """Return the run when it has its answer.

        Raises:
            MeshError: What its callers are told, if it has none.
        """
        await self.run.journal.closed()
        if self.run.error is not None:
            raise self.run.error.with_traceback(None)  # of several callers, each adds its own
        return self.run

    async def events(self, after: int = 0) -> AsyncGenerator[Entry, None]:
        """Give its events with a greater sequence as they happen, and end as `ended` does."""
        async with aclosing(self.run.journal.read(after)) as entries:
            async for entry in entries:
                yield entry
        await self.ended()


@dataclass(slots=True)
class LiveRun:
    """A run in flight, and how many are attached to it."""

    run: Run
    task: asyncio.Task[None]
    callers: int = 0
    is_cancelled: bool = False

    def cancel(self) -> None:
        """Let it end; again: nothing happens, because a second cancellation would break into its end."""
        if not self.is_cancelled:
            self.is_cancelled = True
            # In the next turn: a task that is cancelled before its first step has no end that could tell its callers.
            asyncio.get_running_loop().call_soon(self._cancel_task)

    def _cancel_task(self) -> None:
        if self.run.state is RunState.RUNNING:
            self.task.cancel()

    @asynccontextmanager
    async def attachment(self) -> AsyncIterator[Attached]:
        """Attach a caller; when the last one leaves, the run is cancelled unless it is to be kept running."""
        self.callers += 1
        try:
            yield Attached(self.run)
        finally:
            self.callers -= 1
            if self.callers == 0 and not self.run.request.keep_running:
                self.cancel()


async def carry_out(answering: Answering, run: Run, deadline: Deadline) -> None:
    """The whole life of a run, which ends in any case; only cancellation is raised, the rest is in the run."""
    structlog.contextvars.bind_contextvars(run_id=run.id)
    with workflow(run):
        await _carried_out(answering, run, deadline)


async def _carried_out(answering: Answering, run: Run, deadline: Deadline) -> None:
    run.journal.write(Accepted())
    try:
        await _within(answering, run, deadline)
    except (asyncio.CancelledError, KeyboardInterrupt, SystemExit):
        if deadline.earlier(HOP_MARGIN_SECONDS).expired:  # its caller was cut off there, and did not leave
            run.end(RunState.FAILED, DeadlineExceeded("the deadline passed").about_run(run.id, run.trace.id))
        else:
            run.end(RunState.CANCELLED, RunCancelled("the run was cancelled").about_run(run.id, run.trace.id))
        raise
    except MeshError as error:
        run.end(RunState.FAILED, error.about_run(run.id, run.trace.id))
    except BaseException as bug:  # noqa: BLE001 - the edge: its callers must not wait for ever (panics of Rust)
        run.end(RunState.FAILED, as_internal(bug).about_run(run.id, run.trace.id))
        record_bug(get_current_span(), bug)
        _log.error("unexpected error", incident=close_incident(bug), exc_info=bug)
    else:
        run.end(RunState.FINISHED)
        run.journal.write(Finished())
    finally:
        metrics.run_ended(run)
        _log_end(run)


async def _within(answering: Answering, run: Run, deadline: Deadline) -> None:
    limit = asyncio.timeout(deadline.earlier(HOP_MARGIN_SECONDS).remaining())
    try:
        async with limit:
            await answering.answer(run, deadline)
    except TimeoutError:
        if limit.expired():
            raise DeadlineExceeded("the deadline passed before there was an answer") from None
        raise


def _log_end(run: Run) -> None:
    _log.info(
        "run",
        state=run.state,
        outcome=run.outcome,
        error=type(run.error).__name__ if run.error else None,
        plan_source=run.plan_source,
        llm_calls=run.ledger.llm_calls,
        agent_calls=run.ledger.agent_calls,
        duration_ms=round(run.timings.total * 1000, 3),
    )
