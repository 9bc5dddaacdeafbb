"""What the tests of the model adapters share: settings, a sleep that does not, a catalog and questions about it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import count
from typing import cast

from agentmesh.cards import Effect
from agentmesh.deadline import Deadline
from agentmesh.jsonvalues import Json
from orchestrator_svc.adapters.llm_settings import LlmSettings
from orchestrator_svc.adapters.openai_client import OpenAiClient
from orchestrator_svc.adapters.openai_planner import OpenAiPlanner
from orchestrator_svc.adapters.openai_synthesizer import OpenAiSynthesizer
from orchestrator_svc.adapters.pricing import Price
from orchestrator_svc.app.ledger import Ledger
from orchestrator_svc.app.ports.planner import Question, Routing
from orchestrator_svc.app.ports.synthesizer import Brief, Restart
from orchestrator_svc.core.budget import NO_LIMITS, Budget
from orchestrator_svc.core.catalog import Catalog, Skill
from orchestrator_svc.core.outcome import Outcome, StepOutcome
from orchestrator_svc.core.plan import Plan
from orchestrator_svc.core.validate import validate

KEY = "sk-made-up-0123456789"
NOON = 1_700_000_000.0
"""What the adapters take for the present time, in seconds since 1970: 14 November 2023, 22:13:20."""

CATALOG = Catalog.of([
    Skill(
        "watch",
        "scan",
        "Finds anomalies.",
        Effect.READ_ONLY,
        input_schema={"type": "object", "properties": {"entity": {"type": "string"}}, "additionalProperties": False},
    ),
    Skill("store", "put", "Keeps a note.", Effect.IDEMPOTENT),
])  # fmt: skip

_runs = count(1)


@dataclass
class Pauses:
    """Implements `sleep`: notes for how long, and is back at once."""

    seconds: list[float] = field(default_factory=list)

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


@dataclass
class Asking:
    """A planner and a synthesizer over one client; each question has a run and a ledger of its own."""

    planner: OpenAiPlanner
    synthesizer: OpenAiSynthesizer
    pauses: Pauses = field(default_factory=Pauses)
    ledgers: list[Ledger] = field(default_factory=list)
    budget: Budget = NO_LIMITS
    """Of each run."""

    @property
    def ledger(self) -> Ledger:
        """The last one."""
        return self.ledgers[-1]

    async def route(self, question: Question | str = "Anything odd?", seconds: float = 30.0) -> Routing:
        asked = Question(question) if isinstance(question, str) else question
        return await self.planner.route(asked, CATALOG, self._new_ledger(), Deadline.after(seconds))

    async def write(self, brief: Brief | None = None, seconds: float = 30.0) -> list[str | Restart]:
        return [piece async for piece in self.writing(brief, seconds)]

    async def go_on_to_write(self, brief: Brief | None = None) -> list[str | Restart]:
        """Write in the run that was routed or written for last."""
        return [piece async for piece in self.synthesizer.write(brief or a_brief(), self.ledger, Deadline.after(30.0))]

    def writing(self, brief: Brief | None = None, seconds: float = 30.0) -> AsyncGenerator[str | Restart, None]:
        writing = self.synthesizer.write(brief or a_brief(), self._new_ledger(), Deadline.after(seconds))
        return cast("AsyncGenerator[str | Restart, None]", writing)

    def _new_ledger(self) -> Ledger:
        self.ledgers.append(Ledger(run_id=f"run{next(_runs)}", budget=self.budget))
        return self.ledger


@asynccontextmanager
async def asking(
    base_url: str | None = None, *, budget: Budget = NO_LIMITS, **changes: object
) -> AsyncIterator[Asking]:
    """Adapters that ask the server there, for runs with the budget; `changes` are fields of the settings."""
    settings = replace(LlmSettings(models=("model-a",), base_url=base_url, api_key=KEY), **changes)  # type: ignore[arg-type]  # fields by name
    pauses = Pauses()
    client = OpenAiClient(settings, sleep=pauses, jitter=lambda: 0.0, now=lambda: NOON)
    try:
        yield Asking(OpenAiPlanner(client), OpenAiSynthesizer(client, settings), pauses, budget=budget)
    finally:
        await client.close()


def prices(**by_model: tuple[float, float]) -> Mapping[str, Price]:
    """Input and output price; `_` in a name stands for `-`."""
    return {name.replace("_", "-"): Price(*price) for name, price in by_model.items()}


def a_brief(**outcomes: Outcome) -> Brief:
    """A plan whose steps all scan, and how they ended; one that found nothing if none is given."""
    given = outcomes or {"scan": Outcome(StepOutcome.SUCCEEDED, result={"anomalies": []})}
    return Brief(Question("Anything odd?"), _scans(*given), given, CATALOG)


@cache
def _scans(*names: str) -> Plan:
    steps: list[Json] = [{"id": name, "skill": "watch__scan", "arguments": {"entity": name}} for name in names]
    return validate({"steps": steps}, CATALOG)
