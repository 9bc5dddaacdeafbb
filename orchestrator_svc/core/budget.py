"""What a run may spend, and the error for what it may not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

from agentmesh.errors import BudgetExceeded, Violation, ViolationReason


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


def budget_exceeded(problems: Mapping[str, str], *, message: str = "") -> BudgetExceeded:
    """The error for limits that were met.

    Args:
        problems: What is wrong, by the name of the limit: a field of `Budget`.
        message: The problems one after the other by default.
    """
    violations = [Violation(f"budget.{name}", ViolationReason.LIMIT, text) for name, text in problems.items()]
    return BudgetExceeded(message or "; ".join(problems.values()), violations=violations)


_Number = TypeVar("_Number", int, float)


def _least(one: _Number | None, other: _Number | None) -> _Number | None:
    return other if one is None else one if other is None else min(one, other)
