"""Streams of who is listed: the listing, then what changed, always as it is now."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from typing import Final

from agentmesh.errors import ShuttingDown
from agentmesh.v1 import registry_service_pb2 as pb
from orchestrator_svc.api.agent_pages import Deployment, all_pages, deployments_of
from orchestrator_svc.app.membership import Membership
from orchestrator_svc.app.ports.agent_store import Endpoint

_ENDED: Final = "this server is shutting down; watch at another"


class AgentWatches:
    """Watches of one registry. What changes while a reader is slow is told once, as it is when it reads on."""

    def __init__(self, membership: Membership) -> None:
        self._membership = membership
        self._ended = asyncio.Event()

    def end(self) -> None:
        """End every watch, and those that are still to come, with SHUTTING_DOWN."""
        self._ended.set()

    async def messages(self) -> AsyncGenerator[pb.WatchAgentsResponse, None]:
        """Everything, then the changes.

        Raises:
            ShuttingDown: `end` was called.
        """
        self._check_not_ended()
        listing = self._membership.listing()
        told = _by_digest(deployments_of(listing))
        for page in all_pages(told.values(), self._membership.known_catalog().fingerprint):
            yield pb.WatchAgentsResponse(snapshot=page)
        while True:
            await self._next(listing.revision)
            listing = self._membership.listing()
            now = _by_digest(deployments_of(listing))
            for message in _changes(told, now):
                yield message
            told = now

    async def _next(self, revision: int) -> None:
        waiting = {
            asyncio.create_task(self._membership.changed_since(revision)),
            asyncio.create_task(self._ended.wait()),
        }
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.wait(waiting)
        self._check_not_ended()

    def _check_not_ended(self) -> None:
        if self._ended.is_set():
            raise ShuttingDown(_ENDED)


def _by_digest(deployments: tuple[Deployment, ...]) -> dict[str, Deployment]:
    return {deployment.card.digest: deployment for deployment in deployments}


def _changes(before: dict[str, Deployment], now: dict[str, Deployment]) -> Iterator[pb.WatchAgentsResponse]:
    """What came first, so that an agent that moved from one deployment to another is never missing."""
    for digest, deployment in now.items():
        if digest not in before or _endpoints(before[digest]) != _endpoints(deployment):
            yield pb.WatchAgentsResponse(changed=deployment.message())
    for digest, deployment in before.items():
        if digest not in now:
            yield pb.WatchAgentsResponse(removed=pb.RemovedAgent(name=deployment.card.name, card_digest=digest))


def _endpoints(deployment: Deployment) -> list[Endpoint]:
    return [registration.endpoint for registration in deployment.registrations]
