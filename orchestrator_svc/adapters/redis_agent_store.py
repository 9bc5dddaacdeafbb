"""Keeps registrations in Redis or Valkey, for several orchestrators, and a copy of them here that is always at hand.

The copy follows the server: at every notice of a change, once a second in case one was lost, and when a lease should
have ended. While the server cannot be reached the copy stays as it is. When the server is back, endpoints that it has
lost, because it restarted empty or their leases ended meanwhile, stay for half a ttl: they register again by then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Final

import structlog
from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from agentmesh.errors import RegistryUnavailable
from orchestrator_svc.adapters.lease_table import LeaseTable
from orchestrator_svc.adapters.redis_leases import CHANGES, RedisLeases, StoredLease
from orchestrator_svc.adapters.server_time import ServerTime
from orchestrator_svc.app.ports.agent_store import Listing, Registration
from orchestrator_svc.app.ports.clock import Clock
from orchestrator_svc.core.card import Card

_log: Final = structlog.get_logger(__name__)

_CONNECT_SECONDS: Final = 1.0
_REPLY_SECONDS: Final = 2.0
_START_SECONDS: Final = 3.0
"""How long a start waits for the first copy."""
_RECONCILE_SECONDS: Final = 1.0
"""A change whose notice was lost is seen after this."""
_LEAST_WAIT_SECONDS: Final = 0.01
_CANCEL_SECONDS: Final = 0.1
_FIRST_PAUSE_SECONDS: Final = 0.1
_LONGEST_PAUSE_SECONDS: Final = 1.0
"""Between attempts to reach the server again."""

_FAILURES: Final = (RedisError, OSError)
"""TimeoutError is an OSError."""


class RedisAgentStore:
    """Implements `AgentStore` over one server, which many stores share.

    Args:
        url: `redis://`, `rediss://` or `unix://`.
        shown_url: The same without a password, for people.
        clock: Of this process: the times of the server are translated to it.
    """

    def __init__(self, url: str, shown_url: str, clock: Clock) -> None:
        self._redis: Redis = Redis.from_url(
            url,
            decode_responses=True,
            socket_connect_timeout=_CONNECT_SECONDS,
            socket_timeout=_REPLY_SECONDS,
            retry=Retry(NoBackoff(), 1),  # a connection of before a restart is found broken when it is used
        )
        self._leases = RedisLeases(self._redis)
        self._shown_url = shown_url
        self._clock = clock
        self._time = ServerTime(clock)
        self._table = LeaseTable()
        self._cards: dict[str, Card] = {}
        """The cards of the table, by digest."""
        self._unusable: set[str] = set()
        """Digests of cards that leases name, and that cannot be read."""
        self._kept: dict[str, Registration] = {}
        """By lease: what the server no longer has, and stays until `expires_at`."""
        self._trouble = ""
        self._fetching = asyncio.Lock()
        self._fetches_begun = 0
        self._fetches_done = 0
        self._following: asyncio.Task[None] | None = None
        self._closed = False

    async def start(self) -> None:
        """Begin to follow the server; returns with the first copy of what it has, or soon without one."""
        try:
            async with asyncio.timeout(_START_SECONDS):
                await self.refresh()
        except _FAILURES as error:
            self._lost(error)
        self._following = asyncio.create_task(self._follow_always(), name="registry")

    async def close(self) -> None:
        """Leave the server; what was registered stays there."""
        self._closed = True
        while self._following is not None and not self._following.done():
            self._following.cancel()  # more than once: the client may take a cancellation for its own time-out
            await asyncio.wait({self._following}, timeout=_CANCEL_SECONDS)
        await self._redis.aclose()

    async def put(self, registration: Registration) -> Registration:
        card = registration.card
        try:
            now, lease = await self._leases.put(
                registration.lease_id,
                registration.address,
                card.digest,
                card.source,
                round(registration.ttl_seconds * 1000),
            )
        except _FAILURES as error:
            raise self._unavailable(error) from error
        self._cards.setdefault(card.digest, card)
        with suppress(*_FAILURES):  # it is registered, whether it is listed here by now or in a moment
            await self.refresh()
        return self._registration(lease, card, now)

    async def renew(self, lease_id: str) -> Registration | None:
        try:
            renewed = await self._leases.renew(lease_id)
        except _FAILURES as error:
            raise self._unavailable(error) from error
        if renewed is None:
            return None
        known = self._table.get(lease_id)
        if known is None:
            await self._refresh_or_refuse()
            return self._table.get(lease_id)
        now, lease = renewed
        registration = self._registration(lease, known.card, now)
        self._table.prolong(registration)
        return registration

    async def remove(self, lease_id: str) -> bool:
        try:
            removed = await self._leases.remove(lease_id)
        except _FAILURES as error:
            raise self._unavailable(error) from error
        self._kept.pop(lease_id, None)
        self._table.remove(lease_id)
        with suppress(*_FAILURES):
            await self.refresh()
        return removed

    def listing(self) -> Listing:
        return self._table.listing()

    @property
    def trouble(self) -> str:
        return self._trouble

    async def changed(self, revision: int) -> None:
        while self._table.listing().revision == revision:
            await self._table.next_change()

    async def refresh(self) -> None:
        """Make the copy what the server has, at a moment after this call began; calls at the same time share one.

        Raises:
            RedisError, OSError: The server cannot be reached.
        """
        needed = self._fetches_begun + 1
        async with self._fetching:
            if self._fetches_done >= needed:
                return
            self._fetches_begun += 1
            this = self._fetches_begun
            try:
                now, leases = await self._leases.all()
                await self._read_cards({lease.card_digest for lease in leases})
            except _FAILURES as error:
                self._lost(error)
                raise
            self._found()
            self._table.replace(self._with_kept(self._registrations(leases, now)))
            self._cards = {one.card.digest: one.card for one in self._table.listing().registrations}
            self._fetches_done = this

    # --- following the server ----------------------------------------------------------------------------------------

    async def _follow_always(self) -> None:
        pause = _FIRST_PAUSE_SECONDS
        while not self._closed:
            try:
                async with self._redis.pubsub() as notices:
                    await notices.subscribe(CHANGES)
                    while not self._closed:
                        await self.refresh()
                        pause = _FIRST_PAUSE_SECONDS
                        await self._next_notice(notices)
            except _FAILURES as error:
                self._lost(error)
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    async def _next_notice(self, notices: PubSub) -> None:
        """Return with the next notice, or when it is time to look; what else has come by then is read as well."""
        expiry = self._table.listing().next_expiry
        left = _RECONCILE_SECONDS if expiry is None else (expiry - self._clock.now()).total_seconds()
        wait = min(max(left, _LEAST_WAIT_SECONDS), _RECONCILE_SECONDS)
        while await notices.get_message(timeout=wait):
            wait = 0.0

    async def _refresh_or_refuse(self) -> None:
        try:
            await self.refresh()
        except _FAILURES as error:
            raise self._unavailable(error) from error

    async def _read_cards(self, digests: set[str]) -> None:
        missing = digests - self._cards.keys()
        found = await self._leases.cards(missing)
        self._cards.update(found)
        unusable = missing - found.keys()
        for digest in unusable - self._unusable:
            _log.warning("a card in the registry's store cannot be used", card_digest=digest)
        self._unusable = unusable

    def _registrations(self, leases: Iterable[StoredLease], now: int) -> list[Registration]:
        return [
            self._registration(lease, card, now)
            for lease in leases
            if (card := self._cards.get(lease.card_digest)) is not None
        ]

    def _with_kept(self, found: list[Registration]) -> list[Registration]:
        """Endpoints that the server has lost stay for a while; at an address that it has, what it has counts."""
        addresses = {registration.address for registration in found}
        now = self._clock.now()
        self._kept = {
            lease_id: registration
            for lease_id, registration in self._kept.items()
            if registration.expires_at > now and registration.address not in addresses
        }
        return [*found, *self._kept.values()]

    # --- the server, lost and found ----------------------------------------------------------------------------------

    def _lost(self, error: BaseException) -> None:
        if not self._trouble:
            since = self._clock.now().isoformat(timespec="seconds")
            self._trouble = f"the store at {self._shown_url} cannot be reached; agents are listed as of {since}"
            _log.warning("registry store lost", url=self._shown_url, error=_text(error), agents=len(self._cards))

    def _found(self) -> None:
        if self._trouble:
            self._trouble = ""
            now = self._clock.now()
            self._kept = {
                one.lease_id: replace(one, expires_at=now + timedelta(seconds=one.ttl_seconds / 2))
                for one in self._table.listing().registrations
            }
            _log.info("registry store found", url=self._shown_url)

    def _unavailable(self, error: BaseException) -> RegistryUnavailable:
        self._lost(error)
        return RegistryUnavailable(f"the registry's store at {self._shown_url} cannot be reached; try again")

    def _registration(self, lease: StoredLease, card: Card, server_now: int) -> Registration:
        self._time.is_now(server_now)
        return Registration(
            lease_id=lease.lease_id,
            card=card,
            address=lease.address,
            ttl_seconds=lease.ttl / 1000,
            registered_at=self._time.moment(lease.registered),
            last_heartbeat_at=self._time.moment(lease.heartbeat),
            expires_at=self._time.moment(lease.ends),
        )


def _text(error: BaseException) -> str:
    return str(error) or type(error).__name__
