"""What one run spends: completions, tokens, dollars and agent calls, claimed before they are spent.

The bounded number of completions is the product, so the bound is enforced here, where every one is claimed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, TypeVar

from agentmesh.errors import BudgetExceeded, Internal, Violation, ViolationReason


@dataclass(frozen=True, slots=True)
class AgentSpending:
    """What agents say they spent on models of their own; usage.proto (AgentUsage)."""

    llm_calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0

    def __add__(self, other: AgentSpending) -> AgentSpending:
        return AgentSpending(
            self.llm_calls + other.llm_calls,
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cost_usd + other.cost_usd,
        )


NOTHING_SPENT: Final = AgentSpending()


@dataclass(frozen=True, slots=True)
class Budget:
    """What a run may spend at most; what is None is not limited."""

    llm_calls: int | None = None
    """Completions."""
    tokens: int | None = None
    """Prompt and completion tokens together, of every request."""
    cost_usd: float | None = None
    agent_calls: int | None = None
    """Attempts and items counted."""

    def within(self, other: Budget) -> Budget:
        """The budget that keeps both."""
        return Budget(
            _least(self.llm_calls, other.llm_calls),
            _least(self.tokens, other.tokens),
            _least(self.cost_usd, other.cost_usd),
            _least(self.agent_calls, other.agent_calls),
        )


NO_LIMITS: Final = Budget()


@dataclass(slots=True)
class Ledger:
    """The account of one run. Not shared between runs, and used in one event loop only."""

    run_id: str = ""
    """The run whose account this is; sent to the provider with each completion, so that a bill can be explained."""
    budget: Budget = NO_LIMITS
    max_llm_calls: int = 2
    """Completions that the run may ask for."""
    llm_calls: int = 0
    llm_requests: int = 0
    models: list[str] = field(default_factory=list)
    """Model of each completion that was given, in order."""
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float | None = 0.0
    """None as soon as a model without a price was used."""
    agent_calls: int = 0
    agents: AgentSpending = field(default_factory=AgentSpending)

    def claim_completion(self) -> None:
        """Count a completion before it is asked for.

        Raises:
            Internal: It would be one too many: a bug, because the use cases ask for two at most.
        """
        if self.llm_calls >= self.max_llm_calls:
            raise Internal(f"this run may ask for {self.max_llm_calls} completions, and has")
        self.llm_calls += 1

    def record_request(self) -> None:
        """Count one HTTP request for a completion, before it is sent."""
        self.llm_requests += 1

    def record_tokens(self, input_tokens: int, output_tokens: int, cost_usd: float | None) -> None:
        """Add what one request used; `cost_usd` None: the model has no price."""
        self.input_tokens += input_tokens
        self.output_tokens += output_tokens
        if cost_usd is None or self.cost_usd is None:
            self.cost_usd = None
        else:
            self.cost_usd += cost_usd

    def record_completion(self, model: str) -> None:
        """Note which model gave a completion."""
        self.models.append(model)

    def claim_agent_call(self) -> None:
        """Count one Agent.Execute, before it is sent.

        Raises:
            BudgetExceeded: The budget allows no more.
        """
        if self.budget.agent_calls is not None and self.agent_calls >= self.budget.agent_calls:
            raise _exceeded("agent_calls", f"{self.budget.agent_calls} agent calls")
        self.agent_calls += 1

    def return_agent_call(self) -> None:
        """Take back one that could not be sent."""
        self.agent_calls -= 1

    def record_agent_spending(self, spending: AgentSpending) -> None:
        """Add what an agent reported."""
        self.agents += spending


_Number = TypeVar("_Number", int, float)


def _least(one: _Number | None, other: _Number | None) -> _Number | None:
    return other if one is None else one if other is None else min(one, other)


def _exceeded(field: str, allowed: str) -> BudgetExceeded:
    message = f"the budget of this run allows {allowed}, and no more"
    return BudgetExceeded(message, violations=[Violation(f"budget.{field}", ViolationReason.LIMIT, message)])
