"""The endpoints that this process knows of, by lease and by address; who waits for a change is told of it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from operator import attrgetter
from typing import Final

from orchestrator_svc.app.ports.agent_store import Listing, Registration

_ORDER: Final = attrgetter("card.name", "address")


class LeaseTable:
    """At most one registration an address. Knows no time: its owner removes what has ended."""

    def __init__(self) -> None:
        self._by_address: dict[str, Registration] = {}
        self._addresses: dict[str, str] = {}
        """Address by lease id."""
        self._revision = 0
        self._listing = Listing(0, ())
        self._is_stale = False
        self._change = asyncio.Event()
        """Set once, with the next change, and replaced by another."""

    def put(self, registration: Registration) -> None:
        """Add it, in place of what was listed at its address."""
        earlier = self._by_address.get(registration.address)
        if earlier is not None:
            del self._addresses[earlier.lease_id]
        self._by_address[registration.address] = registration
        self._addresses[registration.lease_id] = registration.address
        self._changed()

    def get(self, lease_id: str) -> Registration | None:
        address = self._addresses.get(lease_id)
        return None if address is None else self._by_address[address]

    def prolong(self, renewed: Registration) -> None:
        """Replace the registration of a lease by one with other times; nothing happens if there is none."""
        if renewed.lease_id in self._addresses:
            self._by_address[renewed.address] = renewed
            self._is_stale = True

    def remove(self, *lease_ids: str) -> int:
        """End leases, and return how many; nothing happens for those that are not there."""
        addresses = [address for lease_id in lease_ids if (address := self._addresses.pop(lease_id, None))]
        for address in addresses:
            del self._by_address[address]
        if addresses:
            self._changed()
        return len(addresses)

    def replace(self, registrations: Iterable[Registration]) -> None:
        """Hold these and no others."""
        before = self._addresses
        self._by_address = {registration.address: registration for registration in registrations}
        self._addresses = {one.lease_id: address for address, one in self._by_address.items()}
        self._is_stale = True
        if self._addresses != before:
            self._changed()

    def listing(self) -> Listing:
        if self._is_stale:
            self._listing = Listing(self._revision, tuple(sorted(self._by_address.values(), key=_ORDER)))
            self._is_stale = False
        return self._listing

    async def next_change(self) -> None:
        """Return with the next change of who is listed; to be awaited as it is, a task of its own would begin late."""
        await self._change.wait()

    def _changed(self) -> None:
        self._revision += 1
        self._is_stale = True
        self._change.set()
        self._change = asyncio.Event()
