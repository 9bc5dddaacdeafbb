"""Whether a failed attempt at an agent call is worth another one, and after which pause. Decides; sends nothing.

What may be repeated follows from the effect of the skill and from how the attempt failed. Two bounds keep an outage
from being multiplied: the attempts at one call, and for each agent a budget of retries over all runs of this process.
A call that lost its endpoint and may go to another one, which is well, costs nothing of that budget.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from agentmesh.cards import Effect
from agentmesh.deadline import HOP_MARGIN_SECONDS
from agentmesh.errors import NoEndpoint
from orchestrator_svc.app.ports.agent_caller import CallFailed
from orchestrator_svc.core.catalog import Skill


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often, and how fast, failed attempts are repeated."""

    max_attempts: int = 3
    """At one call, the first included."""
    backoff_seconds: float = 0.1
    """Longest pause before the second attempt; doubles with every further one."""
    max_backoff_seconds: float = 2.0
    """Longest of these pauses; an agent that names a longer one gets it."""
    share: float = 0.2
    """Retries that an agent may get for each first attempt."""
    burst: int = 10
    """Retries that an agent may get beyond that share, once."""

    def pause_seconds(self, tries: int, wanted_seconds: float | None, jitter: float) -> float:
        """The pause after so many attempts, drawn evenly from 0 to the backoff ("full jitter"): callers that failed
        together do not come back together.

        Args:
            tries: Attempts that were made, at least 1.
            wanted_seconds: What the agent asked for; the pause is not shorter.
            jitter: A number from 0 up to 1.
        """
        longest = min(self.max_backoff_seconds, self.backoff_seconds * 2.0 ** (tries - 1))
        return max(longest * jitter, wanted_seconds or 0.0)


class RetryBudget:
    """A bucket of tokens for each agent: a first attempt adds `share` of one, a retry takes one.

    So of n calls that all fail at most `n * (1 + share) + burst` attempts are made, however many each may have.

    Args:
        share: Tokens for a first attempt, 0 to 1.
        burst: Tokens at the start. There are never more, but always room for one, or a share would be lost.
    """

    def __init__(self, share: float, burst: int) -> None:
        self._share = share
        self._burst = float(burst)
        self._room = max(1.0, self._burst)
        self._tokens: dict[str, float] = {}

    def add_share(self, agent: str) -> None:
        """Note a first attempt."""
        self._tokens[agent] = min(self._room, self._tokens.get(agent, self._burst) + self._share)

    def take(self, agent: str) -> bool:
        """Take a token; False if there is none."""
        tokens = self._tokens.get(agent, self._burst)
        if tokens < 1.0:
            return False
        self._tokens[agent] = tokens - 1.0
        return True


class NoRetry(StrEnum):
    """Why a call is not attempted again."""

    WOULD_FAIL_AGAIN = "WOULD_FAIL_AGAIN"
    """The failure does not pass by itself."""
    MAY_HAVE_HAPPENED = "MAY_HAVE_HAPPENED"
    """A SIDE_EFFECT that may have reached its agent."""
    ATTEMPTS_USED = "ATTEMPTS_USED"
    """As many as one call may have."""
    NO_TIME = "NO_TIME"
    """The time of the run would be over after the pause."""
    RETRY_BUDGET_USED = "RETRY_BUDGET_USED"
    """The agent has had too many retries lately."""


@dataclass(frozen=True, slots=True)
class Retry:
    """Attempt it again."""

    after_seconds: float


class Retries:
    """Decides over the retries of one process.

    Args:
        policy: The bounds.
        jitter: Gives a number from 0 up to 1.
    """

    def __init__(self, policy: RetryPolicy, jitter: Callable[[], float]) -> None:
        self._policy = policy
        self._budget = RetryBudget(policy.share, policy.burst)
        self._jitter = jitter

    def first_attempt(self, agent: str) -> None:
        """Note that a call was attempted for the first time; its retries are paid from what such calls bring."""
        self._budget.add_share(agent)

    def after(self, failure: CallFailed, skill: Skill, *, tries: int, left_seconds: float) -> Retry | NoRetry:
        """Decide what follows a failed attempt. A retry that is granted is paid for, so it must be made.

        Args:
            failure: How the attempt ended.
            skill: What was called.
            tries: Attempts at this call, this one included.
            left_seconds: Time that the run has left.
        """
        if not failure.transient or isinstance(failure.error, NoEndpoint):  # that call has waited for one already
            return NoRetry.WOULD_FAIL_AGAIN
        if skill.effect is Effect.SIDE_EFFECT and failure.sent:
            return NoRetry.MAY_HAVE_HAPPENED
        if tries >= self._policy.max_attempts:
            return NoRetry.ATTEMPTS_USED
        pause = self._policy.pause_seconds(tries, failure.error.retry_after_seconds, self._jitter())
        if pause + HOP_MARGIN_SECONDS >= left_seconds:
            return NoRetry.NO_TIME
        # The calls that an endpoint takes with it are as many as it had, and go to others that have no trouble.
        is_granted = failure.elsewhere or self._budget.take(skill.agent)
        return Retry(pause) if is_granted else NoRetry.RETRY_BUDGET_USED
