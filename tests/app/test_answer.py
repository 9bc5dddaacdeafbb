"""Ask, from question to answer, over fakes: outcomes, counts of completions, budgets, what is remembered."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from agentmesh.cards import Effect
from agentmesh.deadline import Deadline
from agentmesh.errors import (
    AllStepsFailed,
    CatalogEmpty,
    Code,
    EffectNotAllowed,
    LlmRefused,
    LlmUnavailable,
    MeshError,
    ModelPlanInvalid,
    NotFound,
    PermissionDenied,
    PlanInvalid,
    RunNotFound,
    SkillFailed,
    UnknownSkill,
    Unreachable,
    ViolationReason,
)
from agentmesh.jsonvalues import JsonObject
from orchestrator_svc.app.ports.planner import PlanSource, Question
from orchestrator_svc.app.ports.synthesizer import Restart
from orchestrator_svc.app.request import ANONYMOUS, RunRequest
from orchestrator_svc.app.route import RouteLimits
from orchestrator_svc.app.run import AnswerSource, RunState
from orchestrator_svc.app.scope import Scope
from orchestrator_svc.core.catalog import Catalog
from orchestrator_svc.core.outcome import StepOutcome, StepReason
from orchestrator_svc.core.verdict import RunOutcome
from tests.app.mesh import mesh
from tests.app.skills import ONE, TWO, answers, failing
from tests.fakes.planner import FixedPlanner
from tests.fakes.synthesizer import FixedSynthesizer


async def test_a_question_is_routed_once_executed_and_answered_once(catalog: Catalog) -> None:
    planner = FixedPlanner([ONE, TWO])
    a_mesh = await mesh(catalog, planner, {"one__read": answers, "two__read": answers})
    run = await a_mesh.ask(query="what is up?")
    assert (run.state, run.outcome) == (RunState.FINISHED, RunOutcome.COMPLETE)
    assert (run.answer, run.answer_source) == ("written by a model", AnswerSource.LLM)
    assert (run.plan_source, run.planner) == (PlanSource.LLM, "fixed-model")
    assert (run.ledger.llm_calls, run.ledger.agent_calls) == (2, 2)
    assert [question.query for question in planner.questions] == ["what is up?"]
    assert a_mesh.renderer.briefs == []


async def test_raw_asks_for_no_text(catalog: Catalog) -> None:
    a_mesh = await mesh(catalog, FixedPlanner([ONE]), {"one__read": answers})
    run = await a_mesh.ask(raw=True)
    assert (run.answer, run.answer_source, run.ledger.llm_calls) == ("", AnswerSource.NONE, 1)
    assert run.timings.synthesize == 0


async def test_no_fitting_skill_is_an_answer_that_says_what_there_is_without_a_second_completion(
    catalog: Catalog,
) -> None:
    a_mesh = await mesh(catalog, FixedPlanner([]), {})
    run = await a_mesh.ask()
    assert (run.outcome, run.answer, run.answer_source) == (RunOutcome.NO_AGENT, "rendered", AnswerSource.RENDERED)
    assert run.ledger.llm_calls == 1
    assert set(a_mesh.renderer.briefs[0].catalog.skills) == set(catalog.skills) - {"four__write"}


async def test_what_there_is_leaves_out_what_the_request_may_not_use(catalog: Catalog) -> None:
    a_mesh = await mesh(catalog, FixedPlanner([]), {})
    await a_mesh.ask(scope=Scope(frozenset({"two__read", "five__store"}), Effect.READ_ONLY))
    await a_mesh.ask(scope=Scope(max_effect=Effect.SIDE_EFFECT))
    shown = [set(brief.catalog.skills) for brief in a_mesh.renderer.briefs]
    assert shown == [{"two__read"}, set(catalog.skills)]


async def test_a_required_step_that_fails_makes_the_answer_partial(catalog: Catalog) -> None:
    a_mesh = await mesh(
        catalog, FixedPlanner([ONE, TWO]), {"one__read": answers, "two__read": failing(NotFound("gone"))}
    )
    run = await a_mesh.ask()
    assert (run.state, run.outcome) == (RunState.FINISHED, RunOutcome.PARTIAL)
    assert a_mesh.model.briefs[0].outcomes["b"].message == "gone"


async def test_an_optional_step_that_fails_leaves_the_answer_complete(catalog: Catalog) -> None:
    a_mesh = await mesh(
        catalog,
        FixedPlanner([ONE, {**TWO, "optional": True}]),
        {"one__read": answers, "two__read": failing(NotFound("gone"))},
    )
    assert (await a_mesh.ask()).outcome is RunOutcome.COMPLETE


@pytest.mark.parametrize(
    ("first", "second", "code"),
    [
        (Unreachable("gone"), Unreachable("gone"), Code.UNAVAILABLE),
        (NotFound("no"), NotFound("no"), Code.NOT_FOUND),
        (PermissionDenied("no"), PermissionDenied("no"), Code.PERMISSION_DENIED),
        (NotFound("no"), PermissionDenied("no"), Code.FAILED_PRECONDITION),
        (Unreachable("gone"), SkillFailed("no"), Code.FAILED_PRECONDITION),
    ],
    ids=["transient", "not-found", "denied", "different", "mixed"],
)
async def test_when_no_step_succeeds_the_code_says_whether_a_retry_can_help(
    catalog: Catalog, first: MeshError, second: MeshError, code: Code
) -> None:
    a_mesh = await mesh(catalog, FixedPlanner([ONE, TWO]), {"one__read": failing(first), "two__read": failing(second)})
    with pytest.raises(AllStepsFailed) as caught:
        await a_mesh.ask()
    [run] = a_mesh.begun
    assert caught.value.code is code
    assert caught.value.metadata["run_id"] == run.id
    assert caught.value.metadata["step_id"] == "a"
    remembered = await a_mesh.runs.get(run.id, ANONYMOUS)
    assert (remembered.state, remembered.error) == (RunState.FAILED, caught.value)
    assert a_mesh.model.briefs == []


@pytest.mark.parametrize("error", [LlmUnavailable("down"), LlmRefused("no key")], ids=["unavailable", "refused"])
async def test_if_synthesis_fails_for_good_the_renderer_answers(catalog: Catalog, error: MeshError) -> None:
    broken = FixedSynthesizer(["half an ans"], error=error)
    a_mesh = await mesh(catalog, FixedPlanner([ONE]), {"one__read": answers}, model=broken)
    run = await a_mesh.ask()
    assert (run.answer, run.answer_source) == ("rendered", AnswerSource.RENDERED)
    assert run.ledger.llm_calls == 2


async def test_a_model_that_writes_nothing_leaves_the_answer_to_the_renderer(catalog: Catalog) -> None:
    a_mesh = await mesh(catalog, FixedPlanner([ONE]), {"one__read": answers}, model=FixedSynthesizer([""]))
    run = await a_mesh.ask()
    assert (run.answer, run.answer_source) == ("rendered", AnswerSource.RENDERED)


async def test_pieces_before_a_restart_are_void(catalog: Catalog) -> None:
    model = FixedSynthesizer(["half an ans", Restart(), "the whole ", "answer"])
    a_mesh = await mesh(catalog, FixedPlanner([ONE]), {"one__read": answers}, model=model)
    assert (await a_mesh.ask()).answer == "the whole answer"


async def test_the_plan_of_a_model_that_is_not_sound_is_our_fault_and_nothing_is_called(catalog: Catalog) -> None:
    steps: Sequence[JsonObject] = [{"id": "a", "skill": "one__red"}, {"id": "b", "skill": "two__read", "when": "x > 1"}]
    a_mesh = await mesh(catalog, FixedPlanner(steps), {"two__read": answers})
    with pytest.raises(ModelPlanInvalid) as caught:
        await a_mesh.ask()
    assert [violation.reason for violation in caught.value.violations] == [
        ViolationReason.SKILL_UNKNOWN,
        ViolationReason.STEP_UNKNOWN,
    ]
    assert a_mesh.caller.started == []


async def test_the_plan_of_a_caller_that_is_not_sound_is_the_callers_fault(catalog: Catalog) -> None:
    a_mesh = await mesh(catalog, FixedPlanner([]), {})
    with pytest.raises(PlanInvalid) as caught:
        await a_mesh.ask(plan={"steps": [{"id": "a"}]}, raw=True)
    assert [violation.path for violation in caught.value.violations] == ["steps[0].skill"]


async def test_a_callers_plan_needs_no_completion_for_raw(catalog: Catalog) -> None:
    a_mesh = await mesh(catalog, FixedPlanner([]), {"one__read": answers})
    run = await a_mesh.ask(plan={"steps": [ONE]}, raw=True)
    assert (run.ledger.llm_calls, run.plan_source, run.outcome) == (0, PlanSource.CALLER, RunOutcome.COMPLETE)


@pytest.mark.parametrize(
    ("skill", "limit", "allowed"),
    [
        ("one__read", Effect.READ_ONLY, True),
        ("five__store", Effect.READ_ONLY, False),
        ("five__store", Effect.IDEMPOTENT, True),
        ("four__write", Effect.IDEMPOTENT, False),
        ("four__write", Effect.SIDE_EFFECT, True),
    ],
)
async def test_skills_above_max_effect_are_not_offered_and_plans_that_use_them_are_refused(
    catalog: Catalog, skill: str, limit: Effect, *, allowed: bool
) -> None:
    planner = FixedPlanner([{"id": "a", "skill": skill}])
    a_mesh = await mesh(catalog, planner, {skill: answers})
    if allowed:
        assert (await a_mesh.ask(scope=Scope(max_effect=limit))).outcome is RunOutcome.COMPLETE
    else:
        with pytest.raises(EffectNotAllowed):
            await a_mesh.ask(scope=Scope(max_effect=limit))
        assert a_mesh.caller.started == []
    assert (skill in planner.offered[0].skills) is allowed


async def test_where_every_skill_is_above_max_effect_nobody_is_asked(catalog: Catalog) -> None:
    planner = FixedPlanner([])
    a_mesh = await mesh(catalog, planner, {})
    with pytest.raises(EffectNotAllowed):
        await a_mesh.ask(scope=Scope(frozenset({"four__write"})))
    assert planner.questions == []


async def test_only_allowed_skills_are_offered(catalog: Catalog) -> None:
    planner = FixedPlanner([])
    a_mesh = await mesh(catalog, planner, {})
    await a_mesh.ask(scope=Scope(frozenset({"two__read"})))
    assert set(planner.offered[0].skills) == {"two__read"}


async def test_an_allowed_skill_that_does_not_exist_is_named_with_the_nearest(catalog: Catalog) -> None:
    a_mesh = await mesh(catalog, FixedPlanner([]), {})
    with pytest.raises(UnknownSkill) as caught:
        await a_mesh.ask(scope=Scope(frozenset({"two__reed"})))
    assert "two__read" in caught.value.violations[0].message


async def test_every_unknown_skill_is_named_and_of_very_many_a_few_are_looked_up(catalog: Catalog) -> None:
    a_mesh = await mesh(catalog, FixedPlanner([]), {})
    with pytest.raises(UnknownSkill) as caught:
        await a_mesh.ask(scope=Scope(frozenset(f"two__reed{number}" for number in range(1000))))
    messages = [violation.message for violation in caught.value.violations]
    assert len(messages) == 1000
    assert sum("did you mean `two__read`" in message for message in messages) == 20


async def test_of_more_skills_than_the_planner_takes_the_best_are_offered(catalog: Catalog) -> None:
    planner = FixedPlanner([])
    a_mesh = await mesh(catalog, planner, {}, route=RouteLimits(max_tools=2))
    await a_mesh.ask()
    assert set(planner.offered[0].skills) == {"five__store", "one__read"}


async def test_without_any_agent_the_caller_is_told_when_to_try_again() -> None:
    a_mesh = await mesh(Catalog.of([]), FixedPlanner([]), {})
    with pytest.raises(CatalogEmpty) as caught:
        await a_mesh.ask()
    assert caught.value.retry_after_seconds is not None


async def test_a_caller_that_leaves_cancels_the_run_and_it_is_remembered_so(catalog: Catalog) -> None:
    begun = asyncio.Event()

    async def hangs(arguments: JsonObject) -> JsonObject:
        begun.set()
        await asyncio.Event().wait()
        return {}

    a_mesh = await mesh(catalog, FixedPlanner([ONE]), {"one__read": hangs})
    task = asyncio.create_task(a_mesh.ask())
    await begun.wait()
    [run] = a_mesh.begun
    assert (await a_mesh.runs.get(run.id, ANONYMOUS)).state is RunState.RUNNING
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await run.journal.closed()
    assert (await a_mesh.runs.get(run.id, ANONYMOUS)).state is RunState.CANCELLED
    outcome = run.steps["a"].outcome
    assert (outcome.kind, outcome.reason) == (StepOutcome.CANCELLED, StepReason.RUN_CANCELLED)
    assert [call.step_id for call in a_mesh.caller.cancelled] == ["a"]


async def test_a_run_that_is_not_remembered_is_not_found(catalog: Catalog) -> None:
    a_mesh = await mesh(catalog, FixedPlanner([]), {})
    with pytest.raises(RunNotFound):
        await a_mesh.runs.get("0" * 32, ANONYMOUS)


async def test_looking_at_a_plan_runs_nothing(catalog: Catalog) -> None:
    a_mesh = await mesh(catalog, FixedPlanner([ONE]), {"one__read": answers})
    run, shown = await a_mesh.runs.plan(RunRequest(Question("?")), Deadline.after(60))
    assert run.plan is not None
    assert [step.id for step in run.plan.steps] == ["a"]
    assert a_mesh.caller.started == []
    assert len(shown.fingerprint) == 64
    with pytest.raises(RunNotFound):
        await a_mesh.runs.get(run.id, ANONYMOUS)
