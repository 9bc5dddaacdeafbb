"""The front of the HTTP port: which request goes where, and what is answered before a call begins.

What is refused here has an HTTP status and the code and message of Connect, and no details, as what the gRPC core
refuses by itself: unknown paths, methods other than POST, contents that are neither JSON nor protobuf, foreign pages.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from typing import Final

from agentmesh.deadline import Deadline, current_deadline
from agentmesh.errors import Reason
from agentmesh.http.asgi import App, Headers, Receive, Scope, Send, send_json, send_nothing
from agentmesh.jsonvalues import JsonObject
from orchestrator_svc.api.http.bodies import InTime
from orchestrator_svc.api.http.codecs import CODECS
from orchestrator_svc.api.http.event_stream import AsEvents, AsFrame
from orchestrator_svc.api.http.origins import Origins
from orchestrator_svc.api.http.rpcs import Rpc

HEALTHY: Final = "/healthz"
READY: Final = "/readyz"

_TIMEOUT: Final = "connect-timeout-ms"
_MILLISECONDS: Final = re.compile(r"\d{1,10}\Z", re.ASCII)
_AS_EVENTS: Final = "application/json"
"""In which a request for a stream is plain: it is answered with server-sent events."""


class Front:
    """An ASGI application.

    Args:
        rpcs: By path.
        connect: Serves them.
        origins: Which web pages may call.
        why_not_ready: Gives the reason why questions cannot be answered now; None if they can.
        concerns: Gives what is not as it should be although questions are answered, in words, by what it is about.
        body_seconds: The time that the body of a request may take to arrive.
    """

    def __init__(
        self,
        rpcs: Mapping[str, Rpc],
        connect: App,
        origins: Origins,
        why_not_ready: Callable[[], Reason | None],
        *,
        concerns: Callable[[], Mapping[str, str]] = dict,
        body_seconds: float,
    ) -> None:
        self._rpcs = rpcs
        self._connect = connect
        self._origins = origins
        self._why_not_ready = why_not_ready
        self._concerns = concerns
        self._body_seconds = body_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        except UnicodeDecodeError:
            await _refuse(send, 400, "invalid_argument", "the headers of the request are no text")
            return
        origin = headers.get("origin")
        if not self._origins.allow(origin):
            await _refuse(send, 403, "permission_denied", "pages of this origin may not call")
            return
        if origin is not None:
            if scope["method"] == "OPTIONS":
                await send_nothing(send, 204, self._origins.preflight(origin))
                return
            send = self._origins.naming(origin, send)
        if scope["path"] in (HEALTHY, READY):
            await self._say_how_it_is(scope, send)
            return
        await self._call(scope, headers, InTime(receive, self._body_seconds), send)

    async def _say_how_it_is(self, scope: Scope, send: Send) -> None:
        if scope["method"] not in ("GET", "HEAD"):
            await _refuse(send, 405, "unimplemented", "ask with GET", [("allow", "GET, HEAD")])
            return
        why_not = self._why_not_ready() if scope["path"] == READY else None
        said: JsonObject = {"status": "SERVING"} if why_not is None else {"status": "NOT_SERVING", "reason": why_not}
        said |= self._concerns()
        await send_json(send, 200 if why_not is None else 503, said, [("cache-control", "no-store")])

    async def _call(self, scope: Scope, headers: Mapping[str, str], receive: Receive, send: Send) -> None:
        rpc = self._rpcs.get(scope["path"])
        if rpc is None:
            await _refuse(send, 404, "unimplemented", "there is no such rpc; a path is /agentmesh.v1.Orchestrator/Ask")
            return
        if scope["method"] != "POST":
            await _refuse(send, 405, "unimplemented", f"call {rpc.name} with POST", [("allow", "POST")])
            return
        content_type = headers.get("content-type", "").partition(";")[0].strip().lower()
        forms = _forms_of(rpc)
        if content_type not in forms:
            text = f"send {rpc.name} as content-type {' or '.join(forms)}"
            await _refuse(send, 415, "invalid_argument", text, [("accept-post", ", ".join(forms))])
            return
        passed_on = list(scope["headers"])
        if (timeout := headers.get(_TIMEOUT)) and _MILLISECONDS.match(timeout):  # else connectrpc says what is wrong
            # It is kept where that of gRPC calls is, and its error is then that of the table.
            current_deadline.set(Deadline.after(int(timeout) / 1000))
            passed_on = [(name, value) for name, value in passed_on if name != _TIMEOUT.encode()]
        if rpc.streams and content_type == _AS_EVENTS:
            passed_on = [(name, value) for name, value in passed_on if name != b"content-type"]
            passed_on.append((b"content-type", b"application/connect+json"))
            receive, send = AsFrame(receive), AsEvents(send)
        try:
            await self._connect({**scope, "headers": passed_on}, receive, send)
        except asyncio.CancelledError:
            # The server stops. connectrpc has told the caller, this task has nothing left to do, and uvicorn takes what
            # escapes it for a bug.
            return


def _forms_of(rpc: Rpc) -> list[str]:
    if rpc.streams:
        return [_AS_EVENTS, *(f"application/connect+{name}" for name in CODECS)]
    return [f"application/{name}" for name in CODECS]


async def _refuse(send: Send, status: int, code: str, message: str, headers: Headers = ()) -> None:
    await send_json(send, status, {"code": code, "message": message}, headers)
