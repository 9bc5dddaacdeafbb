"""Connections to agents: one channel an endpoint, made when it is listed, closed when it has left and is not used.

Each link watches the health of its endpoint. A process that is stopped, or a machine that is gone, breaks no
connection: while a call waits for longer than a second, the link asks the endpoint whether it answers at all. If it
does not, calls that may be repeated elsewhere are given up.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import Context
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from agentmesh import errors
from agentmesh.cards import Effect
from agentmesh.transport import open_channel
from agentmesh.transport.options import ANY_SERVER
from orchestrator_svc.adapters.agent_health import answers, watch_health
from orchestrator_svc.app.endpoints import Endpoints
from orchestrator_svc.app.ports.agent_store import Endpoint
from orchestrator_svc.core.catalog import Skill

PATIENCE_SECONDS: Final = 1.0
"""So long a call may wait before its endpoint is asked whether it answers; and between two such questions."""


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting:
    """A call that waits for its answer."""

    skill: Skill
    scope: asyncio.Timeout
    since: float
    """On the clock of the loop."""


class Link:
    """The connection to one endpoint; made inside the running event loop, which it begins to watch its health in."""

    def __init__(self, agent: str, endpoint: Endpoint, endpoints: Endpoints) -> None:
        self._peer = f"agent `{agent}` at {endpoint.address}"
        self._endpoint = endpoint
        self._endpoints = endpoints
        self._loop = asyncio.get_running_loop()
        # An agent may be written in any language, and a server ends a connection that is pinged more than it likes.
        self.channel: Final = open_channel(endpoint.address, peer=self._peer, keepalive=ANY_SERVER)
        self.has_streams = True
        """False once the agent has answered that it has no ExecuteStream."""
        self._calls: set[_Waiting] = set()
        self._unused = asyncio.Event()
        self._unused.set()
        report = partial(endpoints.report_health, endpoint)
        self._watching = _task(watch_health(self.channel, report), f"health of {self._peer}")
        self._probing: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def calling(self, skill: Skill) -> AsyncIterator[None]:
        """Around one call: it counts as in flight, and is looked after.

        Raises:
            errors.Unreachable: It was given up, because the endpoint does not answer and another one might.
        """
        self._endpoints.began(self._endpoint)
        timer = self._loop.call_later(PATIENCE_SECONDS, self._suspect)
        try:
            async with asyncio.timeout(None) as scope:
                with self._kept(_Waiting(skill, scope, self._loop.time())):
                    yield
        except TimeoutError:
            raise errors.Unreachable(f"{self._peer} is unavailable: it does not answer") from None
        finally:
            timer.cancel()
            self._endpoints.ended(self._endpoint)

    async def drain(self) -> None:
        """Close it once nothing is in flight: an endpoint that has left still answers what it has begun."""
        try:
            await self._unused.wait()
        finally:
            await self.close()

    async def close(self) -> None:
        """Close it; what is in flight ends as unreachable."""
        tasks = [task for task in (self._watching, self._probing) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await self.channel.close()

    @contextmanager
    def _kept(self, call: _Waiting) -> Iterator[None]:
        self._unused.clear()
        self._calls.add(call)
        try:
            yield
        finally:
            self._calls.discard(call)
            if not self._calls:
                self._unused.set()

    def _suspect(self) -> None:
        if self._probing is None or self._probing.done():
            self._probing = _task(self._probe(), f"probe of {self._peer}")

    async def _probe(self) -> None:
        """Ask for a sign of life, again and again, while a call waits for long or there was none."""
        again = True
        while again:
            silent = not await answers(self.channel)
            self._endpoints.report_silence(self._endpoint, silent=silent)
            if silent:
                self._give_up()
            await asyncio.sleep(PATIENCE_SECONDS)
            again = silent or self._somebody_waits()

    def _somebody_waits(self) -> bool:
        """Whether the timer of a call that is still there may have fired meanwhile: some loops are early by a bit."""
        before = self._loop.time() - 0.9 * PATIENCE_SECONDS
        return any(call.since <= before for call in self._calls)

    def _give_up(self) -> None:
        for call in self._calls:
            if call.scope.expired() or call.skill.effect is Effect.SIDE_EFFECT:
                continue
            if self._endpoints.has_other(call.skill, self._endpoint):
                call.scope.reschedule(self._loop.time())


class AgentLinks:
    """The links to the endpoints that are listed, and to those that still answer.

    Args:
        endpoints: Says who is listed, and hears how they are.
    """

    def __init__(self, endpoints: Endpoints) -> None:
        self._endpoints = endpoints
        # By endpoint and not by address: the channel to a process that is gone waits, up to 5 s, before it tries again.
        self._links: dict[Endpoint, Link] = {}
        self._draining: dict[asyncio.Task[None], Link] = {}

    async def follow(self) -> None:
        """Make and drain links as endpoints come and go, until cancelled; without it they are made when first used."""
        while True:
            revision = self._endpoints.revision
            self._update()
            await self._endpoints.changed(revision)

    def to(self, agent: str, endpoint: Endpoint) -> Link:
        """The link to an endpoint of the agent that was listed a moment ago."""
        if endpoint not in self._links:
            self._links[endpoint] = Link(agent, endpoint, self._endpoints)
        return self._links[endpoint]

    async def close(self) -> None:
        """Close every link; what is in flight ends as unreachable."""
        draining, self._draining = self._draining, {}
        links, self._links = self._links, {}
        for task in draining:
            task.cancel()
        await asyncio.gather(*draining, *(link.close() for link in links.values()), return_exceptions=True)

    def _update(self) -> None:
        listed = self._endpoints.listed()
        for endpoint in self._links.keys() - listed.keys():
            link = self._links.pop(endpoint)
            task = _task(link.drain(), "draining")
            self._draining[task] = link
            task.add_done_callback(lambda task: self._draining.pop(task, None))
        for endpoint, agent in listed.items():
            if endpoint not in self._links:
                self._links[endpoint] = Link(agent, endpoint, self._endpoints)


def _task(work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
    """Outside of the context of the call that happens to start it: the deadline of that call is not its own."""
    return asyncio.create_task(work, name=name, context=Context())
