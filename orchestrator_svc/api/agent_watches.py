"""Streams of who is listed: the listing, then what changed, always as it is now; reports of how they do between it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from typing import Final

from agentmesh.errors import ShuttingDown
from agentmesh.v1 import registry_service_pb2 as pb
from orchestrator_svc.api.agent_pages import Deployment, Statuses, all_pages, deployments_of, endpoint_message
from orchestrator_svc.app.catalogs import Catalogs
from orchestrator_svc.app.membership import Membership
from orchestrator_svc.app.ports.agent_store import Endpoint, Listing

_ENDED: Final = "this server is shutting down; watch at another"


class AgentWatches:
    """Watches of one registry. What changes while a reader is slow is told once, as it is when it reads on.

    Args:
        membership: Says who is listed.
        catalogs: What questions are answered with.
        statuses: Says how they do.
    """

    def __init__(self, membership: Membership, catalogs: Catalogs, statuses: Callable[[], Statuses]) -> None:
        self._membership = membership
        self._catalogs = catalogs
        self._statuses = statuses
        self._ended = asyncio.Event()

    def end(self) -> None:
        """End every watch, and those that are still to come, with SHUTTING_DOWN."""
        self._ended.set()

    async def messages(self, report_seconds: float | None) -> AsyncGenerator[pb.WatchAgentsResponse, None]:
        """Everything, then the changes; a report also each so many seconds.

        Raises:
            ShuttingDown: `end` was called.
        """
        self._check_not_ended()
        listing = self._membership.listing()
        told = _by_digest(deployments_of(listing))
        for page in all_pages(told.values(), self._catalogs.known().fingerprint, self._statuses()):
            yield pb.WatchAgentsResponse(snapshot=page)
        while True:
            if not await self._next(listing.revision, report_seconds):
                yield self._report(self._membership.listing())
                continue
            listing = self._membership.listing()
            now = _by_digest(deployments_of(listing))
            for message in _changes(told, now, self._statuses()):
                yield message
            told = now

    async def _next(self, revision: int, seconds: float | None) -> bool:
        """Whether the listing has changed before the time was up."""
        waiting = {
            asyncio.create_task(self._membership.changed_since(revision)),
            asyncio.create_task(self._ended.wait()),
        }
        try:
            done, _ = await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.wait(waiting)
        self._check_not_ended()
        return bool(done)

    def _report(self, listing: Listing) -> pb.WatchAgentsResponse:
        statuses = self._statuses()
        ordered = sorted(listing.registrations, key=lambda one: one.address)
        endpoints = [endpoint_message(one, statuses) for one in ordered]
        return pb.WatchAgentsResponse(report=pb.EndpointReport(endpoints=endpoints))

    def _check_not_ended(self) -> None:
        if self._ended.is_set():
            raise ShuttingDown(_ENDED)


def _by_digest(deployments: tuple[Deployment, ...]) -> dict[str, Deployment]:
    return {deployment.card.digest: deployment for deployment in deployments}


def _changes(
    before: dict[str, Deployment], now: dict[str, Deployment], statuses: Statuses
) -> Iterator[pb.WatchAgentsResponse]:
    """What came first, so that an agent that moved from one deployment to another is never missing."""
    for digest, deployment in now.items():
        if digest not in before or _endpoints(before[digest]) != _endpoints(deployment):
            yield pb.WatchAgentsResponse(changed=deployment.message(statuses))
    for digest, deployment in before.items():
        if digest not in now:
            yield pb.WatchAgentsResponse(removed=pb.RemovedAgent(name=deployment.card.name, card_digest=digest))


def _endpoints(deployment: Deployment) -> list[Endpoint]:
    return [registration.endpoint for registration in deployment.registrations]
