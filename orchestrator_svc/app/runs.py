"""The life of runs: each is a task of its own, to which callers attach, and ends exactly once, however it ends.

A run belongs to the callers that are attached to it: the request that began it, repetitions of it, watchers. When the
last one leaves it is cancelled, down to the agents, unless its request says `keep_running`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace

import structlog

from agentmesh.deadline import HOP_MARGIN_SECONDS, Deadline
from agentmesh.errors import DeadlineExceeded, MeshError, RequestIdReused, RunCancelled, RunNotFound
from agentmesh.incidents import as_internal, close_incident
from orchestrator_svc.app.admission import Admission
from orchestrator_svc.app.answer import Answering
from orchestrator_svc.app.journal import Entry, Journal
from orchestrator_svc.app.ports.clock import Clock
from orchestrator_svc.app.ports.run_store import RunFilter, RunPosition, RunStore, RunSummary
from orchestrator_svc.app.request import RunRequest
from orchestrator_svc.app.run import Run, RunState
from orchestrator_svc.app.run_events import Accepted, Finished
from orchestrator_svc.core.budget import Budget
from orchestrator_svc.core.catalog import Catalog

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Attached:
    """A run as one of its callers sees it."""

    run: Run
    replayed: bool = False
    """Whether it had ended before this caller came."""

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
class _Live:
    """A run in flight."""

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


@dataclass(slots=True)
class Runs:
    """Begins, joins, repeats, follows and cancels runs.

    Args:
        answering: What a run does.
        store: Remembers runs.
        clock: Time.
        admission: How many may be in flight.
        budget: What any run may spend at most.
    """

    answering: Answering
    store: RunStore
    clock: Clock
    admission: Admission
    budget: Budget
    _live: dict[str, _Live] = field(default_factory=dict)

    @property
    def tasks(self) -> Collection[asyncio.Task[None]]:
        """The runs in flight."""
        return [live.task for live in self._live.values()]

    @asynccontextmanager
    async def attached(self, request: RunRequest, deadline: Deadline) -> AsyncIterator[Attached]:
        """Attach to the run of a request: a new one, or for a repetition the one that there is.

        Raises:
            RequestIdReused: An earlier request with this request_id wanted something else.
            Overloaded: No new run can begin just now.
        """
        run = await self._run_for(request, deadline)
        async with self._attachment(run) as attached:
            yield attached

    @asynccontextmanager
    async def watching(self, run_id: str, caller: str) -> AsyncIterator[Attached]:
        """Attach to a run that was begun before.

        Raises:
            RunNotFound: No such run of this caller is remembered here.
        """
        async with self._attachment(await self.get(run_id, caller)) as attached:
            yield attached

    async def plan(self, request: RunRequest, deadline: Deadline) -> tuple[Run, Catalog]:
        """Only route; nothing is remembered. Returns what would run, and the catalog that it was planned for."""
        run = Run.begin(request, self.clock, request.budget.within(self.budget))
        async with self.admission.place(deadline):
            return run, await self.answering.plan(run, deadline)

    async def get(self, run_id: str, caller: str) -> Run:
        """Find a run.

        Raises:
            RunNotFound: No such run of this caller is remembered here.
        """
        run = await self.store.get(run_id)
        if run is None or run.request.caller != caller:
            raise RunNotFound(f"no run {run_id} is remembered here")
        return run

    async def list(self, wanted: RunFilter, *, before: RunPosition | None, limit: int) -> Sequence[RunSummary]:
        """The newest runs that are wanted, newest first."""
        return await self.store.list(wanted, before=before, limit=limit)

    async def cancel(self, run_id: str, caller: str) -> Run:
        """Cancel a run for everybody who waits for it, and return it when it has ended.

        One that has ended stays as it is.

        Raises:
            RunNotFound: No such run of this caller is remembered here.
        """
        run = await self.get(run_id, caller)
        live = self._live.get(run_id)
        if live is not None:
            live.cancel()
            await run.journal.closed()
        return run

    async def close(self) -> None:
        """Cancel every run and wait until they have ended."""
        tasks = self.tasks
        for live in self._live.values():
            live.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run_for(self, request: RunRequest, deadline: Deadline) -> Run:
        if request.request_id:
            earlier = await self.store.requested(request.caller, request.request_id)
            if earlier is not None:
                return await self._again(earlier, request, deadline)
        run = Run.begin(request, self.clock, request.budget.within(self.budget))
        await self.admission.enter(deadline)
        try:
            earlier = await self.store.begin(run)
        except BaseException:
            self.admission.leave()
            raise
        if earlier is not None:
            self.admission.leave()
            return await self._again(earlier, request, deadline)
        self._start(run, deadline)
        return run

    async def _again(self, earlier: Run, request: RunRequest, deadline: Deadline) -> Run:
        """The run that a repeated request means."""
        if earlier.request.digest != request.digest:
            raise RequestIdReused(
                f"run {earlier.id} has the request_id of this request and was asked something else; "
                "repeat the same request, or choose another request_id"
            )
        live = self._live.get(earlier.id)
        if live is not None and live.is_cancelled:  # nobody can come back to that one: what is asked for comes after it
            await live.run.journal.closed()
            return await self._run_for(request, deadline)
        if live is not None or earlier.state is not RunState.RUNNING:
            return earlier
        return await self._taken_over(earlier, deadline)

    async def _taken_over(self, orphan: Run, deadline: Deadline) -> Run:
        """Go on with a run whose process has ended: its plan, and with it the keys of its calls, stay."""
        await self.admission.enter(deadline)
        live = self._live.get(orphan.id)
        if live is not None:  # another repetition was faster
            self.admission.leave()
            return live.run
        _log.info("a run whose process has ended is taken over", run_id=orphan.id, planned=orphan.plan is not None)
        run = replace(orphan, clock=self.clock, began=self.clock.monotonic(), journal=Journal(self.clock), steps={})
        self._start(run, deadline)
        return run

    def _start(self, run: Run, deadline: Deadline) -> None:
        task = asyncio.create_task(self._carry_out(run, deadline), name=f"run {run.id}")
        self._live[run.id] = _Live(run, task)

    @asynccontextmanager
    async def _attachment(self, run: Run) -> AsyncIterator[Attached]:
        live = self._live.get(run.id)
        if live is None:
            yield Attached(run, replayed=True)
            return
        live.callers += 1
        try:
            yield Attached(live.run)
        finally:
            live.callers -= 1
            if live.callers == 0 and not live.run.request.keep_running:
                live.cancel()

    async def _carry_out(self, run: Run, deadline: Deadline) -> None:
        """The whole life of a run. What its callers are told is in the run; only cancellation is raised as well."""
        structlog.contextvars.bind_contextvars(run_id=run.id)
        run.journal.write(Accepted())
        try:
            await self._within(run, deadline)
        except (asyncio.CancelledError, KeyboardInterrupt, SystemExit):
            if deadline.earlier(HOP_MARGIN_SECONDS).expired:  # its caller was cut off there, and did not leave
                run.end(RunState.FAILED, DeadlineExceeded("the deadline passed").about_run(run.id))
            else:
                run.end(RunState.CANCELLED, RunCancelled("the run was cancelled").about_run(run.id))
            raise
        except MeshError as error:
            run.end(RunState.FAILED, error.about_run(run.id))
        except BaseException as bug:  # noqa: BLE001 - the edge: its callers must not wait for ever (panics of Rust)
            run.end(RunState.FAILED, as_internal(bug).about_run(run.id))
            _log.error("unexpected error", incident=close_incident(bug), exc_info=bug)
        else:
            run.end(RunState.FINISHED)
            run.journal.write(Finished())
        finally:
            await self._closed(run)

    async def _within(self, run: Run, deadline: Deadline) -> None:
        limit = asyncio.timeout(deadline.earlier(HOP_MARGIN_SECONDS).remaining())
        try:
            async with limit:
                await self.answering.answer(run, deadline)
        except TimeoutError:
            if limit.expired():
                raise DeadlineExceeded("the deadline passed before there was an answer") from None
            raise

    async def _closed(self, run: Run) -> None:
        """After this it has ended for everybody: remembered, its place free, its readers told."""
        if run.error is not None and run.may_have_changed_things:
            run.error = run.error.after_changes()
        try:
            await self.store.put(run)
            if run.state is not RunState.FINISHED and not run.may_have_changed_things:
                await self.store.release(run)
        finally:
            del self._live[run.id]
            self.admission.leave()
            run.journal.close()
            _log_end(run)


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
