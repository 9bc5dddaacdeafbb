"""What one run spends: completions, tokens, dollars and agent calls, claimed before they are spent.

The bounded number of completions is the product, so the bound is enforced here, where every one is claimed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from agentmesh.errors import Internal
from orchestrator_svc.core.budget import NO_LIMITS, Budget, budget_exceeded

MOST_CALLS: Final = 2**32 - 1
MOST_TOKENS: Final = 2**64 - 1
MOST_USD: Final = 1e12
"""What the contract has room for; a dollar amount that still is a number after any addition."""


@dataclass(frozen=True, slots=True)
class AgentSpending:
    """What agents say they spent on models of their own; usage.proto (AgentUsage).

    Nobody checks it, so sums stop where the contract does, and what is no amount of money is nothing.
    """

    llm_calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0

    def __add__(self, other: AgentSpending) -> AgentSpending:
        return AgentSpending(
            min(self.llm_calls + other.llm_calls, MOST_CALLS),
            min(self.input_tokens + other.input_tokens, MOST_TOKENS),
            min(self.output_tokens + other.output_tokens, MOST_TOKENS),
            min(_amount(self.cost_usd) + _amount(other.cost_usd), MOST_USD),
        )


def _amount(cost_usd: float) -> float:
    return cost_usd if cost_usd > 0 else 0.0  # NaN is not


NOTHING_SPENT: Final = AgentSpending()


@dataclass(frozen=True, slots=True)
class RequestClaim:
    """What is set aside for one HTTP request until its reply says what it used."""

    tokens: int = 0
    cost_usd: float = 0.0


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
    _taken: RequestClaim = field(default=RequestClaim(), init=False)
    """What was used, and what requests have claimed that did not say what they used."""

    def claim_completion(self) -> None:
        """Count a completion before it is asked for.

        Raises:
            BudgetExceeded: The budget allows no more.
            Internal: It would be one too many: a bug, because the use cases ask for two at most.
        """
        if self.llm_calls >= self.max_llm_calls:
            raise Internal(f"this run may ask for {self.max_llm_calls} completions, and has")
        if self.budget.llm_calls is not None and self.llm_calls >= self.budget.llm_calls:
            raise budget_exceeded({"llm_calls": _allows(self.budget.llm_calls, "completion")})
        self.llm_calls += 1

    def return_completion(self) -> None:
        """Take back one that nothing was sent for."""
        self.llm_calls -= 1

    @property
    def limits_requests(self) -> bool:
        """Whether the budget limits what requests may use."""
        return self.budget.tokens is not None or self.budget.cost_usd is not None

    @property
    def tokens_left(self) -> int | None:
        """Tokens that requests may still claim; None: not limited."""
        return None if self.budget.tokens is None else max(0, self.budget.tokens - self._taken.tokens)

    @property
    def cost_left_usd(self) -> float | None:
        """The same in US dollars."""
        return None if self.budget.cost_usd is None else max(0.0, self.budget.cost_usd - self._taken.cost_usd)

    def claim_request(self, tokens: int, cost_usd: float) -> RequestClaim:
        """Count one HTTP request for a completion, and set aside the most that it may use, before it is sent.

        The claim is kept until `settle` or `release`: for good if the reply never says what it used.

        Raises:
            BudgetExceeded: The budget does not leave so much. Nothing is counted.
        """
        problems: dict[str, str] = {}
        if self.tokens_left is not None and tokens > self.tokens_left:
            problems["tokens"] = (
                f"the budget of this run leaves {self.tokens_left} of {self.budget.tokens} tokens, and the next "
                f"request to a model may take {tokens}"
            )
        if self.cost_left_usd is not None and cost_usd > self.cost_left_usd:
            problems["cost_usd"] = (
                f"the budget of this run leaves {self.cost_left_usd:.6f} of {self.budget.cost_usd:.6f} USD, and the "
                f"next request to a model may cost {cost_usd:.6f}"
            )
        if problems:
            raise budget_exceeded(problems)
        self.llm_requests += 1
        self._take(tokens, cost_usd)
        return RequestClaim(tokens, cost_usd)

    def settle(self, claim: RequestClaim, input_tokens: int, output_tokens: int, cost_usd: float | None) -> None:
        """Replace a claim by what the reply says was used; `cost_usd` None: the model has no price."""
        self.input_tokens += input_tokens
        self.output_tokens += output_tokens
        self._add_cost(cost_usd)
        spent_usd = claim.cost_usd if cost_usd is None else cost_usd
        self._take(input_tokens + output_tokens - claim.tokens, spent_usd - claim.cost_usd)

    def release(self, claim: RequestClaim) -> None:
        """Give a claim back: nothing was used."""
        self._take(-claim.tokens, -claim.cost_usd)

    def record_unreported(self, cost_usd: float | None) -> None:
        """Note that a completion did not say what it used; `cost_usd` None: it was not free, so its cost is unknown."""
        self._add_cost(cost_usd)

    def record_completion(self, model: str) -> None:
        """Note which model gave a completion."""
        self.models.append(model)

    def claim_agent_call(self) -> None:
        """Count one Agent.Execute, before it is sent.

        Raises:
            BudgetExceeded: The budget allows no more.
        """
        if self.budget.agent_calls is not None and self.agent_calls >= self.budget.agent_calls:
            raise budget_exceeded({"agent_calls": _allows(self.budget.agent_calls, "agent call")})
        self.agent_calls += 1

    def return_agent_call(self) -> None:
        """Take back one that could not be sent."""
        self.agent_calls -= 1

    def record_agent_spending(self, spending: AgentSpending) -> None:
        """Add what an agent reported."""
        self.agents += spending

    def _take(self, tokens: int, cost_usd: float) -> None:
        self._taken = RequestClaim(self._taken.tokens + tokens, self._taken.cost_usd + cost_usd)

    def _add_cost(self, cost_usd: float | None) -> None:
        self.cost_usd = None if cost_usd is None or self.cost_usd is None else self.cost_usd + cost_usd


def _allows(number: int, thing: str) -> str:
    return f"the budget of this run allows {number} {thing}{'' if number == 1 else 's'}"
