"""What a caller wants of a run."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Final

from agentmesh.jsonvalues import JsonObject, digest
from orchestrator_svc.app.ports.planner import Question
from orchestrator_svc.app.scope import ANY_SKILL, Scope
from orchestrator_svc.core.budget import NO_LIMITS, Budget

ANONYMOUS: Final = "anonymous"


class CacheMode(StrEnum):
    """How to use the plan cache; orchestrator_service.proto says what each means."""

    USE = "USE"
    BYPASS = "BYPASS"
    REFRESH = "REFRESH"


@dataclass(frozen=True)
class RunRequest:
    """A question, or a plan, and how it is to be answered."""

    question: Question
    plan: JsonObject | None = None
    """The caller's own plan, in the plan language; None: the question is routed."""
    scope: Scope = ANY_SKILL
    raw: bool = False
    """True: results and no text."""
    include_results: bool = False
    budget: Budget = NO_LIMITS
    cache_mode: CacheMode = CacheMode.USE
    keep_running: bool = False
    """True: the run goes on to its deadline when its last caller leaves."""
    conversation_id: str = ""
    caller: str = ANONYMOUS
    """Who asks; sees its own runs, and no others."""
    request_id: str = ""
    """Unique among the caller's requests; a repetition has the same. Empty: every request is its own."""
    plan_bytes: int = 0
    """Size of the plan as it came."""

    @property
    def carries_results(self) -> bool:
        """Whether the answer has the results of the steps."""
        return self.raw or self.include_results

    @property
    def size_bytes(self) -> int:
        """About what it takes to remember it."""
        return self.plan_bytes + len(self.question.query) + sum(len(turn.text) for turn in self.question.history)

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) over all that the caller said but the request_id: a repetition says the same."""
        budget, scope = self.budget, self.scope
        return digest(
            [
                self.question.query,
                [[turn.role, turn.text] for turn in self.question.history],
                self.plan,
                [*sorted(scope.allowed_skills)],
                [scope.max_effect, self.cache_mode],
                [self.raw, self.include_results, self.keep_running],
                [budget.llm_calls, budget.tokens, budget.cost_usd, budget.agent_calls],
                self.conversation_id,
            ]
        )
