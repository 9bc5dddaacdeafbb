"""The life of runs: each is a task of its own, to which callers attach, and ends exactly once, however it ends.

A run belongs to the callers that are attached to it: the request that began it, repetitions of it, watchers. When the
last one leaves it is cancelled, down to the agents, unless its request says `keep_running`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, field, replace

import structlog

from agentmesh.deadline import Deadline
from agentmesh.errors import RequestIdReused, RunNotFound
from orchestrator_svc.app.admission import Admission
from orchestrator_svc.app.answer import Answering
from orchestrator_svc.app.journal import Journal
from orchestrator_svc.app.live_run import Attached, LiveRun, carry_out
from orchestrator_svc.app.ports.clock import Clock
from orchestrator_svc.app.ports.run_store import RunFilter, RunPosition, RunStore, RunSummary
from orchestrator_svc.app.request import RunRequest
from orchestrator_svc.app.run import Run, RunState
from orchestrator_svc.app.run_trace import RunTrace
from orchestrator_svc.core.budget import Budget
from orchestrator_svc.core.catalog import Catalog

_log = structlog.get_logger(__name__)


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
    _live: dict[str, LiveRun] = field(default_factory=dict)

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
        async with self._attachment(run, Attached(run, replayed=True)) as attached:
            yield attached

    @asynccontextmanager
    async def watching(self, run_id: str, caller: str) -> AsyncIterator[Attached]:
        """Attach to a run that was begun before.

        Raises:
            RunNotFound: No such run of this caller is remembered here.
        """
        run = await self.get(run_id, caller)
        async with self._attachment(run, Attached(run)) as attached:
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
        run = replace(
            orphan,
            clock=self.clock,
            began=self.clock.monotonic(),
            journal=Journal(self.clock),
            steps={},
            trace=RunTrace(),
        )
        self._start(run, deadline)
        return run

    def _start(self, run: Run, deadline: Deadline) -> None:
        task = asyncio.create_task(self._carried_out(run, deadline), name=f"run {run.id}")
        self._live[run.id] = LiveRun(run, task)

    def _attachment(self, run: Run, if_ended: Attached) -> AbstractAsyncContextManager[Attached]:
        live = self._live.get(run.id)
        return nullcontext(if_ended) if live is None else live.attachment()

    async def _carried_out(self, run: Run, deadline: Deadline) -> None:
        try:
            await carry_out(self.answering, run, deadline)
        finally:
            await self._closed(run)

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
