"""A Chat Completions server over real HTTP that answers by a script, and counts completions where they arrive.

Tests take it as the fixture `llm` (tests/llm_fixture.py). Leaving it raises if a run asked for more completions than
the mesh may: the bound is counted here, at the socket, whatever the mesh says of itself.

A completion is recognised by the header `X-AgentMesh-Completion: <run id>:<n>`, which all HTTP requests for one
completion share. A client cannot hide a completion behind the id of another: requests of one id must carry the same
messages and tools, and none may follow a usable reply.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import cast

from agentmesh.jsonvalues import Json, JsonObject
from tests.fakes.http_server import Exchange, HttpRequest, HttpServer
from tests.fakes.llm_replies import Fails, Hangs, Reply

MAX_COMPLETIONS = 2


@dataclass(frozen=True, slots=True)
class LlmRequest:
    """A request as it came over the socket."""

    target: str
    headers: Mapping[str, str]
    body: JsonObject

    @property
    def routes(self) -> bool:
        """True for ROUTE, which offers tools; False for SYNTHESIZE."""
        return "tools" in self.body

    @property
    def completion(self) -> str:
        return self.headers.get("x-agentmesh-completion", "")

    @property
    def run(self) -> str:
        return self.completion.rpartition(":")[0]

    @property
    def model(self) -> str:
        return str(self.body.get("model", ""))

    @property
    def messages(self) -> list[JsonObject]:
        return cast("list[JsonObject]", self.body["messages"])


class BoundBroken(AssertionError):
    """The clients of the server did what the mesh promises never to do."""


@dataclass(slots=True)
class ScriptedLlm:
    """The server. Replies are scripted apart for routing and writing, and given in their order.

    Without a script for a request the answer is 418 and the test fails. A `script` answers every request instead.
    """

    script: Callable[[LlmRequest], Reply] | None = None
    max_completions: int | None = MAX_COMPLETIONS
    """For one run; None for clients that are not the mesh, of which nothing is checked."""
    delay_seconds: float = 0.0
    """Before each reply; for benchmarks."""
    requests: list[LlmRequest] = field(default_factory=list)
    """All that came, in order."""
    _routing: deque[Reply] = field(default_factory=deque)
    _writing: deque[Reply] = field(default_factory=deque)
    _refused: dict[str, Fails] = field(default_factory=dict)
    _answered: dict[str, LlmRequest] = field(default_factory=dict)
    """The request that got a usable reply, by completion."""
    _wrong: list[str] = field(default_factory=list)
    _left: int = 0
    _change: asyncio.Condition = field(default_factory=asyncio.Condition)
    _released: asyncio.Event = field(default_factory=asyncio.Event)
    _server: HttpServer | None = None

    async def __aenter__(self) -> ScriptedLlm:
        self._server = HttpServer(self._handle)
        await self._server.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._server is not None
        await self._server.__aexit__(kind, error, traceback)
        problems = self.problems()
        if problems and error is None:
            raise BoundBroken("; ".join(problems))

    @property
    def origin(self) -> str:
        """`http://host:port`."""
        assert self._server is not None
        return f"http://{self._server.address}"

    @property
    def base_url(self) -> str:
        return f"{self.origin}/v1"

    def to_route(self, *replies: Reply) -> None:
        """Answer the next requests with tools so."""
        self._routing.extend(replies)

    def to_write(self, *replies: Reply) -> None:
        """Answer the next requests without tools so."""
        self._writing.extend(replies)

    def refuse(self, parameter: str, refusal: Fails) -> None:
        """Answer every request that has this parameter so; it takes nothing from the script."""
        self._refused[parameter] = refusal

    def release(self) -> None:
        """Let every `Hangs` end, now and later."""
        self._released.set()

    async def arrived(self, count: int) -> None:
        """Wait until so many requests have come."""
        async with self._change:
            await self._change.wait_for(lambda: len(self.requests) >= count)

    async def abandoned(self, count: int) -> None:
        """Wait until so many clients have left a `Hangs`."""
        async with self._change:
            await self._change.wait_for(lambda: self._left >= count)

    def completions(self, run: str) -> list[str]:
        """The completions that a run asked for, in order."""
        return list(dict.fromkeys(request.completion for request in self.requests if request.run == run))

    def problems(self) -> list[str]:
        """What the mesh promises and did not keep, and what the script expected and did not see."""
        if self.max_completions is None:
            return []
        asked = {request.run: len(self.completions(request.run)) for request in self.requests}
        unused = {"routing": self._routing, "writing": self._writing}
        return [
            *self._wrong,
            *(
                f"run {run} asked for {count} completions, allowed are {self.max_completions}"
                for run, count in asked.items()
                if count > self.max_completions
            ),
            *(f"{len(replies)} replies for {name} were never asked for" for name, replies in unused.items() if replies),
        ]

    async def _handle(self, http: HttpRequest, exchange: Exchange) -> None:
        if not http.target.partition("?")[0].endswith("/chat/completions"):
            await Fails(404, "no such path").send(exchange, {})
            return
        request = LlmRequest(http.target, http.headers, cast("JsonObject", json.loads(http.body)))
        self._check(request)
        self.requests.append(request)
        async with self._change:
            self._change.notify_all()
        if self.delay_seconds:
            await asyncio.sleep(self.delay_seconds)
        reply = self._reply(request)
        if isinstance(reply, Hangs):
            await self._hang(exchange)
        else:
            if reply.usable:
                self._answered[request.completion] = request
            await reply.send(exchange, request.body)

    def _reply(self, request: LlmRequest) -> Reply:
        for parameter, refusal in self._refused.items():
            if parameter in request.body:
                return refusal
        if self.script is not None:
            return self.script(request)
        replies = self._routing if request.routes else self._writing
        if replies:
            return replies.popleft()
        self._wrong.append(f"nothing is scripted for request {len(self.requests)} ({request.completion})")
        return Fails(418, "the script has ended")

    def _check(self, request: LlmRequest) -> None:
        if self.max_completions is None:
            return
        if not request.run:
            self._wrong.append(f"request {len(self.requests) + 1} says of no run that it is for it")
        if request.completion in self._answered:
            self._wrong.append(f"{request.completion} was asked for again after a usable reply")
        for other in self.requests:
            if other.completion == request.completion and _asked(other) != _asked(request):
                self._wrong.append(f"{request.completion} stands for two different completions")

    async def _hang(self, exchange: Exchange) -> None:
        released = asyncio.ensure_future(self._released.wait())
        gone = asyncio.ensure_future(exchange.gone())
        try:
            await asyncio.wait([released, gone], return_when=asyncio.FIRST_COMPLETED)
        finally:
            released.cancel()
            gone.cancel()
        if gone.done() and not gone.cancelled():
            self._left += 1
            async with self._change:
                self._change.notify_all()
        exchange.cut()


def _asked(request: LlmRequest) -> Json:
    return [request.body.get("messages"), request.body.get("tools")]
