"""The time of a question, on a virtual clock: who may use how much of it, to the millisecond.

Every number is a setting; each test moves one and sees the moment move with it. What needs a server, its maximum above
all, is in tests/e2e/test_deadlines.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

import pytest

from agentmesh.deadline import HOP_MARGIN_SECONDS, Deadline
from agentmesh.errors import AllStepsFailed, Code, DeadlineExceeded, LlmUnavailable, MeshError, Unreachable
from agentmesh.jsonvalues import JsonObject
from orchestrator_svc.app.execute import ExecuteLimits
from orchestrator_svc.app.ledger import Ledger
from orchestrator_svc.app.ports.planner import Planner, Question, Routing
from orchestrator_svc.app.ports.synthesizer import Brief, Restart, Synthesizer
from orchestrator_svc.app.retry import RetryPolicy
from orchestrator_svc.app.route import RouteLimits
from orchestrator_svc.app.run import AnswerSource, RunState
from orchestrator_svc.app.synthesize import RENDER_SECONDS, WriteLimits
from orchestrator_svc.core.catalog import Catalog
from orchestrator_svc.core.outcome import StepOutcome, StepReason
from orchestrator_svc.core.verdict import RunOutcome
from tests.app.conftest import skill
from tests.app.mesh import Mesh
from tests.app.mesh import mesh as mesh_of_fakes
from tests.app.skills import ONE, TWO, answers, hangs
from tests.fakes.agent_caller import SkillFunction
from tests.fakes.planner import FixedPlanner, HungPlanner
from tests.fakes.synthesizer import FixedSynthesizer
from tests.fakes.virtual_time import VirtualClock, now, virtual_time

MILLISECOND = 1e-3
AFTER_ONE: JsonObject = {**TWO, "depends_on": ["a"]}


def at(seconds: float) -> object:
    """This moment, to a thousandth of a millisecond."""
    return pytest.approx(seconds, abs=MILLISECOND / 1000)


@dataclass
class Slow:
    """A skill that takes its time, and notes when it was called."""

    seconds: float
    called_at: list[float] = field(default_factory=list)

    async def __call__(self, arguments: JsonObject) -> JsonObject:
        self.called_at.append(now())
        await asyncio.sleep(self.seconds)
        return {}


@dataclass
class Failing:
    """A skill that fails, and notes when it was called."""

    error: MeshError
    called_at: list[float] = field(default_factory=list)

    async def __call__(self, arguments: JsonObject) -> JsonObject:
        self.called_at.append(now())
        raise self.error


@dataclass
class SlowPlanner:
    """Takes its time, and then plans."""

    seconds: float
    planner: Planner
    identity: str | None = None

    async def route(self, question: Question, catalog: Catalog, ledger: Ledger, deadline: Deadline) -> Routing:
        await asyncio.sleep(self.seconds)
        return await self.planner.route(question, catalog, ledger, deadline)


class HungSynthesizer:
    """Gives half an answer, and then nothing."""

    async def write(self, brief: Brief, ledger: Ledger, deadline: Deadline) -> AsyncIterator[str | Restart]:
        yield "half an ans"
        await asyncio.Event().wait()


async def mesh(
    catalog: Catalog,
    planner: Planner,
    skills: Mapping[str, SkillFunction] | None = None,
    *,
    model: Synthesizer | None = None,
    renderer: Synthesizer | None = None,
    route: RouteLimits | None = None,
    execute: ExecuteLimits | None = None,
    write: WriteLimits | None = None,
) -> Mesh:
    """On the virtual clock; offline without a model."""
    return await mesh_of_fakes(
        catalog,
        planner,
        skills or {},
        model=model,
        offline=model is None,
        renderer=renderer,
        route=route,
        execute=execute or ExecuteLimits(skill_timeout_seconds=3600),
        write=write,
        clock=VirtualClock(),
    )


async def fails(a_mesh: Mesh, seconds: float, error: type[MeshError]) -> MeshError:
    with pytest.raises(error) as caught:
        await a_mesh.ask(seconds=seconds)
    return caught.value


# --- ROUTE ---


@virtual_time
@pytest.mark.parametrize(("share", "ends"), [(0.4, 24.0), (0.25, 15.0)])
async def test_routing_gets_its_share_of_the_deadline(catalog: Catalog, share: float, ends: float) -> None:
    a_mesh = await mesh(catalog, HungPlanner(), route=RouteLimits(share_of_deadline=share))
    await fails(a_mesh, 60, LlmUnavailable)
    assert now() == at(ends)


@virtual_time
async def test_a_plan_that_is_made_just_inside_the_share_counts(catalog: Catalog) -> None:
    planner = SlowPlanner(24 - MILLISECOND, FixedPlanner([ONE]))
    a_mesh = await mesh(catalog, planner, {"one__read": answers})
    assert (await a_mesh.ask(seconds=60)).outcome is RunOutcome.COMPLETE


# --- the reserve for synthesis ---


@virtual_time
@pytest.mark.parametrize(
    ("seconds", "limits", "ends"),
    [
        (60, WriteLimits(), 52.0),  # 8 s are less than 30 % of 60 s
        (10, WriteLimits(), 7.0),  # 30 % of 10 s are less than 8 s
        (60, WriteLimits(reserve_seconds=5), 55.0),
        (10, WriteLimits(reserve_share=0.5), 5.0),
    ],
)
async def test_the_steps_leave_a_reserve_for_writing_the_answer(
    catalog: Catalog, seconds: float, limits: WriteLimits, ends: float
) -> None:
    model = FixedSynthesizer(["written"])
    skills = {"one__read": answers, "two__read": hangs}
    a_mesh = await mesh(catalog, FixedPlanner([ONE, TWO]), skills, model=model, write=limits)
    run = await a_mesh.ask(seconds=seconds)
    assert now() == at(ends)
    assert (run.outcome, run.answer_source) == (RunOutcome.PARTIAL, AnswerSource.LLM)
    assert run.steps["b"].outcome.kind is StepOutcome.TIMED_OUT


@virtual_time
async def test_the_reserve_is_a_share_of_what_routing_left(catalog: Catalog) -> None:
    planner = SlowPlanner(4, FixedPlanner([ONE, TWO]))
    skills = {"one__read": answers, "two__read": hangs}
    a_mesh = await mesh(catalog, planner, skills, model=FixedSynthesizer(["written"]))
    await a_mesh.ask(seconds=14)
    assert now() == at(14 - 0.3 * (14 - 4))


@virtual_time
@pytest.mark.parametrize("raw", [True, False], ids=["raw", "offline"])
async def test_raw_and_offline_keep_nothing_back_but_the_margins_of_the_hops(catalog: Catalog, *, raw: bool) -> None:
    skills = {"one__read": answers, "two__read": hangs}
    a_mesh = await mesh(catalog, FixedPlanner([ONE, TWO]), skills, model=FixedSynthesizer(["written"]) if raw else None)
    run = await a_mesh.ask(seconds=10, raw=raw)
    assert now() == at(10 - 2 * HOP_MARGIN_SECONDS)
    assert run.outcome is RunOutcome.PARTIAL
    assert run.answer == ("" if raw else "rendered")


# --- the attempts at a skill ---


@virtual_time
@pytest.mark.parametrize("limit", [2.0, 5.0])
async def test_a_skill_gets_its_timeout_for_each_attempt(catalog: Catalog, limit: float) -> None:
    retry = RetryPolicy(max_attempts=3, backoff_seconds=0.5)
    limits = ExecuteLimits(skill_timeout_seconds=limit, retry=retry)
    slow = Slow(3600)
    a_mesh = await mesh(catalog, FixedPlanner([ONE]), {"one__read": slow}, execute=limits)
    error = await fails(a_mesh, 60, AllStepsFailed)
    assert isinstance(error, AllStepsFailed)
    assert error.code is Code.DEADLINE_EXCEEDED
    assert slow.called_at == [at(0), at(limit + 0.5), at(2 * limit + 0.5 + 1.0)]
    assert now() == at(3 * limit + 0.5 + 1.0)


@virtual_time
async def test_the_card_of_a_skill_may_name_its_timeout(catalog: Catalog) -> None:
    own = Catalog.of([*catalog.skills.values(), skill("six__read", timeout_seconds=1.5)])
    once = ExecuteLimits(skill_timeout_seconds=20, retry=RetryPolicy(max_attempts=1))
    planner = FixedPlanner([ONE, {"id": "c", "skill": "six__read"}])
    a_mesh = await mesh(own, planner, {"one__read": hangs, "six__read": hangs}, execute=once)
    await fails(a_mesh, 60, AllStepsFailed)
    took = {name: record.seconds for name, record in a_mesh.begun[0].steps.items()}
    assert took == {"a": at(20), "c": at(1.5)}


@virtual_time
async def test_a_retry_whose_pause_the_time_does_not_allow_is_not_made(catalog: Catalog) -> None:
    wants_a_pause = Failing(Unreachable("gone", retry_after_seconds=2.0))
    a_mesh = await mesh(catalog, FixedPlanner([ONE]), {"one__read": wants_a_pause})
    await fails(a_mesh, 5, AllStepsFailed)
    assert wants_a_pause.called_at == [at(0), at(2), at(4)]
    wants_a_pause.called_at.clear()
    began = now()
    await fails(a_mesh, 3, AllStepsFailed)
    assert wants_a_pause.called_at == [at(began), at(began + 2)]
    assert now() == at(began + 2)


@virtual_time
async def test_a_step_whose_turn_comes_when_the_time_is_over_is_not_sent(catalog: Catalog) -> None:
    limits = ExecuteLimits(skill_timeout_seconds=3600, max_concurrent_calls=1)
    skills = {"one__read": hangs, "two__read": answers}
    a_mesh = await mesh(catalog, FixedPlanner([ONE, TWO]), skills, model=FixedSynthesizer([]), execute=limits)
    await fails(a_mesh, 10, AllStepsFailed)
    [run] = a_mesh.begun
    outcome = run.steps["b"].outcome
    assert (outcome.kind, outcome.reason, outcome.attempts) == (StepOutcome.TIMED_OUT, StepReason.BUDGET_EXHAUSTED, 0)
    assert [call.step_id for call in a_mesh.caller.started] == ["a"]
    assert run.ledger.agent_calls == 1


@virtual_time
async def test_a_step_that_needs_one_which_timed_out_is_skipped_and_not_sent(catalog: Catalog) -> None:
    a_mesh = await mesh(catalog, FixedPlanner([ONE, AFTER_ONE]), {"one__read": hangs, "two__read": answers})
    await fails(a_mesh, 10, AllStepsFailed)
    assert a_mesh.begun[0].steps["b"].outcome.reason is StepReason.UPSTREAM_FAILED
    assert [call.step_id for call in a_mesh.caller.started] == ["a"]


# --- SYNTHESIZE ---


@virtual_time
@pytest.mark.parametrize("seconds", [60.0, 10.0])
async def test_if_the_model_hangs_while_it_writes_the_renderer_answers_in_time(
    catalog: Catalog, seconds: float
) -> None:
    a_mesh = await mesh(catalog, FixedPlanner([ONE]), {"one__read": answers}, model=HungSynthesizer())
    run = await a_mesh.ask(seconds=seconds)
    assert now() == at(seconds - RENDER_SECONDS)
    assert (run.answer, run.answer_source) == ("rendered", AnswerSource.RENDERED)
    assert run.outcome is RunOutcome.COMPLETE


# --- the whole run ---


@virtual_time
@pytest.mark.parametrize("seconds", [60.0, 0.5])
async def test_a_run_ends_a_margin_before_its_deadline_whatever_hangs(catalog: Catalog, seconds: float) -> None:
    a_mesh = await mesh(catalog, FixedPlanner([ONE]), {"one__read": answers}, renderer=HungSynthesizer())
    error = await fails(a_mesh, seconds, DeadlineExceeded)
    assert now() == at(seconds - HOP_MARGIN_SECONDS)
    [run] = a_mesh.begun
    assert error.metadata["run_id"] == run.id
    assert run.state is RunState.FAILED
    assert a_mesh.runs.admission.inside == 0
    assert a_mesh.runs.tasks == []
