"""Gets one completion, over as many HTTP requests as that takes within its bounds, and keeps the account of it.

The `openai` client only sends. Whether, when and with which model a request is repeated is decided in `llm_attempts`:
so the bound on requests holds, each is in the ledger before it is sent, and nothing outlives the deadline.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import replace
from typing import Final

import structlog

from agentmesh.deadline import Deadline
from agentmesh.errors import LlmUnavailable
from agentmesh.jsonvalues import JsonObject
from orchestrator_svc.adapters.llm_attempts import Attempts, Failure, Kind
from orchestrator_svc.adapters.llm_settings import LlmSettings
from orchestrator_svc.adapters.openai_replies import LENGTH, Reply
from orchestrator_svc.adapters.openai_requests import OpenAiRequests, Request, RequestFailed
from orchestrator_svc.adapters.pricing import Tokens, cost_usd, price_of
from orchestrator_svc.adapters.prompts import CUT_NOTE
from orchestrator_svc.app.ledger import Ledger
from orchestrator_svc.app.ports.synthesizer import Restart

_LEAST_SILENCE_SECONDS: Final = 15.0

_log = structlog.get_logger(__name__)


class OpenAiClient:
    """The planner and the synthesizer share one: it keeps connections, and what each model does not take.

    Args:
        settings: The provider and its models.
        sleep: Waits between requests.
        jitter: Gives a number from 0 up to 1, to spread the pauses.
        now: Seconds since 1970, for a Retry-After that is a date.
    """

    def __init__(
        self,
        settings: LlmSettings,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._sleep = sleep
        self._jitter = jitter
        self._requests = OpenAiRequests(settings, now)
        self._refused: dict[str, frozenset[str]] = {}

    async def close(self) -> None:
        """Close the connections."""
        await self._requests.close()

    async def complete(self, body: JsonObject, ledger: Ledger, deadline: Deadline) -> Reply:
        """Return one whole reply.

        Args:
            body: The request without a model; what a model does not take is left out of it.
            ledger: Where the completion is claimed, and each request and its tokens are recorded.
            deadline: When the reply must be there.

        Raises:
            LlmUnavailable: No model gave a usable reply in time.
            LlmRefused: The provider, or the model, refused for good.
        """
        completion = self._begin(body, ledger, deadline)
        while True:
            try:
                reply = await self._requests.whole(completion.next_request())
                completion.record(reply)
                return completion.accepted(reply)
            except RequestFailed as failed:
                failure = failed.failure
            await self._pause(completion.pause_after(failure))

    async def stream(self, body: JsonObject, ledger: Ledger, deadline: Deadline) -> AsyncGenerator[str | Restart, None]:
        """Yield the text of one reply as it comes; a `Restart` voids the pieces before it.

        Arguments and errors are those of `complete`. An answer that the model could not finish says so at its end.
        """
        completion = self._begin({**body, "stream": True}, ledger, deadline)
        while True:
            given = False
            try:
                async with aclosing(self._texts(completion)) as texts:
                    async for text in texts:
                        given = True
                        yield text
            except RequestFailed as failed:
                failure = failed.failure
            else:
                return
            pause = completion.pause_after(failure)
            if given:
                yield Restart()
            await self._pause(pause)

    async def _pause(self, seconds: float) -> None:
        if seconds > 0:
            await self._sleep(seconds)

    async def _texts(self, completion: _Completion) -> AsyncGenerator[str, None]:
        end, empty = Reply(), True
        async with aclosing(self._requests.pieces(completion.next_request())) as pieces:
            async for piece in pieces:
                end = end.followed_by(piece)
                if piece.text:
                    empty = empty and piece.text.isspace()
                    yield piece.text
        completion.record(end)
        completion.accepted(replace(end, flaw="empty") if empty else end)
        if end.finish == LENGTH:
            yield CUT_NOTE

    def _begin(self, body: JsonObject, ledger: Ledger, deadline: Deadline) -> _Completion:
        if deadline.expired:
            raise LlmUnavailable("no time was left to ask a language model")
        return _Completion(
            settings=self._settings,
            attempts=Attempts(self._settings.models, self._settings.max_attempts, self._jitter),
            refused=self._refused,
            body=body,
            ledger=ledger,
            deadline=deadline,
        )


class _Completion:
    """One completion: claimed when it begins, whatever it takes."""

    def __init__(
        self,
        *,
        settings: LlmSettings,
        attempts: Attempts,
        refused: dict[str, frozenset[str]],
        body: JsonObject,
        ledger: Ledger,
        deadline: Deadline,
    ) -> None:
        ledger.claim_completion()
        self._settings = settings
        self._refused = refused
        self._attempts = attempts
        self._body = body
        self._ledger = ledger
        self._deadline = deadline
        self._id = f"{ledger.run_id}:{ledger.llm_calls}"
        self._left_out: frozenset[str] = frozenset()

    def next_request(self) -> Request:
        """The request that is sent next."""
        self._ledger.record_request()
        model = self._attempts.model
        without = self._refused.get(model, frozenset()) | self._left_out
        body = {"model": model, **{key: value for key, value in self._body.items() if key not in without}}
        return Request(body, self._id, self._deadline, self._silence())

    def record(self, reply: Reply) -> None:
        """Add what a reply cost, whether it can be used or not."""
        if reply.tokens is not None:
            cost = self._cost(reply, reply.tokens)
            self._ledger.record_tokens(reply.tokens.input, reply.tokens.output, cost)

    def accepted(self, reply: Reply) -> Reply:
        """The reply, which is the completion.

        Raises:
            RequestFailed: It cannot be used.
        """
        if reply.refused:
            raise RequestFailed(Failure(Kind.FINAL, "it declined to", reply.refusal or reply.finish))
        if reply.flaw:
            raise RequestFailed(Failure(Kind.TRANSIENT, f"its reply cannot be used ({reply.flaw})"))
        self._remember(self._left_out)
        if reply.tokens is None:
            # Something was used; unless it is free, what it cost is not known.
            self._ledger.record_tokens(0, 0, self._cost(reply, None))
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
        detail = failure.detail.replace(key, "***") if key else failure.detail
        _log.warning("no completion", model=model, completion=self._id, reason=failure.summary, detail=detail)
        if failure.kind is Kind.PARAMETER:
            if failure.certain:
                self._remember(frozenset({failure.parameter}))
            self._left_out |= {failure.parameter}
        pause = self._attempts.after(failure, self._deadline.remaining())
        if self._attempts.model != model:
            self._left_out = frozenset()
        return pause

    def _silence(self) -> float:
        if self._settings.silence_seconds is not None:
            return self._settings.silence_seconds
        return math.inf if self._attempts.last else max(_LEAST_SILENCE_SECONDS, self._deadline.remaining() / 2)

    def _cost(self, reply: Reply, tokens: Tokens | None) -> float | None:
        prices = self._settings.prices
        return cost_usd(tokens, price_of(reply.model, prices) or price_of(self._attempts.model, prices))

    def _remember(self, parameters: frozenset[str]) -> None:
        """Leave these out of every later request to the model."""
        if parameters:
            model = self._attempts.model
            self._refused[model] = self._refused.get(model, frozenset()) | parameters
