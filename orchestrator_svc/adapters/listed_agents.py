"""Agents that a file lists beside those that register: each address is called every few seconds, and its card taken.

An agent there needs no registry and knows of none. It is listed as long as it answers; one that stops answering leaves
after a few calls in vain.
"""

from __future__ import annotations

import asyncio
import secrets
from datetime import timedelta
from pathlib import Path
from typing import Final

import protovalidate
import structlog

from agentmesh.card_messages import card_from_json
from agentmesh.cards import MAX_CARD_BYTES
from agentmesh.errors import AddressUnreachable, CardConflict, CardInvalid, MeshError, summary_of
from agentmesh.jsonvalues import JsonObject
from orchestrator_svc.adapters.address_file import AddressFileInvalid, read_addresses
from orchestrator_svc.adapters.memory_agent_store import MemoryAgentStore
from orchestrator_svc.app import metrics
from orchestrator_svc.app.addresses import AllowedAddresses
from orchestrator_svc.app.metrics import Change
from orchestrator_svc.app.ports.agent_dialer import AgentDialer
from orchestrator_svc.app.ports.agent_store import AgentStore, Listing, Registration
from orchestrator_svc.app.ports.clock import Clock
from orchestrator_svc.core.card import Card, read_card
from orchestrator_svc.core.card_changes import contract_changes

_log: Final = structlog.get_logger(__name__)

CALL_EVERY_SECONDS: Final = 2.0
_TTL_SECONDS: Final = 3 * CALL_EVERY_SECONDS
"""An agent that answers no call for so long has left."""


class ListedAgents:
    """Implements `AgentStore`: what another store holds, and the agents at the addresses of a file.

    Args:
        store: Takes the registrations; at an address that it has, what it has counts.
        path: The file. It is read again before each round of calls; while it cannot be read the addresses stay.
        dialer: Calls the addresses.
        allowed: The addresses that may be called.
        clock: Gives the times.
    """

    def __init__(
        self, store: AgentStore, path: Path, dialer: AgentDialer, allowed: AllowedAddresses, clock: Clock
    ) -> None:
        self._store = store
        self._path = path
        self._dialer = dialer
        self._allowed = allowed
        self._clock = clock
        self._found = MemoryAgentStore(clock)
        self._addresses: tuple[str, ...] = ()
        self._said: dict[str, str] = {}
        """What was said last of each address, and of the file."""
        self._merged: tuple[Listing, Listing, Listing] | None = None
        self._calling: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Call every address once, then go on by itself."""
        await self.look()
        self._calling = asyncio.create_task(self._look_always(), name="listed agents")

    async def close(self) -> None:
        if self._calling is not None:
            self._calling.cancel()
            await asyncio.wait({self._calling})

    async def look(self) -> None:
        """Read the file, and call every address in it."""
        try:
            self._addresses = await asyncio.to_thread(read_addresses, self._path)
            self._say(str(self._path), "")
        except AddressFileInvalid as error:
            self._say(str(self._path), str(error))
        listed = self._found.listing().by_address
        for address in listed.keys() - set(self._addresses):
            await self._remove(listed[address])
        await asyncio.gather(*map(self._call, self._addresses))

    async def put(self, registration: Registration) -> Registration:
        return await self._store.put(registration)

    async def renew(self, lease_id: str) -> Registration | None:
        return await self._store.renew(lease_id)

    async def remove(self, lease_id: str) -> bool:
        return await self._store.remove(lease_id)

    def listing(self) -> Listing:
        registered, found = self._store.listing(), self._found.listing()
        if self._merged is None or self._merged[0] is not registered or self._merged[1] is not found:
            taken = registered.by_address
            others = [one for one in found.registrations if one.address not in taken]
            both = sorted([*registered.registrations, *others], key=lambda one: (one.card.name, one.address))
            # Each of them grows only, so their sum changes with either.
            self._merged = registered, found, Listing(registered.revision + found.revision, tuple(both))
        return self._merged[2]

    @property
    def trouble(self) -> str:
        return self._store.trouble

    async def changed(self, revision: int) -> None:
        while self.listing().revision == revision:
            stores = (self._store, self._found)
            waiting = {asyncio.create_task(store.changed(store.listing().revision)) for store in stores}
            try:
                await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in waiting:
                    task.cancel()
                await asyncio.wait(waiting)

    async def _look_always(self) -> None:
        while True:
            await self._clock.sleep(CALL_EVERY_SECONDS)
            await self.look()

    async def _call(self, address: str) -> None:
        try:
            self._allowed.check(address)
            card = _checked(await self._dialer.card_at(address))
            self._check_contract(address, card)
        except AddressUnreachable as error:
            self._say(address, error.message)
        except MeshError as error:
            self._say(address, error.message)
            await self._unlist(address)
        else:
            self._say(address, "")
            await self._list(address, card)

    async def _list(self, address: str, card: Card) -> None:
        listed = self._found.listing().by_address.get(address)
        if listed is not None and listed.card.digest == card.digest and await self._found.renew(listed.lease_id):
            return
        now = self._clock.now()
        ends = now + timedelta(seconds=_TTL_SECONDS)
        await self._found.put(Registration(secrets.token_hex(16), card, address, _TTL_SECONDS, now, now, ends))
        metrics.registry_changed(Change.JOINED)

    async def _unlist(self, address: str) -> None:
        listed = self._found.listing().by_address.get(address)
        if listed is not None:
            await self._remove(listed)

    async def _remove(self, listed: Registration) -> None:
        if await self._found.remove(listed.lease_id):
            metrics.registry_changed(Change.LEFT)

    def _check_contract(self, address: str, card: Card) -> None:
        others = (one.card for one in self.listing().registrations if one.address != address)
        violations = contract_changes(card, others)
        if violations:
            raise CardConflict(summary_of(violations), violations=violations)

    def _say(self, what: str, trouble: str) -> None:
        """Log a change once, however often it is found again."""
        if self._said.get(what, "") == trouble:
            return
        self._said[what] = trouble
        if trouble:
            _log.warning("listed agent left out", listed=what, why=trouble)
        else:
            _log.info("listed agent found", listed=what)


def _checked(source: JsonObject) -> Card:
    """Read a card that came from an agent and not with a request, whose rules a server checks.

    Raises:
        CardInvalid: It breaks a rule of its message, is over 256 kB, or a rule of cards.
    """
    message = card_from_json(source)
    broken = protovalidate.collect_violations(message)
    if broken:
        raise CardInvalid(f"the card breaks a rule: {broken[0].proto.message}")
    if message.ByteSize() > MAX_CARD_BYTES:
        raise CardInvalid(f"the card has {message.ByteSize()} bytes, at most {MAX_CARD_BYTES} are allowed")
    return read_card(source)
