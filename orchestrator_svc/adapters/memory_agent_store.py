"""Keeps registrations in this process; they are gone with it, and agents register again when a heartbeat fails."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from orchestrator_svc.app.ports.agent_store import Listing, Registration
from orchestrator_svc.app.ports.clock import Clock


class MemoryAgentStore:
    """Implements `AgentStore` for one process. A lease that ended is found out whenever somebody looks."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._by_agent: dict[str, Registration] = {}
        self._agents: dict[str, str] = {}
        """Agent by lease id."""
        self._revision = 0
        self._listing: Listing | None = None
        self._next_expiry: datetime | None = None

    async def put(self, registration: Registration) -> None:
        earlier = self._by_agent.get(registration.card.name)
        if earlier is not None:
            del self._agents[earlier.lease_id]
        self._by_agent[registration.card.name] = registration
        self._agents[registration.lease_id] = registration.card.name
        self._changed()

    async def renew(self, lease_id: str) -> Registration | None:
        self._expire()
        agent = self._agents.get(lease_id)
        if agent is None:
            return None
        now = self._clock.now()
        registration = self._by_agent[agent]
        renewed = replace(
            registration, last_heartbeat_at=now, expires_at=now + timedelta(seconds=registration.ttl_seconds)
        )
        self._by_agent[agent] = renewed
        self._listing = None
        return renewed

    async def remove(self, lease_id: str) -> None:
        agent = self._agents.pop(lease_id, None)
        if agent is not None:
            del self._by_agent[agent]
            self._changed()

    def listing(self) -> Listing:
        self._expire()
        if self._listing is None:
            ordered = tuple(self._by_agent[agent] for agent in sorted(self._by_agent))
            self._listing = Listing(self._revision, ordered)
            self._next_expiry = self._listing.next_expiry
        return self._listing

    def _expire(self) -> None:
        now = self._clock.now()
        if self._listing is not None and (self._next_expiry is None or now < self._next_expiry):
            return
        for agent, registration in list(self._by_agent.items()):
            if registration.expires_at <= now:
                del self._by_agent[agent]
                del self._agents[registration.lease_id]
                self._changed()

    def _changed(self) -> None:
        self._revision += 1
        self._listing = None
