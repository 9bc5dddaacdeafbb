"""The longest chain of steps that had to follow each other: the least time that a plan could have taken."""

from __future__ import annotations

from collections.abc import Mapping
from graphlib import TopologicalSorter

from orchestrator_svc.core.plan import Plan


def critical_path(plan: Plan, seconds: Mapping[str, float]) -> float:
    """Return the length of the longest chain.

    Args:
        plan: Its edges say what had to wait for what.
        seconds: How long each step took, by id; a step that is missing took none.
    """
    ends: dict[str, float] = {}
    for step_id in TopologicalSorter({step.id: step.needs for step in plan.steps}).static_order():
        begin = max((ends[name] for name in plan.by_id[step_id].needs), default=0.0)
        ends[step_id] = begin + seconds.get(step_id, 0.0)
    return max(ends.values(), default=0.0)
