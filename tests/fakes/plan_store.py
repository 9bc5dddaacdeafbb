"""Plans that are kept as they were put, or spoiled."""

from __future__ import annotations

from dataclasses import dataclass, field

from agentmesh.jsonvalues import JsonObject
from orchestrator_svc.app.ports.plan_store import StoredPlan


@dataclass
class KeptPlans:
    """Implements `PlanStore` without bounds; remembers for how long plans were to be kept."""

    spoil: JsonObject | None = None
    """What is given instead of each plan."""
    plans: dict[str, StoredPlan] = field(default_factory=dict)
    ttls: list[float] = field(default_factory=list)

    async def get(self, key: str) -> StoredPlan | None:
        stored = self.plans.get(key)
        return stored if stored is None or self.spoil is None else StoredPlan(self.spoil, stored.planner)

    async def put(self, key: str, stored: StoredPlan, ttl_seconds: float) -> None:
        self.plans[key] = stored
        self.ttls.append(ttl_seconds)
