"""Streams of who is listed: the listing, then what changed, always as it is now; reports of how they do between it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from dataclasses import dataclass
from typing import Final

from agentmesh.errors import ShuttingDown
from agentmesh.v1 import registry_service_pb2 as pb
from orchestrator_svc.api.agent_pages import Deployment, Statuses, all_pages, deployments_of, endpoint_message
from orchestrator_svc.app.catalogs import Catalogs
from orchestrator_svc.app.membership import Membership
from orchestrator_svc.app.ports.agent_store import Endpoint, Listing

_ENDED: Final = "this server is shutting down; watch at another"


@dataclass(frozen=True, slots=True)
class _Look:
    """What was listed at a revision, and what has changed since the one that somebody was told of."""

    revision: int
    deployments: dict[str, Deployment]
    """By digest."""
    since: dict[int, tuple[pb.WatchAgentsResponse, ...]]
    """By the revision that was told: most watches were told the same, so a change is worked out once for them."""


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
        self._latest = _Look(-1, {}, {})

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
        told = _look_at(listing)
        for page in all_pages(told.deployments.values(), self._catalogs.known().fingerprint, self._statuses()):
            yield pb.WatchAgentsResponse(snapshot=page)
        while True:
            if not await self._next(told.revision, report_seconds):
                yield self._report(self._membership.listing())
                continue
            now = self._look()
            for message in self._changes(told, now):
                yield message
            told = now

    def _look(self) -> _Look:
        listing = self._membership.listing()
        if listing.revision != self._latest.revision:
            self._latest = _look_at(listing)
        return self._latest

    def _changes(self, told: _Look, now: _Look) -> tuple[pb.WatchAgentsResponse, ...]:
        if told.revision not in now.since:
            now.since[told.revision] = tuple(_changes(told.deployments, now.deployments, self._statuses()))
        return now.since[told.revision]

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


def _look_at(listing: Listing) -> _Look:
    return _Look(listing.revision, {one.card.digest: one for one in deployments_of(listing)}, {})


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
