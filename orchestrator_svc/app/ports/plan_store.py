"""Keeps plans for questions that are asked again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from agentmesh.jsonvalues import JsonObject


@dataclass(frozen=True, slots=True)
class StoredPlan:
    """A plan in the plan language, and who made it."""

    plan: JsonObject
    planner: str


class PlanStore(Protocol):
    """Bounded in bytes: what was not used for the longest time is forgotten first. A cache: it may forget anything, and
    where it cannot be reached it knows nothing.
    """

    async def get(self, key: str) -> StoredPlan | None:
        """The plan that is kept under the key; None if there is none, or its time is over."""
        ...

    async def put(self, key: str, stored: StoredPlan, ttl_seconds: float) -> None:
        """Keep a plan for so long, in the place of an earlier one."""
        ...
