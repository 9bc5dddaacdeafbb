"""Which web pages may call: none, unless their origin is named (https://fetch.spec.whatwg.org/#http-cors-protocol).

A page of another origin is refused, and not only kept from reading the answer: whoever browses on the machine of an
orchestrator reaches its loopback address, and a name server may tell the browser that it is the page's own.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from agentmesh.http.asgi import Message, Send
from agentmesh.metadata import RUN_ID, TRACE_ID

ANY: Final = "*"
_METHODS: Final = "GET, POST"
_REQUEST_HEADERS: Final = (
    "authorization, baggage, connect-protocol-version, connect-timeout-ms, content-type, traceparent, tracestate"
)
_ANSWER_HEADERS: Final = f"{RUN_ID}, trailer-{RUN_ID}, {TRACE_ID}, trailer-{TRACE_ID}"
_PREFLIGHT_SECONDS: Final = 7200  # the longest that a browser keeps one


class Origins:
    """The origins that are allowed.

    Args:
        allowed: As `https://console.example`; `*` allows all.
    """

    def __init__(self, allowed: Collection[str]) -> None:
        self._allowed = frozenset(allowed)

    def allow(self, origin: str | None) -> bool:
        """Whether a request with this header, or without one, is served; only browsers send one."""
        return origin is None or origin in self._allowed or ANY in self._allowed

    def preflight(self, origin: str) -> list[tuple[str, str]]:
        """The headers that let a browser send the request proper."""
        return [
            *_of_origin(origin),
            ("access-control-allow-methods", _METHODS),
            ("access-control-allow-headers", _REQUEST_HEADERS),
            ("access-control-max-age", str(_PREFLIGHT_SECONDS)),
        ]

    def naming(self, origin: str, send: Send) -> Send:
        """Return what sends the same, and lets a page of this origin read it."""
        headers = [*_of_origin(origin), ("access-control-expose-headers", _ANSWER_HEADERS)]

        async def send_named(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = [(name.encode(), value.encode()) for name, value in headers]
                message = {**message, "headers": [*message.get("headers", ()), *own]}
            await send(message)

        return send_named


def _of_origin(origin: str) -> list[tuple[str, str]]:
    return [("access-control-allow-origin", origin), ("vary", "origin")]
