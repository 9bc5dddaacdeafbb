"""What an orchestrator measures of its work: names, units, exact attributes and values; no ids and no free text."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import ref

import pytest

from agentmesh.deadline import Deadline
from agentmesh.errors import AllStepsFailed, LeaseNotFound, MeshError, NotFound, Overloaded
from agentmesh.jsonvalues import JsonObject
from orchestrator_svc.adapters.memory_agent_store import MemoryAgentStore
from orchestrator_svc.app.addresses import AllowedAddresses
from orchestrator_svc.app.admission import Admission
from orchestrator_svc.app.endpoints import Endpoints
from orchestrator_svc.app.membership import Membership
from orchestrator_svc.app.plan_cache import PlanCache
from orchestrator_svc.app.ports.agent_store import AgentStore
from orchestrator_svc.app.ports.planner import Question
from orchestrator_svc.app.request import RunRequest
from orchestrator_svc.core.catalog import Catalog
from tests.app.listed import list_endpoint
from tests.app.mesh import Mesh, mesh
from tests.app.skills import ONE, TWO, answers, failing
from tests.app.test_admission import settled
from tests.app.test_membership import card as card_of
from tests.core.test_deployments import card
from tests.fakes.agent_dialer import ServedAgents
from tests.fakes.clock import ManualClock
from tests.fakes.plan_store import KeptPlans
from tests.fakes.planner import FixedPlanner
from tests.telemetry.recording import Metrics, Spans

DURATION, CALLS = "gen_ai.workflow.duration", "agentmesh.llm.calls_per_ask"
OVERHEAD, STEPS = "agentmesh.overhead.duration", "agentmesh.steps"
CACHE, ACTIVE, SHED = "agentmesh.plan_cache", "agentmesh.asks.active", "agentmesh.asks.shed"
ENDPOINTS, CHANGES = "agentmesh.registry.endpoints", "agentmesh.registry.changes"
CACHED = "fixed-model, first prompt"
NEVER: JsonObject = {**TWO, "when": "a.got != null"}


async def a_mesh(catalog: Catalog, *steps: JsonObject, cache: PlanCache | None = None, **changes: object) -> Mesh:
    planner = FixedPlanner(steps or [ONE], identity=CACHED)
    skills = {"one__read": answers, "two__read": answers, "three__read": failing(NotFound("gone"))}
    return await mesh(catalog, planner, skills, cache=cache, **changes)  # type: ignore[arg-type]  # its arguments


# --- runs ---


async def test_a_run_is_measured_by_mode_and_outcome(catalog: Catalog, metrics: Metrics) -> None:
    await (await a_mesh(catalog, ONE, TWO)).ask()
    duration = metrics.only(DURATION)
    assert (duration.attributes, duration.count) == ({"agentmesh.mode": "parallel", "agentmesh.outcome": "complete"}, 1)
    overhead = metrics.only(OVERHEAD)
    assert (overhead.attributes, overhead.count) == ({"agentmesh.mode": "parallel"}, 1)
    assert 0 <= overhead.value < duration.value
    for name in (DURATION, OVERHEAD):
        assert metrics.unit(name) == "s"
    assert (duration.bounds[0], duration.bounds[-1]) == (overhead.bounds[0], overhead.bounds[-1]) == (0.001, 60.0)


async def test_what_is_measured_of_a_run_leads_to_its_trace(catalog: Catalog, spans: Spans, metrics: Metrics) -> None:
    await (await a_mesh(catalog)).ask()
    workflow = spans.only("invoke_workflow").get_span_context()
    assert workflow is not None
    assert metrics.only(DURATION).trace_ids == [workflow.trace_id]


@pytest.mark.parametrize(
    ("steps", "attributes"),
    [
        ((), {"agentmesh.mode": "none", "agentmesh.outcome": "no_agent"}),
        ((ONE, {"id": "c", "skill": "three__read"}), {"agentmesh.mode": "parallel", "agentmesh.outcome": "partial"}),
    ],
    ids=["no agent", "partial"],
)
async def test_other_outcomes_are_told_apart(
    catalog: Catalog, metrics: Metrics, steps: tuple[JsonObject, ...], attributes: dict[str, str]
) -> None:
    skills = {"one__read": answers, "three__read": failing(NotFound("gone"))}
    await (await mesh(catalog, FixedPlanner(steps), skills)).ask()
    assert metrics.only(DURATION).attributes == attributes


async def test_a_run_that_fails_is_measured_and_its_overhead_is_not(catalog: Catalog, metrics: Metrics) -> None:
    with pytest.raises(AllStepsFailed):
        await (await a_mesh(catalog, {"id": "c", "skill": "three__read"})).ask()
    assert metrics.only(DURATION).attributes == {"agentmesh.mode": "single", "agentmesh.outcome": "failed"}
    assert metrics.points(OVERHEAD) == []


async def test_a_run_that_fails_before_it_has_a_plan_has_no_mode(catalog: Catalog, metrics: Metrics) -> None:
    with pytest.raises(MeshError):
        await (await a_mesh(catalog, {"id": "x", "skill": "one__gone"})).ask()
    assert metrics.only(DURATION).attributes == {"agentmesh.outcome": "failed"}
    calls = metrics.only(CALLS)
    assert (calls.attributes, calls.value) == ({}, 1)


async def test_a_run_whose_caller_leaves_is_cancelled(catalog: Catalog, metrics: Metrics) -> None:
    called = asyncio.Event()

    async def hangs(arguments: JsonObject) -> JsonObject:
        called.set()
        await asyncio.Event().wait()
        return {}

    left = await mesh(catalog, FixedPlanner([ONE]), {"one__read": hangs})
    asking = asyncio.create_task(left.ask())
    await called.wait()
    assert metrics.only(ACTIVE).value == 1
    asking.cancel()
    await asyncio.wait([asking])
    await left.runs.close()
    assert metrics.only(DURATION).attributes == {"agentmesh.mode": "single", "agentmesh.outcome": "cancelled"}
    assert metrics.values(STEPS, "agentmesh.step.outcome") == {"cancelled": 1}
    assert metrics.points(ACTIVE) == []


# --- completions ---


async def test_an_ask_with_two_completions_records_two(catalog: Catalog, metrics: Metrics) -> None:
    await (await a_mesh(catalog)).ask()
    calls = metrics.only(CALLS)
    assert (calls.attributes, calls.value, calls.count) == ({"agentmesh.plan.source": "llm"}, 2, 1)
    assert calls.bounds == tuple(range(11))
    assert metrics.unit(CALLS) == "{call}"


async def test_from_the_cache_it_is_one_and_raw_none(catalog: Catalog, metrics: Metrics) -> None:
    ran = await a_mesh(catalog)
    await ran.ask()
    metrics.clear()
    await ran.ask()
    await ran.ask(raw=True)
    calls = metrics.only(CALLS)
    assert (calls.attributes, calls.value, calls.count) == ({"agentmesh.plan.source": "cache"}, 1, 2)


async def test_a_plan_of_the_caller_costs_the_writing_alone(catalog: Catalog, metrics: Metrics) -> None:
    await (await a_mesh(catalog)).ask(plan={"steps": [ONE]})
    assert metrics.only(CALLS).attributes == {"agentmesh.plan.source": "caller"}
    assert metrics.only(CALLS).value == 1


# --- steps ---


async def test_steps_are_counted_by_agent_and_outcome(catalog: Catalog, metrics: Metrics) -> None:
    await (await a_mesh(catalog, ONE, NEVER, {"id": "c", "skill": "three__read"})).ask()
    counted = {
        (point.attributes["gen_ai.agent.name"], point.attributes["agentmesh.step.outcome"]): point.value
        for point in metrics.points(STEPS)
    }
    assert counted == {("one", "succeeded"): 1, ("two", "skipped"): 1, ("three", "failed"): 1}
    assert {frozenset(point.attributes) for point in metrics.points(STEPS)} == {
        frozenset({"gen_ai.agent.name", "agentmesh.step.outcome"})
    }
    assert metrics.unit(STEPS) == "{step}"


# --- kept plans ---


async def test_a_look_up_among_kept_plans_misses_then_hits(catalog: Catalog, metrics: Metrics) -> None:
    ran = await a_mesh(catalog)
    for _ in range(3):
        await ran.ask()
    assert metrics.values(CACHE, "agentmesh.cache.result") == {"miss": 1, "hit": 2}
    assert {frozenset(point.attributes) for point in metrics.points(CACHE)} == {frozenset({"agentmesh.cache.result"})}
    assert metrics.unit(CACHE) == "{lookup}"


async def test_a_kept_plan_that_is_not_sound_any_more_is_stale(catalog: Catalog, metrics: Metrics) -> None:
    store = KeptPlans(spoil={"steps": [{"id": "a", "skill": "one__gone"}]})
    ran = await a_mesh(catalog, cache=PlanCache(store, 60, CACHED))
    for _ in range(2):
        await ran.ask()
    assert metrics.values(CACHE, "agentmesh.cache.result") == {"miss": 1, "stale": 1}


async def test_a_plan_that_is_not_kept_is_not_looked_up(catalog: Catalog, metrics: Metrics) -> None:
    await (await mesh(catalog, FixedPlanner([ONE]), {"one__read": answers})).ask()
    assert metrics.points(CACHE) == []


# --- admission ---


async def test_who_is_inside_is_active_and_who_is_refused_is_shed(catalog: Catalog, metrics: Metrics) -> None:
    admission = Admission(1, 0)
    full = await a_mesh(catalog, admission=admission)
    await admission.enter(Deadline.never())
    assert (metrics.only(ACTIVE).attributes, metrics.only(ACTIVE).value) == ({}, 1)
    for _ in range(2):
        with pytest.raises(Overloaded):
            await full.ask()
    assert (metrics.only(SHED).attributes, metrics.only(SHED).value) == ({}, 2)
    admission.leave()
    assert metrics.points(ACTIVE) == []
    await full.ask()
    assert metrics.points(ACTIVE) == []
    assert (metrics.unit(ACTIVE), metrics.unit(SHED)) == ("{ask}", "{ask}")
    assert metrics.points(DURATION)[0].count == 1, "who is refused is no run"


async def test_a_place_that_is_handed_on_stays_taken(metrics: Metrics) -> None:
    admission = Admission(1, 30)
    await admission.enter(Deadline.never())
    waiting = asyncio.create_task(admission.enter(Deadline.never()))
    await settled()
    admission.leave()
    await waiting
    assert metrics.only(ACTIVE).value == 1
    admission.leave()
    assert metrics.points(ACTIVE) == []


async def test_who_waits_and_is_cancelled_with_a_place_in_hand_gives_it_back(metrics: Metrics) -> None:
    admission = Admission(1, 30)
    await admission.enter(Deadline.never())
    waiting = asyncio.create_task(admission.enter(Deadline.never()))
    await settled()
    admission.leave()
    waiting.cancel()
    await asyncio.wait([waiting])
    assert (admission.inside, metrics.points(ACTIVE)) == (0, [])


async def test_a_plan_that_is_only_looked_at_is_active_too(catalog: Catalog, metrics: Metrics) -> None:
    admission = Admission(1, 0)
    ran = await a_mesh(catalog, admission=admission)
    await ran.runs.plan(RunRequest(Question("?")), Deadline.after(30))
    assert metrics.points(ACTIVE) == []
    assert metrics.points(DURATION) == []
    assert metrics.unit(ACTIVE) == "{ask}"


# --- the registry ---


class Registered:
    """A membership over a store, and the agents that it finds when it calls back."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.agents = ServedAgents()
        self.store = MemoryAgentStore(self.clock)
        allowed = AllowedAddresses.of(["host"])
        self.membership = Membership(self.store, self.clock, self.agents, allowed)


async def test_who_joins_leaves_expires_or_is_refused_is_counted(metrics: Metrics) -> None:
    ground = Registered()
    for port in (1, 2, 3):
        ground.agents.serve(f"host:{port}", card_of("one"))
    left, kept, _ = [await ground.membership.register(card_of("one"), f"host:{port}") for port in (1, 2, 3)]
    for _ in range(2):  # the second time there is nothing to leave
        await ground.membership.deregister(left.lease_id)
    ground.clock.advance(10)
    await ground.membership.heartbeat(kept.lease_id)
    ground.clock.advance(10)
    for name, address in (("one", "elsewhere:1"), ("one", "host:9"), ("two", "host:2")):
        with pytest.raises(MeshError):
            await ground.membership.register(card_of(name), address)
    ground.clock.advance(10)
    with pytest.raises(LeaseNotFound):
        await ground.membership.heartbeat(kept.lease_id)
    counted = metrics.values(CHANGES, "agentmesh.registry.change")
    assert counted == {"joined": 3, "left": 1, "expired": 2, "refused": 3}
    assert all(set(point.attributes) == {"agentmesh.registry.change"} for point in metrics.points(CHANGES))
    assert metrics.unit(CHANGES) == "{change}"


@asynccontextmanager
async def followed(endpoints: Endpoints) -> AsyncIterator[None]:
    following = asyncio.create_task(endpoints.follow())
    await asyncio.sleep(0)
    yield
    following.cancel()
    await asyncio.wait([following])


def shown(metrics: Metrics) -> dict[tuple[object, object], float]:
    points = metrics.points(ENDPOINTS)
    assert all(set(point.attributes) == {"gen_ai.agent.name", "agentmesh.endpoint.state"} for point in points)
    return {
        (point.attributes["gen_ai.agent.name"], point.attributes["agentmesh.endpoint.state"]): point.value
        for point in points
    }


async def listing(store: AgentStore, clock: ManualClock, *addresses: str) -> None:
    for address in addresses:
        await list_endpoint(store, clock, address, card())


async def test_endpoints_are_shown_by_agent_and_state_while_somebody_follows_them(metrics: Metrics) -> None:
    clock = ManualClock()
    store = MemoryAgentStore(clock)
    endpoints = Endpoints(store, clock)
    await listing(store, clock, "host:1", "host:2", "host:3")
    async with followed(endpoints):
        assert shown(metrics) == {("one", "serving"): 3}
        endpoints.report_health(next(iter(endpoints.listed())), serving=False)
        assert shown(metrics) == {("one", "serving"): 2, ("one", "not_serving"): 1}
        assert metrics.unit(ENDPOINTS) == "{endpoint}"
    assert shown(metrics) == {}


async def test_a_state_that_no_endpoint_is_in_and_an_agent_that_has_left_are_said_to_be_0(metrics: Metrics) -> None:
    clock = ManualClock()
    store = MemoryAgentStore(clock)
    await listing(store, clock, "host:1")
    async with followed(Endpoints(store, clock)):
        points = [point for point in metrics.told(ENDPOINTS) if point.attributes["gen_ai.agent.name"] == "one"]
        told = {point.attributes["agentmesh.endpoint.state"]: point.value for point in points}
        assert told == {"serving": 1, "not_serving": 0, "silent": 0, "ejected": 0}
    for _ in ("one who collects", "another"):
        gone = [point for point in metrics.told(ENDPOINTS) if point.attributes["gen_ai.agent.name"] == "one"]
        assert [point.value for point in gone] == [0, 0, 0, 0]


async def test_a_look_at_the_metrics_from_another_thread_changes_nothing(metrics: Metrics) -> None:
    clock = ManualClock()
    store = MemoryAgentStore(clock)
    endpoints = Endpoints(store, clock)
    async with followed(endpoints):
        await listing(store, clock, "host:1")
        before = store.listing().revision
        # Who is listed is found out in the event loop alone: the thread sees what was seen there last.
        assert await asyncio.to_thread(shown, metrics) in ({}, {("one", "serving"): 1})
        clock.advance(10**9)
        assert await asyncio.to_thread(shown, metrics) == {("one", "serving"): 1}
        assert endpoints.revision > 0
        assert store.listing().revision > before
        assert await asyncio.to_thread(shown, metrics) == {}


async def test_what_several_orchestrators_of_a_process_see_is_shown_once(metrics: Metrics) -> None:
    clock = ManualClock()
    shared, other = MemoryAgentStore(clock), MemoryAgentStore(clock)
    await listing(shared, clock, "host:1", "host:2")
    await listing(other, clock, "host:1")
    async with followed(Endpoints(shared, clock)), followed(Endpoints(shared, clock)):
        assert shown(metrics) == {("one", "serving"): 2}
        async with followed(Endpoints(other, clock)):
            assert shown(metrics) == {("one", "serving"): 3}
        assert shown(metrics) == {("one", "serving"): 2}


async def test_endpoints_that_nobody_follows_any_more_are_not_kept_alive() -> None:
    endpoints = Endpoints(MemoryAgentStore(ManualClock()), ManualClock())
    gone = ref(endpoints)
    async with followed(endpoints):
        pass
    del endpoints
    await asyncio.sleep(0)
    gc.collect()
    assert gone() is None
