"""The architecture on one screen: route -> execute -> synthesize.

At most one completion to route and one to write; between them the plan runs without any.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial
from typing import Final

from agentmesh.deadline import HOP_MARGIN_SECONDS, Deadline
from agentmesh.errors import PlanInvalid, summary_of
from agentmesh.jsonvalues import OFF_LOOP_BYTES, JsonObject
from orchestrator_svc.app.catalogs import Catalogs
from orchestrator_svc.app.execute import Executor
from orchestrator_svc.app.ports.planner import PlanSource
from orchestrator_svc.app.ports.run_store import RunStore
from orchestrator_svc.app.route import Router
from orchestrator_svc.app.run import Run
from orchestrator_svc.app.synthesize import Writer
from orchestrator_svc.app.tracing import planning
from orchestrator_svc.core.catalog import Catalog
from orchestrator_svc.core.plan import Plan
from orchestrator_svc.core.validate import PlanLimits, PlanRejected, validate
from orchestrator_svc.core.verdict import judge

_STEPS_MARGIN_SECONDS: Final = 2 * HOP_MARGIN_SECONDS
"""The run ends one margin before its deadline, and its steps one before that: a step that hangs is then a step that
timed out, and what the others found is not lost."""


@dataclass(frozen=True, slots=True)
class Answering:
    """Answers questions, runs plans, and shows what it would do."""

    catalogs: Catalogs
    router: Router
    executor: Executor
    writer: Writer
    store: RunStore
    limits: PlanLimits

    async def answer(self, run: Run, deadline: Deadline) -> None:
        """Note in the run what its request comes to: one plan, its steps, one answer."""
        catalog = self.catalogs.catalog()
        plan = run.plan or await self._plan_of(run, catalog, deadline)
        await self.store.put(run)  # should this process end now, a repetition of the request executes this plan
        reserve = self.writer.reserve(deadline, raw=run.request.raw)
        await self.executor.execute(run, plan, deadline.earlier(max(reserve, _STEPS_MARGIN_SECONDS)))
        run.outcome = judge(plan, run.outcomes)
        await self.writer.write(run, plan, run.request.scope.usable(catalog), deadline)

    async def plan(self, run: Run, deadline: Deadline) -> Catalog:
        """Only route: look before you run. Returns the catalog that the plan was made for."""
        catalog = self.catalogs.catalog()
        await self._plan_of(run, catalog, deadline)
        return catalog

    async def _plan_of(self, run: Run, catalog: Catalog, deadline: Deadline) -> Plan:
        source = run.request.plan
        with planning(run, catalog):
            if source is None:
                return await self.router.route(run, catalog, deadline)
            plan = await self._checked(source, catalog, run)
            run.planned(plan, PlanSource.CALLER, "caller")
            return plan

    async def _checked(self, source: JsonObject, catalog: Catalog, run: Run) -> Plan:
        """Check a plan; a large one in a thread, because a megabyte takes a fifth of a second."""
        scope = run.request.scope
        check = partial(validate, source, scope.of(catalog), self.limits)
        try:
            plan = await asyncio.to_thread(check) if run.request.plan_bytes > OFF_LOOP_BYTES else check()
        except PlanRejected as rejected:
            raise PlanInvalid(summary_of(rejected.violations), violations=rejected.violations) from rejected
        scope.check(plan)
        return plan
