"""The same question is routed once: what "the same" is, what is kept, and who waits for whom."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from agentmesh.cards import Effect
from agentmesh.deadline import Deadline
from agentmesh.errors import BudgetExceeded, EffectNotAllowed, LlmUnavailable, MeshError
from agentmesh.jsonvalues import JsonObject
from orchestrator_svc.app.ledger import Ledger
from orchestrator_svc.app.plan_cache import NO_AGENT_SECONDS, PlanCache
from orchestrator_svc.app.ports.planner import PlanSource, Question, Role, Routing, Turn
from orchestrator_svc.app.request import CacheMode, RunRequest
from orchestrator_svc.app.run import Run
from orchestrator_svc.app.scope import Scope
from orchestrator_svc.core.budget import Budget
from orchestrator_svc.core.catalog import Catalog
from orchestrator_svc.core.verdict import RunOutcome
from tests.app.conftest import skill
from tests.app.mesh import Mesh, mesh
from tests.app.skills import ONE, answers
from tests.fakes.plan_store import KeptPlans
from tests.fakes.planner import FixedPlanner

TTL = 3600.0


def planner(*steps: JsonObject) -> FixedPlanner:
    return FixedPlanner(steps or [ONE], identity="fixed-model, first prompt")


async def a_mesh_with(catalog: Catalog, a_planner: FixedPlanner) -> Mesh:
    return await mesh(catalog, a_planner, {"one__read": answers, "two__read": answers})


def asks(query: str = "what is up?", **changes: object) -> RunRequest:
    return RunRequest(Question(query), **changes)  # type: ignore[arg-type]  # fields of the request


# --- what is the same ---


async def test_the_second_time_costs_no_completion_for_routing(catalog: Catalog) -> None:
    a_planner = planner()
    a_mesh = await a_mesh_with(catalog, a_planner)
    first, second = [await a_mesh.answered(asks()) for _ in range(2)]
    assert (first.plan_source, first.ledger.llm_calls) == (PlanSource.LLM, 2)
    assert (second.plan_source, second.ledger.llm_calls, second.planner) == (PlanSource.CACHE, 1, first.planner)
    assert first.plan == second.plan
    assert len(a_planner.questions) == 1


async def test_for_raw_it_costs_none_at_all(catalog: Catalog) -> None:
    a_mesh = await a_mesh_with(catalog, planner())
    await a_mesh.answered(asks())
    assert (await a_mesh.answered(asks(raw=True))).ledger.llm_calls == 0


async def test_a_hit_needs_no_budget_for_a_completion(catalog: Catalog) -> None:
    a_mesh = await a_mesh_with(catalog, planner())
    await a_mesh.answered(asks())
    assert (await a_mesh.answered(asks(raw=True, budget=Budget(llm_calls=0)))).outcome is RunOutcome.COMPLETE


async def test_white_space_makes_no_other_question(catalog: Catalog) -> None:
    a_planner = planner()
    a_mesh = await a_mesh_with(catalog, a_planner)
    await a_mesh.answered(asks("what is  up?"))
    await a_mesh.answered(asks(" what\nis up? "))
    assert len(a_planner.questions) == 1


@pytest.mark.parametrize("marks", ['""', "''", "``", "“”", "«»"])
async def test_white_space_in_quotation_marks_makes_another_question(catalog: Catalog, marks: str) -> None:
    a_planner = planner()
    a_mesh = await a_mesh_with(catalog, a_planner)
    for words in ("one two", "one  two", "one\ntwo"):
        await a_mesh.answered(asks(f"who is called {words.join(marks)}?"))
    assert len(a_planner.questions) == 3


@pytest.mark.parametrize(
    "other",
    [
        asks("What is up?"),
        asks(caller="billing"),
        asks(scope=Scope(frozenset({"one__read"}))),
        asks(scope=Scope(max_effect=Effect.READ_ONLY)),
        asks(cache_mode=CacheMode.BYPASS),
        asks(cache_mode=CacheMode.REFRESH),
        RunRequest(Question("what is up?", (Turn(Role.USER, "hello"),))),
    ],
    ids=["letters", "caller", "allowed skills", "effect", "bypass", "refresh", "history"],
)
async def test_what_may_change_the_plan_is_routed_again(catalog: Catalog, other: RunRequest) -> None:
    a_planner = planner()
    a_mesh = await a_mesh_with(catalog, a_planner)
    await a_mesh.answered(asks())
    assert (await a_mesh.answered(other)).plan_source is PlanSource.LLM
    assert len(a_planner.questions) == 2


async def test_another_catalog_is_another_question(catalog: Catalog) -> None:
    a_planner, cache = planner(), PlanCache(KeptPlans(), TTL, "a planner")
    for skills in (catalog, Catalog.of([*catalog.skills.values(), skill("six__read")])):
        a_mesh = await mesh(skills, a_planner, {"one__read": answers}, cache=cache)
        assert (await a_mesh.answered(asks())).plan_source is PlanSource.LLM
    assert len(a_planner.questions) == 2


async def test_a_refreshed_plan_is_the_one_that_is_found_next(catalog: Catalog) -> None:
    a_planner = planner()
    a_mesh = await a_mesh_with(catalog, a_planner)
    await a_mesh.answered(asks())
    a_planner.steps = [{**ONE, "id": "other"}]
    await a_mesh.answered(asks(cache_mode=CacheMode.REFRESH))
    found = await a_mesh.answered(asks())
    assert found.plan is not None
    assert (found.plan_source, [step.id for step in found.plan.steps]) == (PlanSource.CACHE, ["other"])


async def test_a_bypassed_plan_is_not_kept(catalog: Catalog) -> None:
    a_planner = planner()
    a_mesh = await a_mesh_with(catalog, a_planner)
    await a_mesh.answered(asks(cache_mode=CacheMode.BYPASS))
    await a_mesh.answered(asks())
    assert len(a_planner.questions) == 2


# --- what is kept ---


@pytest.mark.parametrize(
    ("argument", "question", "kept"),
    [
        ("2026-11-21", "what was yesterday?", False),
        ("2026-11-21", "what was on 2026-11-21?", True),
        (1_795_000_000, "since yesterday", False),
        ("${now - duration('24h')}", "since yesterday", True),
        ("checkout", "since yesterday", True),
    ],
)
async def test_a_plan_with_a_time_that_the_question_does_not_name_is_not_kept(
    catalog: Catalog, argument: str | int, question: str, *, kept: bool
) -> None:
    a_planner = planner({**ONE, "arguments": {"x": argument}})
    a_mesh = await a_mesh_with(catalog, a_planner)
    for _ in range(2):
        await a_mesh.answered(asks(question))
    assert len(a_planner.questions) == (1 if kept else 2)


async def test_that_no_skill_fits_is_believed_for_a_minute_at_most(catalog: Catalog) -> None:
    store = KeptPlans()
    cache = PlanCache(store, TTL, "a planner")
    for steps in ([], [ONE]):
        a_mesh = await mesh(catalog, FixedPlanner(steps, identity="x"), {"one__read": answers}, cache=cache)
        await a_mesh.answered(asks(str(steps)))
    assert store.ttls == [NO_AGENT_SECONDS, TTL]


async def test_a_plan_that_fails_is_not_kept(catalog: Catalog) -> None:
    a_planner = planner({"id": "a", "skill": "one__red"})
    a_mesh = await a_mesh_with(catalog, a_planner)
    for _ in range(2):
        with pytest.raises(MeshError):
            await a_mesh.answered(asks())
    assert len(a_planner.questions) == 2


async def test_a_plan_that_changes_more_than_is_allowed_is_not_kept(catalog: Catalog) -> None:
    a_planner = planner({"id": "a", "skill": "four__write"})
    a_mesh = await a_mesh_with(catalog, a_planner)
    with pytest.raises(EffectNotAllowed):
        await a_mesh.answered(asks())
    a_planner.steps = [ONE]
    assert (await a_mesh.answered(asks())).outcome is RunOutcome.COMPLETE
    assert len(a_planner.questions) == 2


async def test_a_kept_plan_that_is_not_sound_any_more_is_made_anew(catalog: Catalog) -> None:
    store = KeptPlans(spoil={"steps": [{"id": "a", "skill": "one__gone"}]})
    a_planner = planner()
    a_mesh = await mesh(catalog, a_planner, {"one__read": answers}, cache=PlanCache(store, TTL, "a planner"))
    for _ in range(2):
        assert (await a_mesh.answered(asks())).plan_source is PlanSource.LLM


async def test_a_planner_whose_plans_cost_nothing_is_asked_each_time(catalog: Catalog) -> None:
    a_planner = FixedPlanner([ONE])
    a_mesh = await a_mesh_with(catalog, a_planner)
    for _ in range(2):
        await a_mesh.answered(asks())
    assert len(a_planner.questions) == 2


# --- who waits for whom ---


@dataclass
class GatedPlanner:
    """Plans when it is let."""

    identity: str | None = "gated"
    asked: int = 0
    failures: int = 0
    """How many of the first plans fail."""
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    open: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled: int = 0

    async def route(self, question: Question, catalog: Catalog, ledger: Ledger, deadline: Deadline) -> Routing:
        ledger.claim_completion()
        self.asked += 1
        self.begun.set()
        try:
            await self.open.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.asked <= self.failures:
            raise LlmUnavailable("down")
        return Routing({"steps": [ONE]}, PlanSource.LLM, "gated-model")


async def gated(catalog: Catalog, a_planner: GatedPlanner, count: int) -> list[asyncio.Task[Run]]:
    """So many who ask the same and wait for its plan."""
    a_mesh = await mesh(catalog, a_planner, {"one__read": answers})
    tasks = [asyncio.create_task(a_mesh.answered(asks())) for _ in range(count)]
    await a_planner.begun.wait()
    await asyncio.sleep(0)
    return tasks


async def test_fifty_who_ask_the_same_make_one_routing_call(catalog: Catalog) -> None:
    a_planner = GatedPlanner()
    tasks = await gated(catalog, a_planner, 50)
    a_planner.open.set()
    runs = await asyncio.gather(*tasks)
    assert a_planner.asked == 1
    assert sorted(run.plan_source or "" for run in runs) == ["CACHE"] * 49 + ["LLM"]
    assert sorted(run.ledger.llm_calls for run in runs) == [1] * 49 + [2]


async def test_the_one_who_began_may_leave_and_the_others_get_their_plan(catalog: Catalog) -> None:
    a_planner = GatedPlanner()
    tasks = await gated(catalog, a_planner, 3)
    tasks[0].cancel()
    with pytest.raises(asyncio.CancelledError):
        await tasks[0]
    a_planner.open.set()
    assert {(await task).outcome for task in tasks[1:]} == {RunOutcome.COMPLETE}
    assert (a_planner.asked, a_planner.cancelled) == (1, 0)


async def test_when_all_have_left_nobody_plans_and_the_next_begins_anew(catalog: Catalog) -> None:
    a_planner = GatedPlanner()
    a_mesh = await mesh(catalog, a_planner, {"one__read": answers})
    first = asyncio.create_task(a_mesh.answered(asks()))
    await a_planner.begun.wait()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    second = asyncio.create_task(a_mesh.answered(asks()))
    a_planner.open.set()
    assert (await second).plan_source is PlanSource.LLM
    assert (a_planner.asked, a_planner.cancelled) == (2, 1)


async def test_a_plan_that_fails_for_the_first_is_made_once_more_for_the_others(catalog: Catalog) -> None:
    a_planner = GatedPlanner(failures=1)
    tasks = await gated(catalog, a_planner, 20)
    a_planner.open.set()
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert a_planner.asked == 2
    assert sum(isinstance(one, LlmUnavailable) for one in ended) == 1


async def test_a_provider_that_is_down_is_asked_twice_and_not_once_for_each(catalog: Catalog) -> None:
    a_planner = GatedPlanner(failures=100)
    tasks = await gated(catalog, a_planner, 20)
    a_planner.open.set()
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(one, LlmUnavailable) for one in ended)
    assert a_planner.asked == 2
    about = {one.metadata["run_id"] for one in ended if isinstance(one, LlmUnavailable)}
    assert len(about) == 20, "each caller is told of its own run"


async def test_whoever_waited_for_those_with_too_small_a_budget_makes_its_own(catalog: Catalog) -> None:
    a_planner = GatedPlanner()
    a_mesh = await mesh(catalog, a_planner, {"one__read": answers})
    poor = [
        asyncio.create_task(a_mesh.answered(asks(raw=True, budget=Budget(llm_calls=0), conversation_id=name)))
        for name in ("first", "second")
    ]
    rich = asyncio.create_task(a_mesh.answered(asks(raw=True)))
    a_planner.open.set()
    assert (await rich).plan_source is PlanSource.LLM
    assert all(isinstance(one, BudgetExceeded) for one in await asyncio.gather(*poor, return_exceptions=True))
