"""Sends one request to a Chat Completions server and reads its reply, whole or as a stream. Repeats nothing.

Requests and replies are plain JSON through the transport of the `openai` client: what a "compatible" server sends is
read by us, not trusted to have the shape of the client's classes.

Imports `openai`, which takes 0.4 s: import this only where a model is configured.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass
from typing import Final

from openai import APIError, AsyncAzureOpenAI, AsyncOpenAI, AsyncStream, DefaultAsyncHttpxClient, RequestOptions

from agentmesh.deadline import Deadline
from agentmesh.jsonvalues import JsonObject
from orchestrator_svc.adapters.llm_attempts import Failure, Kind
from orchestrator_svc.adapters.llm_settings import LlmSettings
from orchestrator_svc.adapters.openai_failures import failure_of
from orchestrator_svc.adapters.openai_replies import Reply, read_piece, read_reply
from orchestrator_svc.adapters.prompts import Prompt

COMPLETION_HEADER: Final = "X-AgentMesh-Completion"
"""`<run id>:<n>`: which completion of which run a request is for. All requests for one completion carry the same."""

_PATH: Final = "/chat/completions"
_NO_KEY: Final = "none"
_AFTER_THE_END_SECONDS: Final = 1.0
"""How long to wait, when the answer is whole, for the usage that servers send after it."""
_MAX_WAIT_SECONDS: Final = 3600.0
"""Stands for "no limit": some event loops take no infinite time."""
_CUT: Final = Failure(Kind.TRANSIENT, "its stream ended in the middle", error_type="stream")


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request."""

    prompt: Prompt
    """The system message in the body."""
    body: JsonObject
    completion: str
    """Value of the header `COMPLETION_HEADER`."""
    attempt: int
    """Which request for the completion it is, from 1."""
    deadline: Deadline
    silence_seconds: float
    """How long the server may send nothing."""


class RequestFailed(Exception):
    """The request gave no reply that can be read."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.summary)
        self.failure = failure


class OpenAiRequests:
    """Keeps the connections to one provider.

    Args:
        settings: The provider.
        now: Seconds since 1970, for a Retry-After that is a date.
    """

    def __init__(self, settings: LlmSettings, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._client = _connect(settings)

    async def close(self) -> None:
        await self._client.close()

    async def whole(self, request: Request, headers: Mapping[str, str]) -> Reply:
        """Send a request, with these headers beside the usual ones, and return its reply.

        Raises:
            RequestFailed: With what that means for the next request.
        """
        try:
            async with asyncio.timeout(_wait(request)):
                data = await self._client.post(
                    _PATH,
                    cast_to=object,
                    body=request.body,
                    options=_options(request, headers),
                )
        except (APIError, TimeoutError, ValueError) as error:
            raise self._failed(error, request) from error
        return read_reply(data)

    async def pieces(self, request: Request, headers: Mapping[str, str]) -> AsyncGenerator[Reply, None]:
        """Send a request with `stream`, and these headers, and yield its reply, piece by piece, up to the end that the
        model gave it.

        Raises:
            RequestFailed: Also when the stream ends before the model did.
        """
        stream: AsyncStream[object] | None = None
        finished = False
        try:
            async with asyncio.timeout(_wait(request)):
                stream = await self._client.post(
                    _PATH,
                    cast_to=object,
                    body=request.body,
                    options=_options(request, headers),
                    stream=True,
                    stream_cls=AsyncStream[object],
                )
            while True:
                wait = _wait(request)
                async with asyncio.timeout(min(wait, _AFTER_THE_END_SECONDS) if finished else wait):
                    data = await anext(stream)
                piece = read_piece(data)
                finished = finished or bool(piece.finish)
                yield piece
        except StopAsyncIteration:
            if not finished:
                raise RequestFailed(_CUT) from None
        except (APIError, TimeoutError, ValueError) as error:
            # What breaks behind the end of the answer takes nothing from it.
            if not finished:
                raise self._failed(error, request) from error
        finally:
            if stream is not None:
                await stream.close()

    def _failed(self, error: Exception, request: Request) -> RequestFailed:
        return RequestFailed(failure_of(error, request.body, self._now()))


def _wait(request: Request) -> float:
    return min(request.deadline.remaining(), _MAX_WAIT_SECONDS)


def _options(request: Request, headers: Mapping[str, str]) -> RequestOptions:
    """A redirect would be a request that nobody counted, and would take the key elsewhere."""
    return {
        "headers": {**headers, COMPLETION_HEADER: request.completion},
        "timeout": min(request.silence_seconds, _wait(request)),
        "follow_redirects": False,
    }


def _connect(settings: LlmSettings) -> AsyncOpenAI:
    key = settings.api_key or _NO_KEY
    if settings.azure_endpoint is not None:
        client: AsyncOpenAI = AsyncAzureOpenAI(
            azure_endpoint=settings.azure_endpoint,
            azure_deployment=settings.azure_deployment,
            api_version=settings.azure_api_version,
            api_key=key,
            max_retries=0,
            http_client=_http_client(settings.azure_endpoint),
        )
    else:
        url = settings.url
        client = AsyncOpenAI(base_url=url, api_key=key, max_retries=0, http_client=_http_client(url))
    # The constructor reads these from the environment; settings come from the configuration alone.
    client.organization = client.project = None
    return client


def _http_client(url: str) -> DefaultAsyncHttpxClient | None:
    """The client's own, or for a server without TLS one that has not read every root certificate (25 ms and more)."""
    if not url.startswith("http://"):
        return None
    return DefaultAsyncHttpxClient(verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
