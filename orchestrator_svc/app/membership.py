"""Who is in the mesh: endpoints come with a lease, stay while they send heartbeats, or leave."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from datetime import timedelta

import structlog

from agentmesh.cards import card_digest
from agentmesh.errors import CardConflict, CardMismatch, LeaseNotFound, MeshError, RegistryUnavailable, summary_of
from agentmesh.jsonvalues import JsonObject
from orchestrator_svc.app import metrics
from orchestrator_svc.app.addresses import EVERY_ADDRESS, AllowedAddresses
from orchestrator_svc.app.metrics import Change
from orchestrator_svc.app.ports.agent_dialer import AgentDialer
from orchestrator_svc.app.ports.agent_store import AgentStore, Listing, Registration
from orchestrator_svc.app.ports.clock import Clock
from orchestrator_svc.core.card import Card, read_card
from orchestrator_svc.core.card_changes import contract_changes
from orchestrator_svc.core.card_differences import card_differences

_log = structlog.get_logger(__name__)

DEFAULT_TTL_SECONDS = 15.0
HEARTBEATS_PER_TTL = 3


class Membership:
    """Registers endpoints and shows who is listed.

    Args:
        store: Keeps the leases.
        clock: Gives the times of registrations.
        dialer: Calls an address back before it is listed.
        allowed: The addresses that may be called.
    """

    def __init__(
        self, store: AgentStore, clock: Clock, dialer: AgentDialer, allowed: AllowedAddresses = EVERY_ADDRESS
    ) -> None:
        self._store = store
        self._clock = clock
        self._dialer = dialer
        self._allowed = allowed

    async def register(self, card: JsonObject, address: str, ttl_seconds: float | None = None) -> Registration:
        """List an endpoint until its lease ends; what is refused changes nothing.

        Args:
            card: In the form of `agentmesh.card_messages.card_to_json`.
            address: gRPC target of the endpoint.
            ttl_seconds: How long the lease lasts without a heartbeat; None: 15 s.

        Raises:
            CardInvalid: With everything that is wrong with the card.
            AddressNotAllowed: The address may not be called.
            AddressUnreachable: No agent serves there.
            CardMismatch: The agent that serves there has another card.
            CardConflict: A listed endpoint gives the same version of the agent another contract.
            RegistryUnavailable: The store cannot be reached.
        """
        try:
            registration = await self._registered(card, address, ttl_seconds or DEFAULT_TTL_SECONDS)
        except RegistryUnavailable:
            raise
        except MeshError:
            metrics.registry_changed(Change.REFUSED)
            raise
        metrics.registry_changed(Change.JOINED)
        listed = registration.card
        _log.info(
            "agent registered", agent=listed.name, version=listed.version, address=address, skills=len(listed.skills)
        )
        return registration

    async def _registered(self, card: JsonObject, address: str, ttl: float) -> Registration:
        wanted = read_card(card)
        self._allowed.check(address)
        await self._check_who_is_at(address, wanted)
        _check_contract(wanted, self._others(address))
        now = self._clock.now()
        registration = await self._store.put(
            Registration(
                lease_id=secrets.token_hex(16),
                card=wanted,
                address=address,
                ttl_seconds=ttl,
                registered_at=now,
                last_heartbeat_at=now,
                expires_at=now + timedelta(seconds=ttl),
            )
        )
        await self._check_who_came_at_the_same_time(registration)
        return registration

    async def heartbeat(self, lease_id: str) -> Registration:
        """Prolong a lease.

        Raises:
            LeaseNotFound: It ended, or was replaced, or another process gave it.
        """
        registration = await self._store.renew(lease_id)
        if registration is None:
            raise LeaseNotFound("no such lease; register again")
        return registration

    async def deregister(self, lease_id: str) -> None:
        """End a lease; fine if it had ended."""
        if await self._store.remove(lease_id):
            metrics.registry_changed(Change.LEFT)

    async def changed_since(self, revision: int) -> None:
        """Return when the revision of the listing is another than this; at once if it is. Any number may wait."""
        await self._store.changed(revision)

    def listing(self) -> Listing:
        """Who is listed now."""
        return self._store.listing()

    async def _check_who_is_at(self, address: str, card: Card) -> None:
        found = await self._dialer.card_at(address)
        if card_digest(found) == card.digest:
            return
        if (found["name"], found["version"]) == (card.name, card.version):
            where = card_differences(card.source, found)
            raise CardMismatch(
                f"`{card.name}` {card.version} serves at {address}, and describes itself otherwise: {where}"
            )
        raise CardMismatch(
            f"`{found['name']}` {found['version']} serves at {address}, and not `{card.name}` {card.version}"
        )

    async def _check_who_came_at_the_same_time(self, registration: Registration) -> None:
        """Two orchestrators may have listed two contracts at once: then the one that came first stays."""
        place = (registration.registered_at, registration.lease_id)
        others = self._others(registration.address)
        try:
            _check_contract(registration.card, [one for one in others if (one.registered_at, one.lease_id) < place])
        except CardConflict:
            await self._store.remove(registration.lease_id)
            raise

    def _others(self, address: str) -> list[Registration]:
        """What was listed at the address itself is gone, as the call back has shown."""
        return [one for one in self._store.listing().registrations if one.address != address]


def _check_contract(card: Card, listed: Iterable[Registration]) -> None:
    violations = contract_changes(card, (registration.card for registration in listed))
    if violations:
        raise CardConflict(
            f"{summary_of(violations)}; give the agent a new version, or end the endpoints that run the other one",
            violations=violations,
        )
