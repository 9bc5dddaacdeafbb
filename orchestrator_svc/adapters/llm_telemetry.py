"""What telemetry tells of requests to language models: a span each, how long it took, and the tokens that it used.

By the conventions for generative AI (https://opentelemetry.io/docs/specs/semconv/gen-ai/). Tokens are on these spans
and on no other, so that the sum over a trace is right. What the provider says freely stays out of metrics, and of the
spans what was asked and answered, unless content may be captured.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Final
from urllib.parse import urlsplit

from opentelemetry import metrics, trace
from opentelemetry.trace import SpanKind
from opentelemetry.util.types import AttributeValue

from agentmesh.deadline import Deadline
from agentmesh.errors import BudgetExceeded
from agentmesh.jsonvalues import Json
from agentmesh.telemetry import names
from agentmesh.telemetry.content import captures_content
from agentmesh.telemetry.propagation import get_global_textmap
from agentmesh.telemetry.spans import TRACER, failed
from orchestrator_svc.adapters.llm_settings import LlmSettings
from orchestrator_svc.adapters.openai_replies import CONTENT_FILTER, LENGTH, Reply
from orchestrator_svc.adapters.openai_requests import Request, RequestFailed

SECONDS: Final = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
"""Bounds of the buckets, as the conventions advise them."""
TOKENS: Final = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864)

_CHAT: Final = "chat"
_OPENAI: Final = "openai"
_AZURE: Final = "azure.ai.openai"
_CANCELLED: Final = "cancelled"
_OTHER: Final = "_OTHER"
_FINISH_REASONS: Final = frozenset({"stop", "tool_calls", "function_call", LENGTH, CONTENT_FILTER})
_MAX_MODEL_CHARACTERS: Final = 128
_PORTS: Final[Mapping[str, int]] = {"http": 80, "https": 443}

_METER: Final = metrics.get_meter(names.SCOPE)
_DURATION: Final = _METER.create_histogram(
    names.GEN_AI_OPERATION_DURATION,
    unit="s",
    description="Duration of HTTP requests to language models, each attempt, a stream to its end.",
    explicit_bucket_boundaries_advisory=SECONDS,
)
_USAGE: Final = _METER.create_histogram(
    names.GEN_AI_TOKEN_USAGE,
    unit="{token}",
    description="Tokens of one request to a language model, whether its reply could be used or not.",
    explicit_bucket_boundaries_advisory=TOKENS,
)


class LlmTelemetry:
    """Of the requests to one provider."""

    def __init__(self, settings: LlmSettings) -> None:
        self._sends_context = settings.trace_context
        self._attributes = {names.GEN_AI_OPERATION: _CHAT, names.GEN_AI_PROVIDER: _provider(settings)}
        self._server = _server(settings.url)

    def chat(self, request: Request) -> Chat:
        """Have a span, a child of the current one, while the block lasts in which the request is sent and judged."""
        measured = {**self._attributes, names.GEN_AI_REQUEST_MODEL: str(request.body["model"])}
        return Chat(request, measured, self._server, sends_context=self._sends_context)


class Chat:
    """One HTTP request. Its span is never the current one: a stream is handed on while it lasts, and nothing that its
    readers do is part of it.
    """

    def __init__(
        self,
        request: Request,
        measured: Mapping[str, AttributeValue],
        server: Mapping[str, AttributeValue],
        *,
        sends_context: bool,
    ) -> None:
        """Begin it; `measured` are its attributes that metrics have as well."""
        self._request = request
        self._measured = measured
        self._span = TRACER.start_span(
            names.CHAT_SPAN.format(model=request.body["model"]),
            kind=SpanKind.CLIENT,
            attributes={**measured, **server, **_sent(request)},
        )
        self._context = trace.set_span_in_context(self._span)
        self._sends_context = sends_context
        self._captures = captures_content() and self._span.is_recording()
        self._texts: list[str] = []
        self._began = time.perf_counter()
        self._has_begun_to_come = False

    @property
    def headers(self) -> Mapping[str, str]:
        """What to send, so that the provider goes on with this trace; nothing where it is not to know."""
        carrier: dict[str, str] = {}
        if self._sends_context:
            get_global_textmap().inject(carrier, self._context)
        return carrier

    def came(self, piece: Reply) -> None:
        """Note a piece of a stream."""
        if not self._has_begun_to_come:
            self._has_begun_to_come = True
            self._span.set_attribute(names.GEN_AI_RESPONSE_TIME_TO_FIRST_CHUNK, time.perf_counter() - self._began)
        if self._captures:
            self._texts.append(piece.text)

    def replied(self, reply: Reply) -> None:
        """Note a whole reply or the end of a stream, whether it can be used or not."""
        if reply.model:
            self._span.set_attribute(names.GEN_AI_RESPONSE_MODEL, reply.model[:_MAX_MODEL_CHARACTERS])
        if reply.finish:
            reason = reply.finish if reply.finish in _FINISH_REASONS else _OTHER
            self._span.set_attribute(names.GEN_AI_RESPONSE_FINISH_REASONS, (reason,))
        if reply.tokens is not None:
            self._span.set_attribute(names.GEN_AI_USAGE_INPUT_TOKENS, reply.tokens.input)
            self._span.set_attribute(names.GEN_AI_USAGE_OUTPUT_TOKENS, reply.tokens.output)
            for kind, count in (("input", reply.tokens.input), ("output", reply.tokens.output)):
                _USAGE.record(count, {**self._measured, names.GEN_AI_TOKEN_TYPE: kind}, context=self._context)
        if self._captures:
            self._capture(reply)

    def __enter__(self) -> Chat:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End it in any case; in metrics what was cancelled is told from what was answered."""
        seconds = time.perf_counter() - self._began
        reason = _reason(error, self._request.deadline)
        if reason == _CANCELLED:  # nobody wants the reply any more, which is no error of anybody
            self._span.set_attribute(names.OUTCOME, _CANCELLED)
        elif reason:
            failed(self._span, reason)
        measured = {**self._measured, names.ERROR_TYPE: reason} if reason else self._measured
        _DURATION.record(seconds, measured, context=self._context)
        self._span.end()

    def _capture(self, reply: Reply) -> None:
        messages = self._request.body.get("messages")
        asked: list[Json] = [
            {"role": message.get("role"), "parts": [_text(str(message.get("content")))]}
            for message in (messages if isinstance(messages, list) else [])
            if isinstance(message, dict)
        ]
        calls: list[Json] = [
            {"type": "tool_call", "name": call.name, "arguments": call.arguments} for call in reply.tool_calls
        ]
        text = reply.text or "".join(self._texts)
        parts = [*([_text(text)] if text else []), *calls]
        answered: list[Json] = [{"role": "assistant", "parts": parts, "finish_reason": reply.finish}]
        self._span.set_attribute(names.GEN_AI_INPUT_MESSAGES, json.dumps(asked, ensure_ascii=False))
        self._span.set_attribute(names.GEN_AI_OUTPUT_MESSAGES, json.dumps(answered, ensure_ascii=False))


def _sent(request: Request) -> dict[str, AttributeValue]:
    """What is told of a request beside where it goes."""
    told: dict[str, AttributeValue] = {
        names.GEN_AI_PROMPT_NAME: request.prompt.name,
        names.PROMPT_VERSION: request.prompt.version,
        names.ATTEMPT: request.attempt,
    }
    if request.body.get("stream"):
        told[names.GEN_AI_REQUEST_STREAM] = True
    temperature = request.body.get("temperature")
    if isinstance(temperature, int | float):
        told[names.GEN_AI_REQUEST_TEMPERATURE] = float(temperature)
    limit = request.body.get("max_completion_tokens", request.body.get("max_tokens"))
    if isinstance(limit, int):
        told[names.GEN_AI_REQUEST_MAX_TOKENS] = limit
    return told


def _reason(error: BaseException | None, deadline: Deadline) -> str:
    """Why a request gave no completion, from a closed set; empty if it gave one."""
    match error:
        case None:
            return ""
        case RequestFailed():
            return error.failure.error_type
        case BudgetExceeded():
            return "budget"
        case asyncio.CancelledError() | GeneratorExit():
            # Whoever waits here has the same deadline, and may be faster than the request in noticing.
            return "timeout" if deadline.expired else _CANCELLED
        case _:
            return type(error).__qualname__


def _provider(settings: LlmSettings) -> str:
    """Who is asked; a compatible server is `openai`, whose API it speaks, and told apart by its address."""
    host = urlsplit(settings.url).hostname or ""
    return _AZURE if settings.azure_endpoint or host.endswith(".openai.azure.com") else _OPENAI


def _server(url: str) -> Mapping[str, AttributeValue]:
    parts = urlsplit(url)
    port = parts.port or _PORTS.get(parts.scheme)
    server: dict[str, AttributeValue] = {names.SERVER_ADDRESS: parts.hostname or ""}
    return server if port is None else {**server, names.SERVER_PORT: port}


def _text(content: str) -> Json:
    return {"type": "text", "content": content}
