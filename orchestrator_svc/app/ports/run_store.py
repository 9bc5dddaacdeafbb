"""Remembers runs, those in flight included, and which run a repeated request means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol, Self

from orchestrator_svc.app.ledger import Ledger
from orchestrator_svc.app.run import Run, RunState
from orchestrator_svc.core.verdict import RunOutcome

QUERY_CHARACTERS: Final = 200
"""Of a question, in a list."""


@dataclass(frozen=True, slots=True)
class RunFilter:
    """Which runs are wanted; what is None is not asked for."""

    caller: str
    state: RunState | None = None
    outcome: RunOutcome | None = None
    conversation_id: str | None = None
    started_after: datetime | None = None
    """At or after this moment."""
    started_before: datetime | None = None
    """Before this moment."""

    def takes(self, run: Run) -> bool:
        """Whether the run is wanted."""
        return (
            run.request.caller == self.caller
            and self.state in (None, run.state)
            and self.outcome in (None, _outcome_of(run))
            and self.conversation_id in (None, run.request.conversation_id)
            and (self.started_after is None or run.started_at >= self.started_after)
            and (self.started_before is None or run.started_at < self.started_before)
        )


@dataclass(frozen=True, slots=True, order=True)
class RunPosition:
    """The place of a run in a list: by its start and, of those that started together, by its id."""

    started_at: datetime
    run_id: str

    @classmethod
    def of(cls, run: Run) -> Self:
        """The place of this run."""
        return cls(run.started_at, run.id)


@dataclass(frozen=True, slots=True)
class RunSummary:
    """What a list says of a run: a store need not read plans and results for it."""

    position: RunPosition
    query: str
    """Its first 200 characters."""
    state: RunState
    outcome: RunOutcome | None
    """Set if FINISHED."""
    conversation_id: str
    ended_at: datetime | None
    ledger: Ledger

    @classmethod
    def of(cls, run: Run) -> Self:
        """The summary of this run, as it is now."""
        return cls(
            position=RunPosition.of(run),
            query=run.question.query[:QUERY_CHARACTERS],
            state=run.state,
            outcome=_outcome_of(run),
            conversation_id=run.request.conversation_id,
            ended_at=run.ended_at,
            ledger=run.ledger,
        )


class RunStore(Protocol):
    """Bounded, in runs and in their bytes: the oldest that have ended are forgotten first, those in flight never.

    A request_id is remembered with its run: while it is in flight, and for a set time after its end.
    """

    async def begin(self, run: Run) -> Run | None:
        """Remember a run that begins. If a remembered run of its caller has its request_id, nothing is changed and that
        run is returned. Atomic: of several with one request_id, one begins. A run without request_id always begins.
        """
        ...

    async def put(self, run: Run) -> None:
        """Remember the new state of a run."""
        ...

    async def release(self, run: Run) -> None:
        """Let a repetition of the run's request begin a run of its own; the run itself stays."""
        ...

    async def requested(self, caller: str, request_id: str) -> Run | None:
        """The run that a repeated request means; None if there is none, or its time is over."""
        ...

    async def get(self, run_id: str) -> Run | None:
        """The run as it is now; None if it is not remembered."""
        ...

    async def list(self, wanted: RunFilter, *, before: RunPosition | None, limit: int) -> Sequence[RunSummary]:
        """The newest runs that are wanted, newest first, at most `limit`; with `before` only such as are older.

        By start, then by id, both descending.
        """
        ...


def _outcome_of(run: Run) -> RunOutcome | None:
    """A run may have been judged and come to no answer after all."""
    return run.outcome if run.state is RunState.FINISHED else None
