"""Endpoints in a store, without the rules of a registration."""

from __future__ import annotations

from datetime import timedelta
from itertools import count

from orchestrator_svc.app.ports.agent_store import AgentStore, Endpoint, Registration
from orchestrator_svc.app.ports.clock import Clock
from orchestrator_svc.core.card import Card

_leases = count(1)

YEAR_SECONDS = 365 * 86_400.0


async def list_endpoint(
    store: AgentStore, clock: Clock, address: str, card: Card, ttl_seconds: float = YEAR_SECONDS
) -> Endpoint:
    """List an endpoint under a lease of its own, in place of what was listed at its address."""
    moment = clock.now()
    registration = Registration(
        lease_id=f"{next(_leases):032x}",
        card=card,
        address=address,
        ttl_seconds=ttl_seconds,
        registered_at=moment,
        last_heartbeat_at=moment,
        expires_at=moment + timedelta(seconds=ttl_seconds),
    )
    return (await store.put(registration)).endpoint


async def unlist(store: AgentStore, endpoint: Endpoint) -> None:
    """End its lease."""
    await store.remove(endpoint.lease_id)
