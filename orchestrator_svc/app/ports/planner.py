"""ROUTE: which skills answer a question, in which order, with which arguments."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from agentmesh.deadline import Deadline
from agentmesh.jsonvalues import JsonObject
from orchestrator_svc.app.ledger import Ledger
from orchestrator_svc.core.catalog import Catalog


class Role(StrEnum):
    """Who said something in a conversation."""

    USER = "USER"
    ASSISTANT = "ASSISTANT"


@dataclass(frozen=True, slots=True)
class Turn:
    """One earlier message of a conversation."""

    role: Role
    text: str


@dataclass(frozen=True, slots=True)
class Question:
    """What somebody asks, and what was said before."""

    query: str
    history: tuple[Turn, ...] = ()


class PlanSource(StrEnum):
    """Who made a plan; plan.proto says what each means."""

    LLM = "LLM"
    CACHE = "CACHE"
    OFFLINE = "OFFLINE"
    CALLER = "CALLER"


@dataclass(frozen=True, slots=True)
class Routing:
    """What a planner decided. Not checked yet: the caller validates it against the catalog."""

    plan: JsonObject
    """A plan in the plan language; `{"steps": []}` if no skill fits."""
    source: PlanSource
    planner: str
    """Model that decided, as its provider names it, or `offline`."""


class Planner(Protocol):
    """Asks for at most one completion, claimed from the ledger before it is sent."""

    @property
    def identity(self) -> str | None:
        """Changes with everything but its arguments that its plans depend on: models, prompts. None: a plan costs
        nothing, so none needs to be kept.
        """
        ...

    async def route(self, question: Question, catalog: Catalog, ledger: Ledger, deadline: Deadline) -> Routing:
        """Choose skills of the catalog, and nothing else, for the question.

        Args:
            question: What is asked.
            catalog: The skills that may be used; never empty.
            ledger: Where completions are claimed and their cost is recorded.
            deadline: When the decision must be there.

        Raises:
            errors.LlmUnavailable: No model gave a completion in time.
            errors.LlmRefused: The provider refused for good.
            errors.BudgetExceeded: The budget of the run does not allow what is needed.
            core.validate.PlanRejected: What the model chose cannot be read as a plan.
        """
        ...
