"""Keeps which endpoints are in the mesh, and until when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from orchestrator_svc.core.card import Card


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One running process of an agent. One that comes back at the same address is another, under another lease."""

    address: str
    lease_id: str


@dataclass(frozen=True)
class Registration:
    """One endpoint of an agent, under one lease."""

    lease_id: str
    card: Card
    address: str
    ttl_seconds: float
    registered_at: datetime
    last_heartbeat_at: datetime
    expires_at: datetime

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint(self.address, self.lease_id)


@dataclass(frozen=True)
class Listing:
    """Who is in the mesh at one moment, ordered by agent and address."""

    revision: int
    """Grows with every change of who is listed; heartbeats do not change it."""
    registrations: tuple[Registration, ...]

    @property
    def next_expiry(self) -> datetime | None:
        """When the first of the leases ends, unless it is renewed; None if there is none."""
        return min((registration.expires_at for registration in self.registrations), default=None)


class AgentStore(Protocol):
    """One endpoint an agent: a later registration of the same agent replaces the earlier one."""

    async def put(self, registration: Registration) -> None:
        """Add a registration; its lease ends at `expires_at` unless it is renewed."""
        ...

    async def renew(self, lease_id: str) -> Registration | None:
        """Prolong a lease by its ttl from now; None if there is no such lease."""
        ...

    async def remove(self, lease_id: str) -> None:
        """End a lease; nothing happens if there is none."""
        ...

    def listing(self) -> Listing:
        """The endpoints whose leases have not ended. Cheap: it is asked for by every Ask."""
        ...
