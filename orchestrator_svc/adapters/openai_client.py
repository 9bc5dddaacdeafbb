"""Gets one completion, over as many HTTP requests as that takes within its bounds, and keeps the account of it.

The `openai` client only sends. Whether, when and with which model a request is repeated is decided in `llm_attempts`:
so the bound on requests holds, each is in the ledger before it is sent, and nothing outlives the deadline.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import replace

from agentmesh.deadline import Deadline
from agentmesh.errors import LlmUnavailable
from agentmesh.jsonvalues import JsonObject
from orchestrator_svc.adapters.llm_settings import LlmSettings
from orchestrator_svc.adapters.llm_telemetry import LlmTelemetry
from orchestrator_svc.adapters.openai_completion import Completion
from orchestrator_svc.adapters.openai_replies import LENGTH, Reply
from orchestrator_svc.adapters.openai_requests import OpenAiRequests, RequestFailed
from orchestrator_svc.adapters.prompts import CUT_NOTE, Prompt
from orchestrator_svc.app.ledger import Ledger
from orchestrator_svc.app.ports.synthesizer import Restart


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
        self._telemetry = LlmTelemetry(settings)
        self._refused: dict[str, frozenset[str]] = {}

    @property
    def asked(self) -> tuple[str, ...]:
        """Whom it asks: the provider's address, then the models."""
        settings = self._settings
        return (settings.azure_endpoint or settings.base_url or "", settings.azure_deployment or "", *settings.models)

    async def close(self) -> None:
        """Close the connections."""
        await self._requests.close()

    async def complete(self, prompt: Prompt, body: JsonObject, ledger: Ledger, deadline: Deadline) -> Reply:
        """Return one whole reply.

        Args:
            prompt: The system message in the body.
            body: The request without a model; what a model does not take is left out of it.
            ledger: Where the completion is claimed, and each request and its tokens are recorded.
            deadline: When the reply must be there.

        Raises:
            LlmUnavailable: No model gave a usable reply in time.
            LlmRefused: The provider, or the model, refused for good.
            BudgetExceeded: The budget of the run does not allow the next request.
        """
        completion = self._begin(prompt, body, ledger, deadline)
        while True:
            try:
                request = completion.next_request()
                with self._telemetry.chat(request) as chat:
                    reply = await self._requests.whole(request, chat.headers)
                    chat.replied(reply)
                    completion.record(reply)
                    return completion.accepted(reply)
            except RequestFailed as failed:
                failure = failed.failure
            await self._pause(completion.pause_after(failure))

    async def stream(
        self, prompt: Prompt, body: JsonObject, ledger: Ledger, deadline: Deadline
    ) -> AsyncGenerator[str | Restart, None]:
        """Yield the text of one reply as it comes; a `Restart` voids the pieces before it.

        Arguments and errors are those of `complete`. An answer that the model could not finish says so at its end.
        """
        completion = self._begin(prompt, {**body, "stream": True}, ledger, deadline)
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

    async def _texts(self, completion: Completion) -> AsyncGenerator[str, None]:
        end, empty = Reply(), True
        request = completion.next_request()
        with self._telemetry.chat(request) as chat:
            async with aclosing(self._requests.pieces(request, chat.headers)) as pieces:
                async for piece in pieces:
                    chat.came(piece)
                    end = end.followed_by(piece)
                    if piece.text:
                        empty = empty and piece.text.isspace()
                        yield piece.text
            chat.replied(end)
            completion.record(end)
            completion.accepted(replace(end, flaw="empty") if empty else end)
        if end.finish == LENGTH:
            yield CUT_NOTE

    def _begin(self, prompt: Prompt, body: JsonObject, ledger: Ledger, deadline: Deadline) -> Completion:
        if deadline.expired:
            raise LlmUnavailable("no time was left to ask a language model")
        return Completion(
            settings=self._settings,
            jitter=self._jitter,
            refused=self._refused,
            prompt=prompt,
            body=body,
            ledger=ledger,
            deadline=deadline,
        )
