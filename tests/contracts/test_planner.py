"""What every `Planner` promises: the fake, the one that asks a language model, and the one that asks none."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import cast

import pytest

from agentmesh.cards import Effect
from agentmesh.deadline import Deadline
from agentmesh.jsonvalues import JsonObject
from orchestrator_svc.adapters.llm_settings import LlmSettings
from orchestrator_svc.adapters.offline_planner import OfflinePlanner
from orchestrator_svc.adapters.openai_client import OpenAiClient
from orchestrator_svc.adapters.openai_planner import OpenAiPlanner
from orchestrator_svc.app.ledger import Ledger
from orchestrator_svc.app.ports.planner import Planner, PlanSource, Question, Role, Routing, Turn
from orchestrator_svc.core.catalog import Catalog, Skill
from orchestrator_svc.core.validate import validate
from tests.fakes.llm_replies import Reply, calls, says
from tests.fakes.planner import FixedPlanner
from tests.fakes.scripted_llm import LlmRequest, ScriptedLlm

PATIENCE_SECONDS = 30.0
"""Only a test that fails takes so long."""


def skill(agent: str, name: str, description: str, *examples: str, **properties: str) -> Skill:
    schema: JsonObject = {
        "type": "object",
        "properties": {key: {"type": "string", "description": text} for key, text in properties.items()},
        "required": list(properties),
        "additionalProperties": False,
    }
    return Skill(agent, name, description, Effect.READ_ONLY, input_schema=schema, examples=examples)


FORECAST = skill(
    "weather_agent",
    "get_forecast",
    "Forecast the weather of a city.",
    "What will the weather be like in 'Oslo'?",
    "Does it rain in 'Rome' tomorrow?",
    city="Name of the city, quoted.",
)
ORDER = skill(
    "order_agent",
    "get_order",
    "Show the status of an order.",
    "Where is my order?",
    "What is the status of order 'A-7'?",
    order_id="Number of the order, quoted.",
)
CATALOG = Catalog.of([FORECAST, ORDER])
WEATHER = Question("What will the weather be like in 'Lisbon'?")
ORDERED = Question("What is the status of order 'A-1042'?")
UNFIT = Question("Sing me a lullaby")
EXPECTED = {
    WEATHER: (FORECAST.id, {"city": "Lisbon"}),
    ORDERED: (ORDER.id, {"order_id": "A-1042"}),
}
"""What each question is to become, whoever plans; nothing for any other."""


@dataclass(frozen=True)
class Subject:
    """A planner, and what it says of itself."""

    planner_for: Callable[[Question], Planner]
    source: PlanSource
    planner: str
    completions: int

    async def route(
        self, question: Question, catalog: Catalog = CATALOG, ledger: Ledger | None = None
    ) -> tuple[Routing, Ledger]:
        account = ledger or Ledger(run_id="a-run")
        planner = self.planner_for(question)
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await planner.route(question, catalog, account, Deadline.after(PATIENCE_SECONDS)), account


@asynccontextmanager
async def fake() -> AsyncIterator[Subject]:
    def planner_for(question: Question) -> Planner:
        if question not in EXPECTED:
            return FixedPlanner([])
        chosen, arguments = EXPECTED[question]
        return FixedPlanner([{"id": "only", "skill": chosen, "arguments": dict(arguments)}])

    yield Subject(planner_for, PlanSource.LLM, "fixed-model", completions=1)


@asynccontextmanager
async def over_http() -> AsyncIterator[Subject]:
    async with ScriptedLlm(script=_answer, max_completions=None) as llm:
        client = OpenAiClient(LlmSettings(models=("a-model",), base_url=llm.base_url))
        yield Subject(lambda _: OpenAiPlanner(client), PlanSource.LLM, "a-model", completions=1)
        await client.close()


def _answer(request: LlmRequest) -> Reply:
    """As a model would: calls the tool that fits, if it is offered."""
    asked = request.messages[-1]["content"]
    tools = json.dumps(request.body["tools"])
    for question, (chosen, arguments) in EXPECTED.items():
        if asked == question.query and chosen in tools:
            return calls((chosen, dict(arguments)))
    return says("")


@asynccontextmanager
async def offline() -> AsyncIterator[Subject]:
    planner = OfflinePlanner()
    yield Subject(lambda _: planner, PlanSource.OFFLINE, "offline", completions=0)


PLANNERS: dict[str, Callable[[], AbstractAsyncContextManager[Subject]]] = {
    "fake": fake,
    "openai": over_http,
    "offline": offline,
}


@pytest.fixture(params=PLANNERS)
async def subject(request: pytest.FixtureRequest) -> AsyncIterator[Subject]:
    async with PLANNERS[request.param]() as made:
        yield made


def steps(routing: Routing) -> list[JsonObject]:
    return cast("list[JsonObject]", routing.plan["steps"])


@pytest.mark.parametrize("question", EXPECTED, ids=["weather", "order"])
async def test_a_question_becomes_a_sound_plan_with_the_skill_that_fits(subject: Subject, question: Question) -> None:
    routing, _ = await subject.route(question)
    (step,) = validate(routing.plan, CATALOG).steps
    assert (step.skill.id, step.source["arguments"]) == EXPECTED[question]


async def test_it_says_who_planned(subject: Subject) -> None:
    routing, ledger = await subject.route(WEATHER)
    assert (routing.source, routing.planner) == (subject.source, subject.planner)
    assert ledger.llm_calls == subject.completions <= 1


async def test_a_question_that_no_skill_fits_is_a_plan_without_steps(subject: Subject) -> None:
    routing, ledger = await subject.route(UNFIT)
    assert routing.plan == {"steps": []}
    assert ledger.llm_calls <= 1


@pytest.mark.parametrize("subject", ["openai", "offline"], indirect=True)
async def test_only_skills_of_the_catalog_are_used(subject: Subject) -> None:
    """The fake gives what it was told to give."""
    routing, _ = await subject.route(WEATHER, Catalog.of([ORDER]))
    assert FORECAST.id not in {step["skill"] for step in steps(routing)}


async def test_what_was_said_before_is_taken(subject: Subject) -> None:
    history = (Turn(Role.USER, "Hello!"), Turn(Role.ASSISTANT, "Hello. Ask me about weather or orders."))
    plain, _ = await subject.route(WEATHER)
    planner = subject.planner_for(WEATHER)
    routing = await planner.route(
        Question(WEATHER.query, history), CATALOG, Ledger(run_id="another"), Deadline.after(PATIENCE_SECONDS)
    )
    assert routing == plain


async def test_questions_at_the_same_time_do_not_mix(subject: Subject) -> None:
    questions = [WEATHER, ORDERED] * 10
    routed = await asyncio.gather(
        *(subject.route(question, ledger=Ledger(run_id=f"run{number}")) for number, question in enumerate(questions))
    )
    for question, (routing, ledger) in zip(questions, routed, strict=True):
        assert [step["skill"] for step in steps(routing)] == [EXPECTED[question][0]]
        assert ledger.llm_calls == subject.completions


async def test_the_same_question_gives_the_same_plan(subject: Subject) -> None:
    routed = [(await subject.route(ORDERED, ledger=Ledger(run_id=f"run{number}")))[0] for number in range(3)]
    assert routed == [routed[0]] * 3


@pytest.mark.parametrize(
    "query",
    ["?", " ", "\u2028\x00\x7f", "${scan.x} $${ \"'", "order " * 5000, "ordre météo 天気 ☂", "and then and then, if"],
    ids=["mark", "blank", "controls", "expression", "long", "foreign", "connectives"],
)
async def test_whatever_is_asked_the_plan_is_sound(subject: Subject, query: str) -> None:
    routing, _ = await subject.route(Question(query))
    validate(routing.plan, CATALOG)
