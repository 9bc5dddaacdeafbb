"""Keeps which endpoints are in the mesh, and until when."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from types import MappingProxyType
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
    """A secret: the right to heartbeat and deregister."""
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
    """Who is in the mesh at one moment, ordered by agent and address. An agent may have many endpoints."""

    revision: int
    """Grows with every change of who is listed, in this process; heartbeats do not change it."""
    registrations: tuple[Registration, ...]

    @cached_property
    def next_expiry(self) -> datetime | None:
        """When the first of the leases ends, unless it is renewed; None if there is none."""
        return min((registration.expires_at for registration in self.registrations), default=None)

    @cached_property
    def by_address(self) -> Mapping[str, Registration]:
        """The one that is listed at each address."""
        return MappingProxyType({registration.address: registration for registration in self.registrations})


class AgentStore(Protocol):
    """Leases of endpoints. An address is one process: a later registration there replaces the earlier one."""

    async def put(self, registration: Registration) -> Registration:
        """Add a registration for its ttl from now, and return it as it is listed, with the times of the store.

        Raises:
            RegistryUnavailable: The store cannot be reached; this may be raised by `renew` and `remove` as well.
        """
        ...

    async def renew(self, lease_id: str) -> Registration | None:
        """Prolong a lease by its ttl from now; None if there is no such lease."""
        ...

    async def remove(self, lease_id: str) -> bool:
        """End a lease; False if there is none, and nothing happens."""
        ...

    def listing(self) -> Listing:
        """The endpoints whose leases have not ended, as far as this process knows. Cheap: every Ask asks for it."""
        ...

    @property
    def trouble(self) -> str:
        """Why the listing may be out of date; empty while it is not."""
        ...

    async def changed(self, revision: int) -> None:
        """Return when the revision of the listing is another than this; at once if it is. Any number may wait."""
        ...
