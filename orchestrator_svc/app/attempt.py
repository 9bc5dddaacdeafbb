"""One attempt at an agent call: it is sent, followed and judged."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import Final

from agentmesh import errors
from agentmesh.cards import Effect
from agentmesh.deadline import Deadline
from agentmesh.errors import Code, MeshError
from agentmesh.jsonvalues import OFF_LOOP_BYTES
from orchestrator_svc.app.ports.agent_caller import AgentCall, AgentCaller, AgentReply, CallFailed
from orchestrator_svc.app.run import Run
from orchestrator_svc.app.run_events import StepProgress, StepStarted
from orchestrator_svc.core.catalog import Skill
from orchestrator_svc.core.outcome import Outcome, StepOutcome, StepReason
from orchestrator_svc.core.results import accept

_REASONS: Final[dict[type[MeshError], StepReason]] = {
    errors.Unreachable: StepReason.AGENT_UNAVAILABLE,
    errors.ShuttingDown: StepReason.AGENT_UNAVAILABLE,
    errors.NoEndpoint: StepReason.NO_ENDPOINT,
    errors.SkillChanged: StepReason.SKILL_CHANGED,
    errors.ResultInvalid: StepReason.RESULT_INVALID,
    errors.ResultTooLarge: StepReason.RESULT_TOO_LARGE,
    errors.ResultTooDeep: StepReason.RESULT_TOO_DEEP,
    errors.ResultNotJson: StepReason.RESULT_NOT_JSON,
}
"""Errors with a reason of their own; every other one is AGENT_ERROR."""
_ANYBODYS: Final = frozenset({Code.UNKNOWN, Code.INTERNAL, Code.DATA_LOSS})
"""What a bug in an agent, a stream that was reset on the way, and an answer that does not parse all end with."""


@dataclass(slots=True)
class Sent:
    """What has gone out for one step so far, attempts that have not ended included."""

    attempts: int = 0
    reached: int = 0
    """Attempts that may have reached the agent."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """How an attempt ended."""

    outcome: Outcome
    """Of the step, or the item, were this its only attempt."""
    failure: CallFailed | None = None
    """None if the agent answered OK, or if nobody was to be called."""


async def attempt(caller: AgentCaller, call: AgentCall, deadline: Deadline, run: Run, so_far: Sent) -> Attempt:
    """Send a call once; what the agent spends goes to the account of the run, what is heard of it into its journal."""
    watcher = _Watcher(call, run, so_far)
    try:
        reply = await caller.call(call, deadline, watcher)
    except CallFailed as failure:
        run.ledger.record_agent_spending(failure.spending)
        if not failure.sent:
            so_far.reached -= watcher.attempts
        return Attempt(replace(outcome_of_failure(call.skill, failure), attempts=watcher.attempts), failure)
    run.ledger.record_agent_spending(reply.spending)
    outcome = await _accepted(call.skill, reply)
    return Attempt(replace(outcome, attempts=watcher.attempts, reached=True, endpoint=reply.endpoint))


def outcome_of_failure(skill: Skill, failure: CallFailed) -> Outcome:
    """The outcome of a step, or of an item, whose attempt gave no reply."""
    error = failure.error
    timed_out = isinstance(error, errors.DeadlineExceeded)
    reason = _REASONS.get(type(error), StepReason.AGENT_ERROR)
    if timed_out:
        reason = StepReason.DEADLINE_EXCEEDED if failure.sent else StepReason.BUDGET_EXHAUSTED
    return Outcome(
        StepOutcome.TIMED_OUT if timed_out else StepOutcome.FAILED,
        reason,
        error.message,
        code=failure.code,
        agent_reason=failure.agent_reason,
        transient=failure.transient,
        reached=failure.sent,
        endpoint=failure.endpoint,
        effect_unknown=skill.effect is Effect.SIDE_EFFECT and _effect_unknown(failure),
    )


def _effect_unknown(failure: CallFailed) -> bool:
    """True if it was sent and not answered, or if the agent answered that it does not know either.

    Whether the agent answered cannot be told from a status without a reason that libraries and proxies give as well.
    """
    if isinstance(failure.error, (errors.Unreachable, errors.DeadlineExceeded, errors.RunCancelled)):
        return failure.sent
    if not failure.agent_reason and (failure.code in _ANYBODYS or isinstance(failure.error, errors.ResultTooLarge)):
        return failure.sent
    return failure.error.metadata.get("effect_unknown") == "true"


@dataclass(slots=True)
class _Watcher:
    """Implements `CallWatcher`."""

    call: AgentCall
    run: Run
    so_far: Sent
    attempts: int = 0
    """1 once it was sent."""

    @property
    def wants_progress(self) -> bool:
        return self.run.journal.is_read

    def sent(self, endpoint: str) -> None:
        self.attempts += 1
        self.so_far.attempts += 1
        self.so_far.reached += 1
        self.run.journal.write(StepStarted(self.call.step_id, self.call.item_index, self.call.attempt, endpoint))

    def progress(self, fraction: float | None, message: str) -> None:
        self.run.journal.write(StepProgress(self.call.step_id, self.call.item_index, fraction, message))


async def _accepted(skill: Skill, reply: AgentReply) -> Outcome:
    """Check a result; a large one in a thread, because a megabyte takes tens of milliseconds."""
    if reply.wire_bytes <= OFF_LOOP_BYTES:
        return accept(skill, reply.result)
    return await asyncio.to_thread(accept, skill, reply.result)
