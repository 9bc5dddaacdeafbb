"""Keeps plans in this process."""

from __future__ import annotations

from dataclasses import dataclass

from cachetools import TLRUCache

from agentmesh.jsonvalues import canonical
from orchestrator_svc.app.ports.clock import Clock
from orchestrator_svc.app.ports.plan_store import StoredPlan


@dataclass(frozen=True, slots=True)
class _Entry:
    stored: StoredPlan
    ttl_seconds: float
    size_bytes: int


class MemoryPlanStore:
    """Implements `PlanStore`.

    Args:
        max_bytes: Of all plans, as JSON.
        clock: For their time.
    """

    def __init__(self, max_bytes: int, clock: Clock) -> None:
        self._max_bytes = max_bytes
        self._entries: TLRUCache[str, _Entry] = TLRUCache(
            max_bytes,
            ttu=lambda _key, entry, now: now + entry.ttl_seconds,
            timer=clock.monotonic,
            getsizeof=lambda entry: entry.size_bytes,
        )

    async def get(self, key: str) -> StoredPlan | None:
        entry = self._entries.get(key)
        return None if entry is None else entry.stored

    async def put(self, key: str, stored: StoredPlan, ttl_seconds: float) -> None:
        size = len(canonical(stored.plan)) + len(stored.planner) + len(key)
        if size <= self._max_bytes:
            self._entries[key] = _Entry(stored, ttl_seconds, size)
