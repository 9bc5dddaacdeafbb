"""SYNTHESIZE: the results become an answer. At most one completion; if it fails for good, the renderer writes."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import Final

import structlog

from agentmesh.deadline import Deadline
from agentmesh.errors import BudgetExceeded, LlmRefused, LlmUnavailable
from agentmesh.telemetry.failures import told
from orchestrator_svc.app.ports.synthesizer import Brief, Restart, Synthesizer
from orchestrator_svc.app.run import AnswerSource, Run
from orchestrator_svc.app.run_events import AnswerReset, AnswerToken
from orchestrator_svc.app.tracing import writing
from orchestrator_svc.core.catalog import Catalog
from orchestrator_svc.core.plan import Plan
from orchestrator_svc.core.verdict import RunOutcome

_log = structlog.get_logger(__name__)

RENDER_SECONDS: Final = 0.25
"""Kept back from the model, so that the renderer can still answer in time."""


@dataclass(frozen=True, slots=True)
class WriteLimits:
    """The time that is kept back from the steps, so that there is an answer when they took all of theirs."""

    reserve_seconds: float = 8.0
    reserve_share: float = 0.3


class Writer:
    """Writes answers.

    Args:
        model: The synthesizer that asks a language model; None offline.
        renderer: The one that does not, and cannot fail.
        limits: The time kept back for the model.
    """

    def __init__(self, model: Synthesizer | None, renderer: Synthesizer, limits: WriteLimits) -> None:
        self._model = model
        self._renderer = renderer
        self._limits = limits

    def reserve(self, deadline: Deadline, *, raw: bool) -> float:
        """Seconds of the deadline to keep back for the answer: none for RAW and offline."""
        if raw or self._model is None:
            return 0.0
        return min(self._limits.reserve_seconds, deadline.remaining() * self._limits.reserve_share)

    async def write(self, run: Run, plan: Plan, catalog: Catalog, deadline: Deadline) -> None:
        """Note the answer in the run. A plan without steps needs no model: the answer says what the mesh can do."""
        if run.request.raw:
            run.answer_source = AnswerSource.NONE
            return
        brief = Brief(run.question, plan, run.outcomes, catalog)
        with run.timed("synthesize"), writing(run):
            try:
                answer = await self._by_model(brief, run, deadline) if plan.steps else None
            except BudgetExceeded as error:
                _log.info("the renderer answers: the budget allows no model", run_id=run.id, **told(error))
                answer, brief, run.outcome = None, replace(brief, over_budget=True), RunOutcome.PARTIAL
            run.answer_source = AnswerSource.RENDERED if answer is None else AnswerSource.LLM
            run.answer = await self._written(self._renderer, brief, run, deadline) if answer is None else answer

    async def _by_model(self, brief: Brief, run: Run, deadline: Deadline) -> str | None:
        """The model's answer; None without a model, or when it failed for good or wrote nothing: the agents' work is
        not thrown away.

        Raises:
            BudgetExceeded: The budget does not allow the completion.
        """
        if self._model is None:
            return None
        in_time = deadline.earlier(RENDER_SECONDS)
        try:
            async with asyncio.timeout(in_time.remaining()):
                return await self._written(self._model, brief, run, in_time) or None
        except (LlmUnavailable, LlmRefused, TimeoutError) as error:
            _log.warning("synthesis failed, the renderer answers", run_id=run.id, **told(error))
            return None

    async def _written(self, synthesizer: Synthesizer, brief: Brief, run: Run, deadline: Deadline) -> str:
        pieces: list[str] = []
        whole = False
        try:
            async for piece in synthesizer.write(brief, run.ledger, deadline):
                if isinstance(piece, Restart):
                    pieces.clear()
                    run.journal.write(AnswerReset())
                else:
                    pieces.append(piece)
                    run.journal.write(AnswerToken(piece))
            whole = True
        finally:
            if pieces and not whole:
                run.journal.write(AnswerReset())
        return "".join(pieces)
