"""A planner that gives the plan it was told to give."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from agentmesh.deadline import Deadline
from agentmesh.jsonvalues import JsonObject
from orchestrator_svc.app.ledger import Ledger
from orchestrator_svc.app.ports.planner import PlanSource, Question, Routing
from orchestrator_svc.core.catalog import Catalog


@dataclass
class FixedPlanner:
    """Implements `Planner`; claims a completion as a model would."""

    steps: Sequence[JsonObject]
    identity: str | None = None
    questions: list[Question] = field(default_factory=list)
    offered: list[Catalog] = field(default_factory=list)

    async def route(self, question: Question, catalog: Catalog, ledger: Ledger, deadline: Deadline) -> Routing:
        ledger.claim_completion()
        self.questions.append(question)
        self.offered.append(catalog)
        return Routing({"steps": list(self.steps)}, PlanSource.LLM, "fixed-model")


@dataclass
class HungPlanner:
    """Implements `Planner` and never answers."""

    identity: str | None = None

    async def route(self, question: Question, catalog: Catalog, ledger: Ledger, deadline: Deadline) -> Routing:
        await asyncio.Event().wait()
        raise AssertionError("unreachable")
