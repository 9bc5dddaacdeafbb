"""The ways to an answer, each measured from the question handed over to the answer in hand."""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import count
from typing import Final, Protocol

from agentmesh.client import Answer, AsyncMeshClient, RunOutcome
from benchmarks.loop.loops import Loop
from benchmarks.loop.model import ScriptedModel, facts_in
from benchmarks.loop.questions import Facts, Question, facts_of
from orchestrator_svc.adapters.pricing import Price, Tokens, cost_usd

ASK_TIMEOUT_SECONDS: Final = 60.0

_runs: Final = count(1)


class Mismatch(RuntimeError):
    """What an arm says of itself is not what the model saw, or an answer is not what it should be."""


@dataclass(frozen=True, slots=True)
class Observation:
    """One question through one arm."""

    seconds: float
    llm_calls: int
    agent_calls: int
    input_tokens: int
    output_tokens: int
    cost_usd: float
    facts: Facts


class Arm(Protocol):
    """One way to an answer."""

    @property
    def name(self) -> str: ...

    async def ask(self, question: Question) -> Observation:
        """Answer a question.

        Raises:
            Mismatch: Its own account differs from that of the model.
        """
        ...


class LoopArm:
    """An agentic loop."""

    def __init__(self, name: str, loop: Loop, model: ScriptedModel, price: Price) -> None:
        self.name: Final = name
        self._loop = loop
        self._model = model
        self._price = price

    async def ask(self, question: Question) -> Observation:
        began = time.perf_counter()
        run = await self._loop.run(f"loop{next(_runs)}", question.text)
        seconds = time.perf_counter() - began
        cost = cost_usd(Tokens(run.input_tokens, run.output_tokens), self._price)
        assert cost is not None
        seen = Observation(
            seconds, run.llm_calls, run.agent_calls, run.input_tokens, run.output_tokens, cost, facts_in(run.answer)
        )
        check(self._model, run.id, seen)
        return seen


class MeshArm:
    """`Orchestrator.Ask`; what it costs is what the response says."""

    def __init__(self, name: str, mesh: AsyncMeshClient, model: ScriptedModel, *, raw: bool) -> None:
        self.name: Final = name
        self._mesh = mesh
        self._model = model
        self._raw = raw

    async def ask(self, question: Question) -> Observation:
        began = time.perf_counter()
        answer = await self._mesh.ask(question.text, raw=self._raw, timeout_seconds=ASK_TIMEOUT_SECONDS)
        seconds = time.perf_counter() - began
        usage = answer.usage
        if answer.outcome is not RunOutcome.COMPLETE or usage.cost_usd is None:
            raise Mismatch(f"{question.text!r}: the mesh answered {answer.outcome}, at a cost of {usage.cost_usd}")
        seen = Observation(
            seconds=seconds,
            llm_calls=usage.llm_calls,
            agent_calls=usage.agent_calls,
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            cost_usd=usage.cost_usd,
            facts=_facts_of_results(answer) if self._raw else facts_in(answer.text),
        )
        check(self._model, answer.run_id, seen)
        return seen


def check(model: ScriptedModel, run_id: str, seen: Observation) -> None:
    """Compare what an arm says of a run with what the model saw of it.

    Raises:
        Mismatch: They differ, or the model could not follow.
    """
    if model.broken:
        raise Mismatch(model.broken[0])
    account = model.accounts.pop(run_id, None)
    if account is None:
        raise Mismatch(f"the model knows nothing of run {run_id}")
    told = (seen.llm_calls, seen.input_tokens, seen.output_tokens)
    counted = (len(account.completions), account.input_tokens, account.output_tokens)
    if told != counted:
        raise Mismatch(f"run {run_id} says calls, tokens in, tokens out {told}; the model counted {counted}")


def _facts_of_results(answer: Answer) -> Facts:
    return facts_of({step.skill: step.result for step in answer.steps if step.result is not None})
