"""What every `Synthesizer` promises: the fake, the one that asks a language model, and the renderer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import cast

import pytest

from agentmesh.cards import Effect
from agentmesh.deadline import Deadline
from agentmesh.errors import Code
from agentmesh.jsonvalues import Json, JsonObject
from orchestrator_svc.adapters.llm_settings import LlmSettings
from orchestrator_svc.adapters.offline_synthesizer import OfflineSynthesizer
from orchestrator_svc.adapters.openai_client import OpenAiClient
from orchestrator_svc.adapters.openai_synthesizer import OpenAiSynthesizer
from orchestrator_svc.app.ledger import Ledger
from orchestrator_svc.app.ports.planner import Question
from orchestrator_svc.app.ports.synthesizer import Brief, Restart, Synthesizer
from orchestrator_svc.core.catalog import Catalog, Skill
from orchestrator_svc.core.outcome import Outcome, StepOutcome, StepReason, gather, skipped
from orchestrator_svc.core.plan import Plan
from orchestrator_svc.core.validate import validate
from tests.fakes.llm_replies import Reply, says
from tests.fakes.scripted_llm import LlmRequest, ScriptedLlm
from tests.fakes.synthesizer import FixedSynthesizer

PATIENCE_SECONDS = 30.0
"""Only a test that fails takes so long."""

CATALOG = Catalog.of([Skill("watch_agent", "scan", "Finds anomalies.", Effect.READ_ONLY)])


def succeeded(result: JsonObject) -> Outcome:
    return Outcome(StepOutcome.SUCCEEDED, result=result, result_bytes=100, attempts=1, endpoint="host:1")


def failed(message: str) -> Outcome:
    return Outcome(StepOutcome.FAILED, StepReason.AGENT_ERROR, message, code=Code.NOT_FOUND, attempts=1)


def brief(**outcomes: Outcome) -> Brief:
    """Of a plan with a step for each outcome."""
    written: list[Json] = [{"id": name, "skill": "watch_agent__scan"} for name in outcomes]
    return Brief(Question("Anything odd?"), validate({"steps": written}, CATALOG), outcomes, CATALOG)


BRIEFS = {
    "one result": brief(a=succeeded({"anomalies": [{"component": "checkout", "score": 7.5}], "note": "of now"})),
    "an empty result": brief(a=succeeded({})),
    "several results": brief(a=succeeded({"x": 1}), b=succeeded({"x": [2, 3]}), c=succeeded({"x": None})),
    "a failure beside a result": brief(a=succeeded({"x": 1}), b=failed("there is no checkout")),
    "a condition that was false": brief(a=succeeded({"anomalies": []}), b=skipped(StepReason.CONDITION_FALSE)),
    "skipped for a failure": brief(a=failed("no"), b=skipped(StepReason.UPSTREAM_FAILED, ["a"])),
    "a timeout": brief(a=succeeded({}), b=Outcome(StepOutcome.TIMED_OUT, StepReason.DEADLINE_EXCEEDED, "too late")),
    "an effect that nobody knows": brief(
        a=succeeded({}), b=Outcome(StepOutcome.FAILED, StepReason.AGENT_UNAVAILABLE, "gone", effect_unknown=True)
    ),
    "items": brief(a=gather([succeeded({"x": 1}), failed("no"), succeeded({"x": 3})], optional=True)),
    "no items": brief(a=gather([], optional=False)),
    "text like markup": brief(a=succeeded({"</steps>": "<b>|\n# x\n```\u2028", "deep": [[[[{"a": [[]]}]]]]})),
    "a large result": brief(a=succeeded({"rows": [{"name": f"row {n}", "value": n / 7} for n in range(5000)]})),
    "no step": Brief(Question("Sing!"), Plan(()), {}, CATALOG),
}


@dataclass(frozen=True)
class Subject:
    """A synthesizer, and how many completions it asks for."""

    synthesizer: Synthesizer
    completions: int

    def write(self, given: Brief, ledger: Ledger | None = None) -> AsyncGenerator[str | Restart, None]:
        pieces = self.synthesizer.write(given, ledger or Ledger(run_id="a-run"), Deadline.after(PATIENCE_SECONDS))
        return cast("AsyncGenerator[str | Restart, None]", pieces)

    async def text(self, given: Brief, ledger: Ledger | None = None) -> str:
        """The answer, as whoever reads the pieces must put it together."""
        text = ""
        async with asyncio.timeout(PATIENCE_SECONDS):
            async for piece in self.write(given, ledger):
                text = "" if isinstance(piece, Restart) else text + piece
        return text


@asynccontextmanager
async def fake() -> AsyncIterator[Subject]:
    yield Subject(FixedSynthesizer(["void", Restart(), "an ", "answer"]), completions=1)


@asynccontextmanager
async def over_http() -> AsyncIterator[Subject]:
    def answer(request: LlmRequest) -> Reply:
        return says(f"I was told {len(str(request.messages[-1]['content']))} characters.")

    async with ScriptedLlm(script=answer, max_completions=None) as llm:
        settings = LlmSettings(models=("a-model",), base_url=llm.base_url)
        client = OpenAiClient(settings)
        yield Subject(OpenAiSynthesizer(client, settings), completions=1)
        await client.close()


@asynccontextmanager
async def rendered() -> AsyncIterator[Subject]:
    yield Subject(OfflineSynthesizer(), completions=0)


SYNTHESIZERS: dict[str, Callable[[], AbstractAsyncContextManager[Subject]]] = {
    "fake": fake,
    "openai": over_http,
    "renderer": rendered,
}


@pytest.fixture(params=SYNTHESIZERS)
async def subject(request: pytest.FixtureRequest) -> AsyncIterator[Subject]:
    async with SYNTHESIZERS[request.param]() as made:
        yield made


@pytest.mark.parametrize("given", BRIEFS.values(), ids=BRIEFS.keys())
async def test_however_the_steps_ended_there_is_an_answer(subject: Subject, given: Brief) -> None:
    ledger = Ledger(run_id="a-run")
    assert (await subject.text(given, ledger)).strip()
    assert ledger.llm_calls == subject.completions <= 1


async def test_the_answer_comes_in_pieces_of_text(subject: Subject) -> None:
    pieces = [piece async for piece in subject.write(BRIEFS["several results"])]
    assert pieces
    assert all(isinstance(piece, str | Restart) for piece in pieces)
    assert not isinstance(pieces[-1], Restart)


async def test_a_reader_may_leave_in_the_middle(subject: Subject) -> None:
    async with aclosing(subject.write(BRIEFS["several results"])) as pieces:
        await anext(pieces)
    assert await subject.text(BRIEFS["several results"], Ledger(run_id="another-run"))


async def test_answers_at_the_same_time_do_not_mix(subject: Subject) -> None:
    names = ["one result", "an empty result", "no items"]
    alone = [await subject.text(BRIEFS[name], Ledger(run_id=f"{name} alone")) for name in names]
    ledgers = [Ledger(run_id=name) for name in names]
    together = await asyncio.gather(
        *(subject.text(BRIEFS[name], ledger) for name, ledger in zip(names, ledgers, strict=True))
    )
    assert list(together) == alone
    assert [ledger.llm_calls for ledger in ledgers] == [subject.completions] * len(names)


async def test_the_brief_is_left_as_it_is(subject: Subject) -> None:
    given = brief(a=succeeded({"b": [1, {"c": 2}], "a": "x"}))
    await subject.text(given)
    assert given == brief(a=succeeded({"b": [1, {"c": 2}], "a": "x"}))
    result = given.outcomes["a"].result
    assert result is not None
    assert list(result) == ["b", "a"]
