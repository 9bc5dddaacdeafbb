"""The catalog of this moment: what the listed deployments offer, and for a while what the last one has left with."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final, TypeAlias

from agentmesh.errors import CatalogEmpty
from orchestrator_svc.app.endpoints import Endpoints
from orchestrator_svc.app.ports.clock import Clock
from orchestrator_svc.core.catalog import Catalog, Skill
from orchestrator_svc.core.deployments import skills_shown

GRACE_SECONDS: Final = 60.0
EMPTY_RETRY_SECONDS: Final = 2.0
"""After this an agent that is just starting has usually registered."""

_Offer: TypeAlias = tuple[tuple[str, bool], ...]
"""Digest of each deployment's card, and whether it has a healthy endpoint: all that a catalog depends on."""


class Catalogs:
    """Makes catalogs. One stays the same object for as long as its skills do: what was derived from it stays good.

    Args:
        endpoints: Who is listed, and how they are.
        clock: Times the grace.
        grace_seconds: How long a skill is kept after its last endpoint has left the listing, so that a restart is not
            "nobody can do this"; a call of it waits for an endpoint.
    """

    def __init__(self, endpoints: Endpoints, clock: Clock, grace_seconds: float = GRACE_SECONDS) -> None:
        self._endpoints = endpoints
        self._clock = clock
        self._grace_seconds = grace_seconds
        self._catalog = Catalog.of(())
        self._revision = -1  # of the endpoints
        self._offer: _Offer = ()
        self._offered: dict[str, Skill] = {}
        self._left: dict[str, tuple[Skill, float]] = {}
        """By skill id: skills that nobody offers any more, and when they are forgotten."""

    def known(self) -> Catalog:
        """The catalog as it is now, also when it is empty."""
        revision = self._endpoints.revision
        if revision != self._revision:
            self._revision = revision
            self._read()
        self._forget()
        return self._catalog

    def catalog(self) -> Catalog:
        """The catalog to answer a question with; one run uses one.

        Raises:
            CatalogEmpty: There is no skill at all.
        """
        catalog = self.known()
        if not catalog:
            raise CatalogEmpty("no agent is registered yet", retry_after_seconds=EMPTY_RETRY_SECONDS)
        return catalog

    async def changed(self, catalog: Catalog) -> None:
        """Return when the catalog is another than this; at once if it is. Any number may wait."""
        while self.known() is catalog:
            end = min((until for _, until in self._left.values()), default=None)
            seconds = None if end is None else end - self._clock.monotonic()
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._endpoints.changed(self._revision)

    def _read(self) -> None:
        deployments = self._endpoints.deployments
        healthy = self._endpoints.is_healthy
        offer = tuple((one.card.digest, any(map(healthy, one.endpoints))) for one in deployments)
        if offer == self._offer:
            return
        self._offer = offer
        before, self._offered = self._offered, skills_shown(deployments, healthy)
        until = self._clock.monotonic() + self._grace_seconds
        self._left |= {name: (skill, until) for name, skill in before.items() if name not in self._offered}
        self._left = {name: kept for name, kept in self._left.items() if name not in self._offered}
        self._make()

    def _forget(self) -> None:
        now = self._clock.monotonic()
        over = [name for name, (_, until) in self._left.items() if until <= now]
        if over:
            for name in over:
                del self._left[name]
            self._make()

    def _make(self) -> None:
        made = Catalog.of([*self._offered.values(), *(skill for skill, _ in self._left.values())])
        if made != self._catalog:
            self._catalog = made
