"""The attempts at agent calls: each call is attempted until an attempt succeeds, or none may follow.

Pauses hold no place among the calls in flight, and every attempt is claimed from the budget of the run.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import replace

import structlog

from agentmesh.deadline import Deadline
from agentmesh.errors import BudgetExceeded
from agentmesh.jsonvalues import digest
from orchestrator_svc.app import tracing
from orchestrator_svc.app.attempt import Attempt, Sent, attempt
from orchestrator_svc.app.ports.agent_caller import AgentCall, AgentCaller
from orchestrator_svc.app.retry import NoRetry, Retries, Retry
from orchestrator_svc.app.run import Run
from orchestrator_svc.core.events import Call
from orchestrator_svc.core.outcome import Outcome, StepOutcome, StepReason, failed
from orchestrator_svc.core.plan import Step

_log = structlog.get_logger(__name__)


class Attempts:
    """Makes the agent calls of one run.

    Args:
        run: Whose calls they are.
        deadline: When the last of them must have ended.
        caller: Sends them.
        retries: Decides what is repeated.
        timeout_seconds: Time of one attempt at a skill whose card names none.
        max_at_once: Attempts in flight.
    """

    def __init__(
        self,
        run: Run,
        deadline: Deadline,
        caller: AgentCaller,
        retries: Retries,
        *,
        timeout_seconds: float,
        max_at_once: int,
    ) -> None:
        self._run = run
        self._deadline = deadline
        self._caller = caller
        self._retries = retries
        self._timeout_seconds = timeout_seconds
        self._places = asyncio.Semaphore(max_at_once)
        self._sent: defaultdict[tuple[str, int | None], Sent] = defaultdict(Sent)

    def sent(self, step_id: str, item_index: int | None) -> Sent:
        """What has gone out for a step, or for one of its items, so far."""
        return self._sent[step_id, item_index]

    async def make(self, step: Step, call: Call) -> Outcome:
        """Make a call and return how it ended: as its last attempt did that was sent, with the number of all."""
        agent_call = _agent_call(self._run, step, call)
        outcome: Outcome | None = None
        tries = 0
        while True:
            last = await self._attempt(agent_call)
            tries += 1
            outcome = last.outcome if outcome is None else _together(outcome, last.outcome)
            pause = self._pause_after(last, agent_call, tries)
            if pause is None:
                return outcome
            await self._run.clock.sleep(pause)
            tried = agent_call.tried | ({last.failure.endpoint} if last.failure and last.failure.endpoint else set())
            agent_call = replace(agent_call, attempt=outcome.attempts + 1, tried=tried)

    async def _attempt(self, call: AgentCall) -> Attempt:
        async with self._places:
            if self._deadline.expired:
                return Attempt(_no_time())
            ledger = self._run.ledger
            try:
                ledger.claim_agent_call()
            except BudgetExceeded as error:
                return Attempt(failed(StepReason.BUDGET_EXCEEDED, error.message))
            seconds = call.skill.timeout_seconds or self._timeout_seconds
            deadline = self._deadline.at_most(seconds)
            made = await attempt(self._caller, call, deadline, self._run, self.sent(call.step_id, call.item_index))
            if not made.outcome.attempts:
                ledger.return_agent_call()
            return made

    def _pause_after(self, last: Attempt, call: AgentCall, tries: int) -> float | None:
        """Seconds until the next attempt; None if there is to be none."""
        if tries == 1 and last.outcome.attempts:
            self._retries.first_attempt(call.skill.agent)
        if last.failure is None:
            return None
        left = self._deadline.remaining()
        decision = self._retries.after(last.failure, call.skill, tries=tries, left_seconds=left)
        log = _log.bind(
            run_id=call.run_id,
            step=call.step_id,
            item=call.item_index,
            skill=call.skill.id,
            agent=call.skill.agent,
            attempt=call.attempt,
            reason=str(last.outcome.reason),
        )
        if isinstance(decision, Retry):
            tracing.retried(call.attempt, last.outcome.reason, decision.after_seconds)
            log.info("agent call is retried", pause_seconds=round(decision.after_seconds, 3))
            return decision.after_seconds
        if decision is NoRetry.RETRY_BUDGET_USED:
            log.warning("agent call is not retried, the agent has had too many retries")
        return None


def _together(earlier: Outcome, last: Outcome) -> Outcome:
    """What two attempts at one call come to: one that was not sent says nothing that an earlier one did not."""
    if earlier.attempts and not last.attempts:
        return earlier
    return replace(
        last,
        attempts=earlier.attempts + last.attempts,
        reached=earlier.reached or last.reached,
        endpoint=last.endpoint or earlier.endpoint,
    )


def _no_time() -> Outcome:
    return Outcome(
        StepOutcome.TIMED_OUT,
        StepReason.BUDGET_EXHAUSTED,
        "the time of the run was used up before the call could be sent",
        transient=True,
    )


def _agent_call(run: Run, step: Step, call: Call) -> AgentCall:
    """The first attempt. The key is the same for every attempt, and for a repetition of the request as well."""
    origin = [run.request.caller, run.request.request_id or run.id]
    return AgentCall(
        skill=step.skill,
        arguments=call.arguments,
        run_id=run.id,
        step_id=step.id,
        item_index=call.index,
        attempt=1,
        idempotency_key=digest([*origin, step.id, call.index, step.skill.id, call.arguments]),
    )
