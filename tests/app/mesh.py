"""A mesh whose agents, planner and synthesizers are fakes: every use case, no server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from agentmesh.deadline import Deadline
from agentmesh.jsonvalues import JsonObject
from orchestrator_svc.adapters.memory_agent_store import MemoryAgentStore
from orchestrator_svc.adapters.memory_plan_store import MemoryPlanStore
from orchestrator_svc.adapters.memory_run_store import MemoryRunStore
from orchestrator_svc.adapters.system_clock import SystemClock
from orchestrator_svc.app.admission import Admission
from orchestrator_svc.app.answer import Answering
from orchestrator_svc.app.catalogs import Catalogs
from orchestrator_svc.app.endpoints import Endpoints
from orchestrator_svc.app.execute import ExecuteLimits, Executor
from orchestrator_svc.app.membership import Membership
from orchestrator_svc.app.plan_cache import PlanCache
from orchestrator_svc.app.ports.clock import Clock
from orchestrator_svc.app.ports.planner import Planner, Question
from orchestrator_svc.app.ports.run_store import RunStore
from orchestrator_svc.app.ports.synthesizer import Synthesizer
from orchestrator_svc.app.request import RunRequest
from orchestrator_svc.app.route import RouteLimits, Router
from orchestrator_svc.app.run import Run
from orchestrator_svc.app.runs import Runs
from orchestrator_svc.app.scope import ANY_SKILL, Scope
from orchestrator_svc.app.synthesize import WriteLimits, Writer
from orchestrator_svc.core.budget import NO_LIMITS, Budget
from orchestrator_svc.core.catalog import Catalog
from orchestrator_svc.core.validate import PlanLimits
from tests.fakes.agent_caller import FunctionAgentCaller, SkillFunction
from tests.fakes.agent_dialer import ServedAgents
from tests.fakes.synthesizer import FixedSynthesizer


class ByName:
    """Ranks skills by their ids."""

    def rank(self, query: str, catalog: Catalog) -> tuple[str, ...]:
        return tuple(catalog.skills)


@dataclass
class Mesh:
    runs: Runs
    caller: FunctionAgentCaller
    clock: Clock
    model: FixedSynthesizer
    renderer: FixedSynthesizer
    begun: list[Run] = field(default_factory=list)
    """The runs that `ask` attached to, in order."""

    async def ask(
        self,
        *,
        query: str = "?",
        plan: JsonObject | None = None,
        scope: Scope = ANY_SKILL,
        raw: bool = False,
        seconds: float = 60.0,
    ) -> Run:
        return await self.answered(RunRequest(Question(query), plan, scope=scope, raw=raw), seconds)

    async def answered(self, request: RunRequest, seconds: float = 60.0) -> Run:
        async with self.runs.attached(request, Deadline.after(seconds, self.clock.monotonic)) as attached:
            self.begun.append(attached.run)
            return await attached.ended()


async def mesh(
    catalog: Catalog,
    planner: Planner,
    skills: Mapping[str, SkillFunction],
    *,
    model: Synthesizer | None = None,
    offline: bool = False,
    renderer: Synthesizer | None = None,
    route: RouteLimits | None = None,
    execute: ExecuteLimits | None = None,
    write: WriteLimits | None = None,
    store: RunStore | None = None,
    clock: Clock | None = None,
    admission: Admission | None = None,
    budget: Budget = NO_LIMITS,
    cache: PlanCache | None = None,
) -> Mesh:
    """Offline there is no model, and the renderer writes every answer."""
    caller = FunctionAgentCaller(skills)
    writes = FixedSynthesizer(["written ", "by a model"])
    renders = FixedSynthesizer(["rendered"], completions=0)
    clock = clock or SystemClock()
    catalogs = await catalogs_of(catalog, clock)
    store = store or MemoryRunStore(10, clock=clock, replay_seconds=60)
    answering = Answering(
        catalogs=catalogs,
        router=Router(
            planner,
            ByName(),
            cache or PlanCache(MemoryPlanStore(1_000_000, clock), 3600, planner.identity),
            route or RouteLimits(),
        ),
        executor=Executor(caller, execute or ExecuteLimits(), jitter=lambda: 1.0),
        writer=Writer(None if offline else model or writes, renderer or renders, write or WriteLimits()),
        store=store,
        limits=PlanLimits(),
    )
    runs = Runs(answering, store, clock, admission or Admission(100, 0), budget)
    return Mesh(runs, caller, clock, writes, renders)


async def catalogs_of(catalog: Catalog, clock: Clock) -> Catalogs:
    """The agents whose skills make the catalog, each listed at one address."""
    served = ServedAgents()
    store = MemoryAgentStore(clock)
    membership = Membership(store, clock, served)
    agents: dict[str, list[JsonObject]] = {}
    for skill in catalog.skills.values():
        agents.setdefault(skill.agent, []).append(
            {
                "name": skill.name,
                "description": skill.description,
                "input_schema": skill.input_schema,
                "output_schema": skill.output_schema,
                "effect": skill.effect.value,
                "tags": [],
                "examples": [],
                "timeout_seconds": skill.timeout_seconds,
                "reports_progress": False,
            }
        )
    for name, skills in agents.items():
        card: JsonObject = {"name": name, "version": "1.0.0", "description": "", "skills": list(skills)}
        served.serve(f"fake:{name}", card)
        await membership.register(card, f"fake:{name}")
    return Catalogs(Endpoints(store, clock), clock)
