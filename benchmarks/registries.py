"""What big registries cost: 100, 1,000 and 10,000 skills, ten of them an agent.

    .venv/bin/python -m benchmarks.registries [rounds]

Each size is measured in a process of its own. Printed are medians of 20 rounds with their ranges, in milliseconds, and
the memory that the registry took there. Nothing goes over the network: the address of a registration is not dialled.

register       one more agent of ten skills, from its card as JSON to a listed endpoint
snapshot       the listing, after that change
catalog        the skills of all that are listed, after that change
fingerprint    of that catalog: the skills that were there have theirs
tools, cold    the tools of one Ask with a catalog that was never asked: all texts are indexed
tools, cached  the same for the next Ask
"""

from __future__ import annotations

import asyncio
import gc
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Final, TypeVar, cast

import psutil

from agentmesh.jsonvalues import JsonObject
from agentmesh.telemetry.logs import configure_logs
from orchestrator_svc.adapters.bm25_skill_ranker import Bm25SkillRanker
from orchestrator_svc.adapters.memory_agent_store import MemoryAgentStore
from orchestrator_svc.adapters.system_clock import SystemClock
from orchestrator_svc.app.catalogs import Catalogs
from orchestrator_svc.app.endpoints import Endpoints
from orchestrator_svc.app.membership import Membership
from orchestrator_svc.app.scope import ANY_SKILL
from orchestrator_svc.core.catalog import Catalog
from orchestrator_svc.core.tools import Toolbox
from tests.fakes.agent_dialer import ServedAgents

SIZES: Final = (100, 1_000, 10_000)
_SKILLS_AN_AGENT: Final = 10
_MAX_TOOLS: Final = 20
_THINGS: Final = ("order", "stock", "forecast", "invoice", "customer", "shipment", "price", "device", "alert", "refund")
_TOLD: Final = ("status", "history", "total", "average", "location", "owner", "priority")
_QUESTION: Final = "what is the status of the shipment for that customer?"

_Value = TypeVar("_Value")
_Row = dict[str, list[float]]


def _card(number: int) -> JsonObject:
    skills: list[object] = [_skill(number, place) for place in range(_SKILLS_AN_AGENT)]
    return cast(
        "JsonObject",
        {"name": f"agent_{number}", "version": "1.0.0", "description": f"Agent {number}.", "skills": skills},
    )


def _skill(number: int, place: int) -> JsonObject:
    thing = _THINGS[(number + place) % len(_THINGS)]
    told = _TOLD[(number * 3 + place) % len(_TOLD)]
    return {
        "name": f"get_{thing}_{told}_{place}",
        "description": f"Give the {told} of a {thing} in region {number}, by its id.",
        "effect": "READ_ONLY",
        "input_schema": {
            "type": "object",
            "properties": {f"{thing}_id": {"type": "string", "description": f"Id of the {thing}."}},
            "required": [f"{thing}_id"],
            "additionalProperties": False,
        },
        "output_schema": {
            "type": "object",
            "properties": {told: {"type": "string"}, "updated_at": {"type": "string"}},
            "required": [told],
        },
        "tags": [thing],
        "examples": [f"What is the {told} of {thing} 'A-{number}'?", f"{told} of my {thing}"],
        "timeout_seconds": None,
        "reports_progress": False,
    }


class _Registry:
    """A registry of one process, to which agents come."""

    def __init__(self) -> None:
        clock = SystemClock()
        store = MemoryAgentStore(clock)
        self._served = ServedAgents()
        self._store = store
        self._membership = Membership(store, clock, self._served)
        self._catalogs = Catalogs(Endpoints(store, clock), clock)
        self.agents = 0

    async def add(self) -> None:
        card, address = _card(self.agents), f"10.{self.agents >> 16}.{self.agents >> 8 & 255}.{self.agents & 255}:50051"
        self.agents += 1
        self._served.serve(address, card)
        await self._membership.register(card, address, 3600)

    def snapshot(self) -> object:
        return self._store.listing()

    def catalog(self) -> Catalog:
        return self._catalogs.known()


def _timed(row: _Row, name: str, work: Callable[[], _Value]) -> _Value:
    started = time.perf_counter()
    value = work()
    row.setdefault(name, []).append((time.perf_counter() - started) * 1000)
    return value


def _tools(ranker: Bm25SkillRanker, toolbox: Toolbox, catalog: Catalog) -> object:
    """As `Router` does it."""
    usable = ANY_SKILL.usable(catalog)
    return toolbox.tools(usable.only(ranker.rank(_QUESTION, usable)[:_MAX_TOOLS]))


async def _measure(skills: int, rounds: int) -> JsonObject:
    configure_logs(level="warning", stream=sys.stderr)
    gc.collect()
    before = psutil.Process().memory_info().rss
    registry, row = _Registry(), cast("_Row", {})
    while registry.agents * _SKILLS_AN_AGENT < skills:
        await registry.add()
    ranker, toolbox = Bm25SkillRanker(), Toolbox()
    _tools(ranker, toolbox, registry.catalog())
    gc.collect()
    memory = psutil.Process().memory_info().rss - before
    for _ in range(rounds):
        started = time.perf_counter()
        await registry.add()
        row.setdefault("register", []).append((time.perf_counter() - started) * 1000)
        _timed(row, "snapshot", registry.snapshot)
        catalog = _timed(row, "catalog", registry.catalog)
        _timed(row, "fingerprint", lambda catalog=catalog: catalog.fingerprint)  # type: ignore[misc]  # bound now
        _timed(row, "tools, cold", lambda catalog=catalog: _tools(ranker, toolbox, catalog))  # type: ignore[misc]
        _timed(row, "tools, cached", lambda catalog=catalog: _tools(ranker, toolbox, catalog))  # type: ignore[misc]
    return cast("JsonObject", {"memory_mib": memory / 2**20, "row": row})


def _shown(values: list[float]) -> str:
    return f"{statistics.median(values):8.2f}  [{min(values):.2f} to {max(values):.2f}]"


def main(rounds: int) -> None:
    """Print a table for each size."""
    for skills in SIZES:
        arguments = (sys.executable, "-m", "benchmarks.registries", str(rounds), str(skills))
        done = subprocess.run(arguments, check=True, capture_output=True, text=True)  # noqa: S603 - this module
        measured = json.loads(done.stdout)
        print(f"{skills:,} skills of {skills // _SKILLS_AN_AGENT:,} agents, memory {measured['memory_mib']:.1f} MiB")
        for name, values in measured["row"].items():
            print(f"  {name:<14}{_shown(values)} ms")


if __name__ == "__main__":
    wanted = [int(argument) for argument in sys.argv[1:]] or [20]
    if len(wanted) > 1:
        print(json.dumps(asyncio.run(_measure(wanted[1], wanted[0]))))
    else:
        main(wanted[0])
