"""The architecture on one screen: route -> execute -> synthesize.

At most one completion to route and one to write; between them the plan runs without any.
"""

from __future__ import annotations

from dataclasses import dataclass

from agentmesh.deadline import Deadline
from agentmesh.errors import PlanInvalid, summary_of
from agentmesh.jsonvalues import JsonObject
from orchestrator_svc.app.execute import Executor
from orchestrator_svc.app.membership import Membership
from orchestrator_svc.app.ports.planner import PlanSource
from orchestrator_svc.app.route import Router, Scope
from orchestrator_svc.app.run import Run
from orchestrator_svc.app.runs import Runs
from orchestrator_svc.app.synthesize import Writer
from orchestrator_svc.core.catalog import Catalog
from orchestrator_svc.core.plan import Plan
from orchestrator_svc.core.validate import PlanLimits, PlanRejected, validate
from orchestrator_svc.core.verdict import judge


@dataclass(frozen=True, slots=True)
class Answering:
    """Answers questions, runs plans, and shows what it would do."""

    runs: Runs
    membership: Membership
    router: Router
    executor: Executor
    writer: Writer
    limits: PlanLimits

    async def ask(self, run: Run, scope: Scope, deadline: Deadline, *, raw: bool) -> None:
        """Answer the question of a run: one plan, its steps, one answer."""
        async with self.runs.open(run, deadline):
            catalog = self.membership.catalog()
            plan = await self.router.route(run, catalog, scope, deadline)
            await self._carry_out(run, plan, scope.usable(catalog), deadline, raw=raw)

    async def execute_plan(self, run: Run, source: JsonObject, scope: Scope, deadline: Deadline, *, raw: bool) -> None:
        """Run the caller's plan: no routing."""
        async with self.runs.open(run, deadline):
            catalog = self.membership.catalog()
            run.plan = self._checked(source, catalog, scope)
            run.plan_source, run.planner = PlanSource.CALLER, "caller"
            await self._carry_out(run, run.plan, scope.usable(catalog), deadline, raw=raw)

    async def plan(self, run: Run, scope: Scope, deadline: Deadline) -> Catalog:
        """Only route: look before you run, so nothing is remembered. Returns the catalog that the plan was made for."""
        catalog = self.membership.catalog()
        await self.router.route(run, catalog, scope, deadline)
        return catalog

    async def _carry_out(self, run: Run, plan: Plan, usable: Catalog, deadline: Deadline, *, raw: bool) -> None:
        reserve = self.writer.reserve(deadline, raw=raw)
        await self.executor.execute(run, plan, deadline.earlier(reserve))
        run.outcome = judge(plan, run.outcomes)
        await self.writer.write(run, plan, usable, deadline, raw=raw)

    def _checked(self, source: JsonObject, catalog: Catalog, scope: Scope) -> Plan:
        try:
            plan = validate(source, scope.of(catalog), self.limits)
        except PlanRejected as rejected:
            raise PlanInvalid(summary_of(rejected.violations), violations=rejected.violations) from rejected
        scope.check(plan)
        return plan
