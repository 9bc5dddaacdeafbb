"""Connections to agents: one channel an endpoint, made when it is first called, closed when it has left the mesh."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import grpc.aio

from agentmesh.transport import open_channel
from agentmesh.transport.options import ANY_SERVER
from orchestrator_svc.app.ports.agent_store import Endpoint


@dataclass(slots=True)
class Link:
    """The connection to one endpoint."""

    channel: grpc.aio.Channel
    has_streams: bool = True
    """False once the agent has answered that it has no ExecuteStream."""
    in_use: int = 0
    """Calls in flight."""


class AgentLinks:
    """The links to the endpoints that are listed, and to those that still answer.

    Args:
        endpoints: Gives every endpoint that is listed now; links to others are closed.
    """

    def __init__(self, endpoints: Callable[[], frozenset[Endpoint]]) -> None:
        self._endpoints = endpoints
        # By endpoint and not by address: the channel to a process that is gone waits, up to 5 s, before it tries again.
        self._links: dict[Endpoint, Link] = {}

    @asynccontextmanager
    async def to(self, agent: str, endpoint: Endpoint) -> AsyncIterator[Link]:
        """The link to an endpoint, kept open for as long as it is used and the endpoint is listed."""
        left: list[Link] = []
        link = self._links.get(endpoint)
        if link is None:
            left = self._take_unlisted()
            # An agent may be written in any language, and a server ends a connection that is pinged more than it likes.
            peer = f"agent `{agent}` at {endpoint.address}"
            link = self._links[endpoint] = Link(open_channel(endpoint.address, peer=peer, keepalive=ANY_SERVER))
        link.in_use += 1
        try:
            # Closing takes a moment, in which other calls begin: by now they find this link, and none of the others.
            await _close(left)
            yield link
        finally:
            link.in_use -= 1

    async def close(self) -> None:
        """Close every link; what is in flight ends as unreachable."""
        links, self._links = self._links, {}
        await _close(links.values())

    def _take_unlisted(self) -> list[Link]:
        """An agent that drains has left the list and still answers what it has begun, so a link in use stays."""
        listed = self._endpoints()
        left = [endpoint for endpoint, link in self._links.items() if endpoint not in listed and not link.in_use]
        return [self._links.pop(endpoint) for endpoint in left]


async def _close(links: Iterable[Link]) -> None:
    await asyncio.gather(*(link.channel.close() for link in links))
