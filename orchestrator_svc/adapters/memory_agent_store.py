"""Keeps registrations in this process; they are gone with it, and agents register again when a heartbeat fails."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

from orchestrator_svc.adapters.lease_table import LeaseTable
from orchestrator_svc.app import metrics
from orchestrator_svc.app.metrics import Change
from orchestrator_svc.app.ports.agent_store import Listing, Registration
from orchestrator_svc.app.ports.clock import Clock


class MemoryAgentStore:
    """Implements `AgentStore` for one process. A lease that ended is found out whenever somebody looks, or waits."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._table = LeaseTable()

    async def put(self, registration: Registration) -> Registration:
        self._table.put(registration)
        return registration

    async def renew(self, lease_id: str) -> Registration | None:
        self._expire()
        registration = self._table.get(lease_id)
        if registration is None:
            return None
        now = self._clock.now()
        renewed = replace(
            registration, last_heartbeat_at=now, expires_at=now + timedelta(seconds=registration.ttl_seconds)
        )
        self._table.prolong(renewed)
        return renewed

    async def remove(self, lease_id: str) -> bool:
        self._expire()
        return self._table.remove(lease_id) > 0

    def listing(self) -> Listing:
        self._expire()
        return self._table.listing()

    @property
    def trouble(self) -> str:
        return ""

    async def changed(self, revision: int) -> None:
        while (listing := self.listing()).revision == revision:
            expiry = listing.next_expiry
            seconds = None if expiry is None else (expiry - self._clock.now()).total_seconds()
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._table.next_change()

    def _expire(self) -> None:
        now = self._clock.now()
        expiry = self._table.listing().next_expiry
        if expiry is not None and expiry <= now:
            ended = [one.lease_id for one in self._table.listing().registrations if one.expires_at <= now]
            metrics.registry_changed(Change.EXPIRED, self._table.remove(*ended))
