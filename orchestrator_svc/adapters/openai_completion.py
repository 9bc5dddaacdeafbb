"""One completion: which request is sent for it next, what each may use and did use, and which reply is accepted."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Final

import structlog

from agentmesh.deadline import Deadline
from agentmesh.errors import BudgetExceeded
from agentmesh.jsonvalues import JsonObject
from agentmesh.telemetry.failures import told_text
from orchestrator_svc.adapters.llm_attempts import Attempts, Failure, Kind
from orchestrator_svc.adapters.llm_budget import Allowance, allow, models_within
from orchestrator_svc.adapters.llm_settings import LlmSettings
from orchestrator_svc.adapters.openai_replies import LENGTH, Reply
from orchestrator_svc.adapters.openai_requests import Request, RequestFailed
from orchestrator_svc.adapters.pricing import Price, Tokens, cost_usd, price_of
from orchestrator_svc.adapters.prompts import Prompt
from orchestrator_svc.app.ledger import Ledger, RequestClaim

_LEAST_SILENCE_SECONDS: Final = 15.0

_log = structlog.get_logger(__name__)


class Completion:
    """Claimed when it begins, whatever it takes.

    Args:
        settings: The provider and its models.
        jitter: Gives a number from 0 up to 1, to spread the pauses.
        refused: What each model does not take; what is learnt is added.
        prompt: The system message in the body.
        body: The request without a model; what a model does not take is left out of it.
        ledger: Where the completion and each request are claimed, and what they used is recorded.
        deadline: When the reply must be there.

    Raises:
        BudgetExceeded: The budget allows no completion, or none of the models.
    """

    def __init__(
        self,
        *,
        settings: LlmSettings,
        jitter: Callable[[], float],
        refused: dict[str, frozenset[str]],
        prompt: Prompt,
        body: JsonObject,
        ledger: Ledger,
        deadline: Deadline,
    ) -> None:
        self._attempts = Attempts(models_within(ledger.budget, settings), settings.max_attempts, jitter)
        ledger.claim_completion()
        self._settings = settings
        self._refused = refused
        self._prompt = prompt
        self._body = body
        self._ledger = ledger
        self._deadline = deadline
        self._id = f"{ledger.run_id}:{ledger.llm_calls}"
        self._left_out: frozenset[str] = frozenset()
        self._allowance = Allowance(RequestClaim())
        self._failure: Failure | None = None

    def next_request(self) -> Request:
        """The request that is sent next, claimed.

        Raises:
            BudgetExceeded: The budget does not leave enough for it.
            RequestFailed: The model cannot be asked within the budget.
        """
        model = self._attempts.model
        without = self._refused.get(model, frozenset()) | self._left_out
        body = {"model": model, **{key: value for key, value in self._body.items() if key not in without}}
        limit = next((name for name in self._settings.limit_parameters if name not in without), None)
        if limit is None and self._ledger.limits_requests:
            raise RequestFailed(Failure(Kind.REFUSED, "it takes no limit on its reply, which the budget needs"))
        self._allowance = self._allowed(body)
        if limit is not None and self._allowance.reply_tokens is not None:
            body[limit] = self._allowance.reply_tokens
        return Request(self._prompt, body, self._id, self._attempts.number, self._deadline, self._silence())

    def record(self, reply: Reply) -> None:
        """Add what a reply used, whether it can be used or not."""
        if reply.tokens is not None:
            cost = self._cost(reply, reply.tokens)
            self._ledger.settle(self._allowance.claim, reply.tokens.input, reply.tokens.output, cost)

    def accepted(self, reply: Reply) -> Reply:
        """The reply, which is the completion.

        Raises:
            BudgetExceeded: It cannot be used, because the budget left no room for the rest of it.
            RequestFailed: It cannot be used.
        """
        if reply.refused:
            said = reply.refusal or reply.finish
            raise RequestFailed(Failure(Kind.FINAL, "it declined to", said, error_type="declined"))
        if reply.flaw and reply.finish == LENGTH and self._allowance.limited_by:
            raise self._allowance.too_short()
        if reply.flaw:
            flaw = f"its reply cannot be used ({reply.flaw})"
            raise RequestFailed(Failure(Kind.TRANSIENT, flaw, error_type="unusable"))
        self._remember(self._left_out)
        if reply.tokens is None:
            self._ledger.record_unreported(self._cost(reply, None))
        named = reply if reply.model else replace(reply, model=self._attempts.model)
        self._ledger.record_completion(named.model)
        return named

    def pause_after(self, failure: Failure) -> float:
        """Seconds to wait before the next request.

        Raises:
            LlmUnavailable: There is none.
            LlmRefused: There is none.
        """
        model = self._attempts.model
        key = self._settings.api_key
        detail = told_text(failure.detail.replace(key, "***") if key else failure.detail)
        _log.warning("no completion", model=model, completion=self._id, reason=failure.summary, detail=detail)
        self._failure = failure
        if not failure.charged:
            self._ledger.release(self._allowance.claim)
        if failure.kind is Kind.PARAMETER:
            if failure.certain:
                self._remember(frozenset({failure.parameter}))
            self._left_out |= {failure.parameter}
        pause = self._attempts.after(failure, self._deadline.remaining())
        if self._attempts.model != model:
            self._left_out = frozenset()
        return pause

    def _allowed(self, body: JsonObject) -> Allowance:
        try:
            return allow(self._ledger, body, self._price(self._attempts.model), self._settings.reply_cap_tokens)
        except BudgetExceeded as error:
            if self._failure is None:
                self._ledger.return_completion()
                raise
            # What failed may have used all that it claimed; then it is the cause.
            message = f"{error.message}; the request before it failed: {self._failure.summary}"
            raise BudgetExceeded(message, violations=error.violations) from error

    def _silence(self) -> float:
        if self._settings.silence_seconds is not None:
            return self._settings.silence_seconds
        return math.inf if self._attempts.last else max(_LEAST_SILENCE_SECONDS, self._deadline.remaining() / 2)

    def _cost(self, reply: Reply, tokens: Tokens | None) -> float | None:
        return cost_usd(tokens, self._price(reply.model) or self._price(self._attempts.model))

    def _price(self, model: str) -> Price | None:
        return price_of(model, self._settings.prices)

    def _remember(self, parameters: frozenset[str]) -> None:
        """Leave these out of every later request to the model."""
        if parameters:
            model = self._attempts.model
            self._refused[model] = self._refused.get(model, frozenset()) | parameters
