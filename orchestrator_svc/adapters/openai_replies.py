"""Reads what a Chat Completions server sends, whatever it sends: the JSON is not trusted to have any shape."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Final

from orchestrator_svc.adapters.pricing import Tokens
from orchestrator_svc.core.tool_calls import ToolCall

CONTENT_FILTER: Final = "content_filter"
LENGTH: Final = "length"


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole reply, or one piece of a streamed one. What it does not have is empty."""

    model: str = ""
    text: str = ""
    refusal: str = ""
    """The model's words for refusing."""
    tool_calls: tuple[ToolCall, ...] = ()
    finish: str = ""
    """Why the model stopped: `stop`, `tool_calls`, `length`, `content_filter` or another word of the provider."""
    tokens: Tokens | None = None
    flaw: str = ""
    """What makes it unreadable."""

    @property
    def refused(self) -> bool:
        """True if the model, or the provider's filter, will not answer this."""
        return self.finish == CONTENT_FILTER or (bool(self.refusal) and not self.tool_calls)

    def followed_by(self, piece: Reply) -> Reply:
        """What is known after one more piece of a stream. Texts are passed on piece by piece, and not collected."""
        return Reply(
            model=piece.model or self.model,
            refusal=self.refusal + piece.refusal,
            finish=piece.finish or self.finish,
            tokens=piece.tokens or self.tokens,
        )


def read_reply(data: object) -> Reply:
    """Read the answer to a request without streaming. One that was cut may lack calls, so it is flawed."""
    reply = _read(data, "message")
    return replace(reply, flaw="cut at the model's length limit") if reply.finish == LENGTH else reply


def read_piece(data: object) -> Reply:
    """Read one event of a stream; it may lack a choice (the one with the usage does) or a text."""
    return replace(_read(data, "delta"), flaw="")


def _read(data: object, part: str) -> Reply:
    if not isinstance(data, dict):
        return Reply(flaw="no JSON object")
    model = _text(data.get("model"))
    tokens = _tokens(data.get("usage"))
    choices = data.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(choice, dict):
        return Reply(model=model, tokens=tokens, flaw="no choice")
    message = choice.get(part)
    if not isinstance(message, dict):
        return Reply(model=model, tokens=tokens, finish=_text(choice.get("finish_reason")), flaw="no message")
    calls = message.get("tool_calls") if part == "message" else None
    read = [_tool_call(call) for call in calls] if isinstance(calls, list) else []
    return Reply(
        model=model,
        text=_text(message.get("content")),
        refusal=_text(message.get("refusal")),
        tool_calls=tuple(call for call in read if call is not None),
        finish=_text(choice.get("finish_reason")),
        tokens=tokens,
        flaw="a tool call without a name" if None in read else "",
    )


def _tool_call(data: object) -> ToolCall | None:
    function = data.get("function") if isinstance(data, dict) else None
    name = _text(function.get("name")) if isinstance(function, dict) else ""
    if not isinstance(function, dict) or not name:
        return None
    arguments = function.get("arguments")
    # Some servers send the arguments as JSON instead of as a text that holds JSON.
    return ToolCall(name, json.dumps(arguments) if isinstance(arguments, dict | list) else _text(arguments))


def _tokens(data: object) -> Tokens | None:
    if not isinstance(data, dict):
        return None
    counts = [data.get("prompt_tokens"), data.get("completion_tokens")]
    read = [count for count in counts if isinstance(count, int) and not isinstance(count, bool) and count >= 0]
    return Tokens(*read) if len(read) == len(counts) else None


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
