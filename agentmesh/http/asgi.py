"""ASGI as far as it is used here, and answers that are sent whole."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, TypeAlias

from agentmesh.jsonvalues import Json

Message: TypeAlias = MutableMapping[str, Any]
Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers: TypeAlias = Iterable[tuple[str, str]]


async def send_head(send: Send, status: int, headers: Headers) -> None:
    """Begin an answer."""
    encoded = [(name.encode(), value.encode()) for name, value in headers]
    await send({"type": "http.response.start", "status": status, "headers": encoded})


async def send_json(send: Send, status: int, value: Json, headers: Headers = ()) -> None:
    """Send a whole answer."""
    body = json.dumps(value, ensure_ascii=False).encode()
    fixed = [("content-type", "application/json"), ("content-length", str(len(body)))]
    await send_head(send, status, [*fixed, *headers])
    await send({"type": "http.response.body", "body": body})


async def send_nothing(send: Send, status: int, headers: Headers) -> None:
    """Send an answer without a body."""
    await send_head(send, status, headers)
    await send({"type": "http.response.body", "body": b""})
