"""What the scripted model server can answer, right and wrong."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from agentmesh.jsonvalues import Json, JsonObject
from tests.fakes.http_server import Exchange

Usage = tuple[int, int]
"""Prompt and completion tokens."""

_DEFAULT_USAGE: Usage = (100, 20)
_JSON = {"content-type": "application/json"}
_EVENTS = {"content-type": "text/event-stream"}


class Reply(Protocol):
    """One answer to one request."""

    @property
    def usable(self) -> bool:
        """True if a client has no reason to ask again."""
        ...

    async def send(self, exchange: Exchange, body: JsonObject) -> None: ...


@dataclass(frozen=True, slots=True)
class Completion:
    """A completion as providers give it, whole or streamed, as the request wants it."""

    text: str = ""
    calls: tuple[tuple[str, str], ...] = ()
    """Name and argument text of each tool call."""
    refusal: str = ""
    finish: str = "stop"
    usage: Usage | None = _DEFAULT_USAGE
    model: str | None = None
    """None: the model that was asked for."""
    usable: bool = True

    async def send(self, exchange: Exchange, body: JsonObject) -> None:
        if body.get("stream"):
            await exchange.begin(200, _EVENTS)
            for event in self._events(body):
                await exchange.send(_event(event))
            await exchange.send(b"data: [DONE]\n\n")
            await exchange.end()
        else:
            await exchange.answer(200, json.dumps(self._whole(body)).encode(), _JSON)

    def _whole(self, body: JsonObject) -> JsonObject:
        message: JsonObject = {"role": "assistant", "content": self.text or None, **self._extras()}
        choice: JsonObject = {"index": 0, "message": message, "finish_reason": self.finish}
        return {**self._head(body), "object": "chat.completion", "choices": [choice], **self._usage()}

    def _events(self, body: JsonObject) -> list[JsonObject]:
        head: JsonObject = {**self._head(body), "object": "chat.completion.chunk"}
        words = [word for word in self.text.replace(" ", " \0").split("\0") if word]
        deltas: list[JsonObject] = [{"role": "assistant", "content": "", **self._extras()}]
        deltas += [{"content": word} for word in words]
        events = [head | {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
        events.append(head | {"choices": [{"index": 0, "delta": {}, "finish_reason": self.finish}]})
        if body.get("stream_options") and self.usage:
            events.append({**head, "choices": [], **self._usage()})
        return events

    def _extras(self) -> JsonObject:
        extras: JsonObject = {}
        if self.refusal:
            extras["refusal"] = self.refusal
        if self.calls:
            extras["tool_calls"] = [
                {
                    "index": place,
                    "id": f"call_{place}",
                    "type": "function",
                    "function": {"name": name, "arguments": text},
                }
                for place, (name, text) in enumerate(self.calls)
            ]
        return extras

    def _head(self, body: JsonObject) -> JsonObject:
        return {"id": "chatcmpl-scripted", "created": 0, "model": self.model or body.get("model")}

    def _usage(self) -> JsonObject:
        if self.usage is None:
            return {}
        prompt, completion = self.usage
        return {
            "usage": {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
        }


def calls(*given: tuple[str, Json], usage: Usage | None = _DEFAULT_USAGE, model: str | None = None) -> Completion:
    """Tool calls; arguments that are text are sent as they are, right or wrong."""
    written = tuple((name, text if isinstance(text, str) else json.dumps(text)) for name, text in given)
    return Completion(calls=written, finish="tool_calls", usage=usage, model=model)


def says(text: str, usage: Usage | None = _DEFAULT_USAGE, model: str | None = None) -> Completion:
    """Words."""
    return Completion(text=text, usage=usage, model=model)


@dataclass(frozen=True, slots=True)
class Fails:
    """An HTTP error in the form of the API."""

    status: int
    message: str = "the scripted server fails"
    code: str | None = None
    param: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    usable: bool = False

    async def send(self, exchange: Exchange, body: JsonObject) -> None:
        error = {"message": self.message, "type": "scripted_error", "code": self.code, "param": self.param}
        await exchange.answer(self.status, json.dumps({"error": error}).encode(), {**_JSON, **self.headers})


@dataclass(frozen=True, slots=True)
class Sends:
    """Any body."""

    body: bytes
    content_type: str = "application/json"
    status: int = 200
    usable: bool = False

    async def send(self, exchange: Exchange, body: JsonObject) -> None:
        await exchange.answer(self.status, self.body, {"content-type": self.content_type})


@dataclass(frozen=True, slots=True)
class Streams:
    """A stream of these texts whose end is wrong: the model did not say that it has ended."""

    texts: tuple[str, ...]
    then: Literal["cut", "end", "hang"] = "cut"
    """The connection breaks, or the stream ends as if all were well, or nothing comes any more."""
    error: str = ""
    """An error event behind the texts."""
    finish: str | None = None
    """Said by the model before the stream breaks."""
    usable: bool = False

    async def send(self, exchange: Exchange, body: JsonObject) -> None:
        await exchange.begin(200, _EVENTS)
        for text in self.texts:
            choice: JsonObject = {"index": 0, "delta": {"content": text}, "finish_reason": None}
            await exchange.send(_event({"model": body.get("model"), "choices": [choice]}))
        if self.finish is not None:
            await exchange.send(_event({"choices": [{"index": 0, "delta": {}, "finish_reason": self.finish}]}))
        if self.error:
            await exchange.send(_event({"error": {"message": self.error, "type": "server_error"}}))
        if self.then == "end":
            await exchange.end()
        elif self.then == "hang":
            await exchange.gone()
        else:
            exchange.cut()


@dataclass(frozen=True, slots=True)
class Hangs:
    """No answer until the server is told to release it, or the client leaves; then the connection is dropped."""

    usable: bool = False

    async def send(self, exchange: Exchange, body: JsonObject) -> None:
        exchange.cut()


def _event(data: JsonObject) -> bytes:
    return b"data: " + json.dumps(data).encode() + b"\n\n"
