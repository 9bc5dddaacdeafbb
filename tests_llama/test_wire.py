"""Planner and synthesizer against a real server with a real model: what they send is understood, and so is the reply.

The model is far too small to choose tools or to write well. So routing has examples in its history, which the model
continues, and of an answer only that there is one is asserted.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from agentmesh.deadline import Deadline
from agentmesh.jsonvalues import Json, JsonObject
from orchestrator_svc.adapters.llm_budget import most_prompt_tokens
from orchestrator_svc.adapters.llm_settings import LlmSettings
from orchestrator_svc.adapters.openai_client import OpenAiClient
from orchestrator_svc.adapters.openai_messages import conversation
from orchestrator_svc.adapters.prompts import ROUTE
from orchestrator_svc.app.ledger import Ledger
from orchestrator_svc.app.ports.planner import Question, Role, Turn
from orchestrator_svc.app.ports.synthesizer import Restart
from orchestrator_svc.core.budget import Budget
from orchestrator_svc.core.tools import Toolbox
from orchestrator_svc.core.validate import validate
from tests.adapters.llm import CATALOG, Asking, asking, prices

SECONDS = 170.0
"""A thousand tokens of prompt take this model many seconds on a busy machine."""

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
async def model(llama: str) -> AsyncIterator[Asking]:
    async with asking(
        llama, models=("smollm2",), silence_seconds=SECONDS, max_attempts=1, prices=prices(smollm2=(1, 1))
    ) as adapters:
        yield adapters


def example(entity: str) -> tuple[Turn, Turn]:
    """A call as the model's chat template has it."""
    call = f'<tool_call>\n{{"name": "watch__scan", "arguments": {{"entity": "{entity}"}}}}\n</tool_call>'
    return Turn(Role.USER, f"Scan {entity}."), Turn(Role.ASSISTANT, call)


async def test_a_tool_call_of_a_real_server_becomes_a_plan(model: Asking) -> None:
    history = (*example("host"), *example("disk"), *example("memory"))
    routing = await model.route(Question("Scan checkout.", history), seconds=SECONDS)
    (step,) = validate(routing.plan, CATALOG).steps
    assert (step.skill.id, step.source["arguments"]) == ("watch__scan", {"entity": "checkout"})
    assert routing.planner == "smollm2"
    assert_accounted(model)


async def test_a_real_server_writes_an_answer_piece_by_piece(model: Asking) -> None:
    pieces = await model.write(seconds=SECONDS)
    assert Restart() not in pieces
    assert len(pieces) > 1
    assert_accounted(model)


async def test_a_question_that_nobody_waits_for_does_not_keep_the_server_busy(model: Asking) -> None:
    writing = model.writing(seconds=SECONDS)
    await anext(writing)
    left = asyncio.ensure_future(anext(writing))
    left.cancel()
    await asyncio.wait([left])
    assert await model.write(seconds=SECONDS)


@pytest.mark.parametrize(
    "data",
    ["What is up? " * 20, "0123456789" * 20, "漢字かな交じり文" * 20, "🧭🪐🦑" * 20, "x{\"]:,'&%" * 20],
    ids=["words", "digits", "Han", "emoji", "punctuation"],
)
async def test_no_request_uses_more_than_a_budget_claims_for_it(llama: str, data: str) -> None:
    settings = LlmSettings(models=("smollm2",), base_url=llama, silence_seconds=SECONDS, reply_cap_tokens=16)
    functions: list[Json] = [
        {"type": "function", "function": {"name": tool.name, "parameters": tool.parameters}}
        for tool in Toolbox().tools(CATALOG)
    ]
    body: JsonObject = {
        "messages": conversation(ROUTE.text, (), data), "tools": functions, "stream_options": {"include_usage": True},
    }  # fmt: skip
    ledger = Ledger(run_id="budgeted", budget=Budget(tokens=20_000))
    client = OpenAiClient(settings)
    try:
        assert [piece async for piece in client.stream(ROUTE, body, ledger, Deadline.after(SECONDS))]
    finally:
        await client.close()
    assert 100 < ledger.input_tokens <= most_prompt_tokens(body)
    assert 1 <= ledger.output_tokens <= 16


def assert_accounted(model: Asking) -> None:
    """The server reported its tokens, also for a stream, and they have a price."""
    ledger = model.ledger
    assert (ledger.llm_calls, ledger.llm_requests, ledger.models) == (1, 1, ["smollm2"])
    assert ledger.input_tokens > 100
    assert ledger.output_tokens > 1
    assert ledger.cost_usd == pytest.approx((ledger.input_tokens + ledger.output_tokens) / 1e6)
