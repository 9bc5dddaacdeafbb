"""SYNTHESIZE: one readable answer from the results of the steps."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from agentmesh.deadline import Deadline
from orchestrator_svc.app.ledger import Ledger
from orchestrator_svc.app.ports.planner import Question
from orchestrator_svc.core.catalog import Catalog
from orchestrator_svc.core.outcome import Outcome
from orchestrator_svc.core.plan import Plan


@dataclass(frozen=True, slots=True)
class Brief:
    """All that an answer may be written from."""

    question: Question
    plan: Plan
    outcomes: Mapping[str, Outcome]
    """How each step ended, by step id."""
    catalog: Catalog
    """What the request may use of what the mesh can do; what an answer to a plan without steps is about."""
    over_budget: bool = False
    """True for a renderer that writes because the budget of the run did not allow a model to; the answer says so."""


@dataclass(frozen=True, slots=True)
class Restart:
    """The pieces so far are void: writing begins again."""


class Synthesizer(Protocol):
    """Asks for at most one completion, claimed from the ledger before it is sent."""

    def write(self, brief: Brief, ledger: Ledger, deadline: Deadline) -> AsyncIterator[str | Restart]:
        """Write the answer, piece by piece.

        Raises:
            errors.LlmUnavailable: No model gave a whole answer in time; pieces that were given are void.
            errors.LlmRefused: The provider refused for good.
            errors.BudgetExceeded: The budget of the run does not allow what is needed; pieces that were given are void.
        """
        ...
