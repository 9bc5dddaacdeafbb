"""What a budget does to a run, over fakes: what is not done any more, what the run comes to, what it says it spent."""

from __future__ import annotations

import asyncio

import pytest

from agentmesh.errors import AllStepsFailed, BudgetExceeded, NotFound, Unreachable
from agentmesh.jsonvalues import Json, JsonObject
from orchestrator_svc.app.ports.planner import Question
from orchestrator_svc.app.request import RunRequest
from orchestrator_svc.app.run import AnswerSource, Run, RunState
from orchestrator_svc.core.budget import NO_LIMITS, Budget
from orchestrator_svc.core.catalog import Catalog
from orchestrator_svc.core.outcome import StepOutcome, StepReason
from orchestrator_svc.core.verdict import RunOutcome
from tests.app.mesh import Mesh, mesh
from tests.app.skills import ONE, TWO, answers, failing
from tests.fakes.agent_caller import SkillFunction
from tests.fakes.clock import ManualClock
from tests.fakes.planner import FixedPlanner

TEN: list[JsonObject] = [{"id": f"s{number}", "skill": "one__read"} for number in range(10)]


async def budgeted(
    catalog: Catalog, steps: list[JsonObject], server: Budget = NO_LIMITS, one: SkillFunction = answers
) -> Mesh:
    skills = {"one__read": one, "two__read": answers}
    return await mesh(catalog, FixedPlanner(steps), skills, budget=server, clock=ManualClock())


async def ask(a_mesh: Mesh, *, raw: bool = False, plan: JsonObject | None = None, **budget: float) -> Run:
    limits = Budget(**budget)  # type: ignore[arg-type]  # fields by name
    return await a_mesh.answered(RunRequest(Question("?"), plan, raw=raw, budget=limits))


def limits(error: BudgetExceeded) -> list[str]:
    return [violation.path for violation in error.violations]


def reasons(run: Run) -> list[StepReason]:
    return [outcome.reason for outcome in run.outcomes.values() if outcome.reason is not None]


async def test_parallel_steps_make_the_agent_calls_of_the_budget_and_no_more(catalog: Catalog) -> None:
    together = asyncio.Barrier(3)

    async def waits_for_the_others(arguments: JsonObject) -> JsonObject:
        await together.wait()
        return {}

    a_mesh = await budgeted(catalog, TEN, one=waits_for_the_others)
    run = await ask(a_mesh, agent_calls=3)
    assert len(a_mesh.caller.started) == run.ledger.agent_calls == 3
    assert reasons(run) == [StepReason.BUDGET_EXCEEDED] * 7
    assert sum(outcome.attempts for outcome in run.outcomes.values()) == 3
    assert (run.state, run.outcome, run.answer_source) == (RunState.FINISHED, RunOutcome.PARTIAL, AnswerSource.LLM)


async def test_items_are_agent_calls_and_those_that_were_made_are_results(catalog: Catalog) -> None:
    items: list[Json] = [*range(10)]
    a_mesh = await budgeted(catalog, [{**ONE, "for_each": items, "arguments": {"x": "${item}"}}])
    run = await ask(a_mesh, agent_calls=4)
    each = run.outcomes["a"].items or ()
    assert [item.kind for item in each].count(StepOutcome.SUCCEEDED) == len(a_mesh.caller.started) == 4
    assert {item.reason for item in each if not item.succeeded} == {StepReason.BUDGET_EXCEEDED}
    assert run.outcome is RunOutcome.PARTIAL


async def test_a_call_that_could_not_be_sent_is_not_spent(catalog: Catalog) -> None:
    nobody: JsonObject = {"id": "n", "skill": "three__read", "optional": True}
    a_mesh = await budgeted(catalog, [nobody, {**ONE, "when": "!has(n.x)"}])
    run = await ask(a_mesh, agent_calls=1)
    assert run.outcomes["n"].reason is StepReason.NO_ENDPOINT
    assert (run.outcomes["a"].succeeded, run.ledger.agent_calls) == (True, 1)


async def test_without_a_result_the_run_ends_with_the_budget(catalog: Catalog) -> None:
    a_mesh = await budgeted(catalog, [ONE, {**TWO, "depends_on": ["a"]}])
    with pytest.raises(BudgetExceeded, match=r"no step succeeded: .* allows 0 agent calls") as raised:
        await ask(a_mesh, agent_calls=0)
    assert limits(raised.value) == ["budget.agent_calls"]
    (run,) = a_mesh.begun
    assert raised.value.metadata["run_id"] == run.id
    assert (run.state, a_mesh.caller.started, run.ledger.llm_calls) == (RunState.FAILED, [], 1)
    assert reasons(run) == [StepReason.BUDGET_EXCEEDED, StepReason.UPSTREAM_FAILED]


async def test_a_failure_beside_the_budget_is_told_as_a_failure(catalog: Catalog) -> None:
    a_mesh = await budgeted(catalog, [ONE, {**TWO, "when": "!has(a.x)"}], one=failing(NotFound("no")))
    with pytest.raises(AllStepsFailed, match="`a`: AGENT_ERROR: no"):
        await ask(a_mesh, agent_calls=1)
    assert reasons(a_mesh.begun[0]) == [StepReason.AGENT_ERROR, StepReason.BUDGET_EXCEEDED]


async def test_without_a_completion_there_is_no_plan(catalog: Catalog) -> None:
    a_mesh = await budgeted(catalog, [ONE])
    with pytest.raises(BudgetExceeded) as raised:
        await ask(a_mesh, llm_calls=0)
    assert limits(raised.value) == ["budget.llm_calls"]
    assert (a_mesh.begun[0].ledger.llm_calls, a_mesh.caller.started) == (0, [])


async def test_without_a_second_completion_the_results_are_rendered_and_the_answer_is_partial(catalog: Catalog) -> None:
    a_mesh = await budgeted(catalog, [ONE])
    run = await ask(a_mesh, llm_calls=1)
    assert (run.outcome, run.answer, run.answer_source) == (RunOutcome.PARTIAL, "rendered", AnswerSource.RENDERED)
    assert [brief.over_budget for brief in a_mesh.renderer.briefs] == [True]
    assert (run.ledger.llm_calls, a_mesh.model.briefs) == (1, [])


async def test_raw_needs_no_second_completion(catalog: Catalog) -> None:
    run = await ask(await budgeted(catalog, [ONE]), raw=True, llm_calls=1)
    assert (run.outcome, run.answer_source) == (RunOutcome.COMPLETE, AnswerSource.NONE)


async def test_nobody_is_the_answer_to_more_than_a_model(catalog: Catalog) -> None:
    run = await ask(await budgeted(catalog, []), llm_calls=1)
    assert (run.outcome, run.answer_source) == (RunOutcome.NO_AGENT, AnswerSource.RENDERED)


async def test_a_plan_that_the_caller_brings_needs_no_first_one(catalog: Catalog) -> None:
    a_mesh = await budgeted(catalog, [])
    plan: JsonObject = {"steps": [ONE]}
    assert (await ask(a_mesh, plan=plan, llm_calls=1)).answer_source is AnswerSource.LLM
    assert (await ask(a_mesh, plan=plan, llm_calls=0)).outcome is RunOutcome.PARTIAL
    assert (await ask(a_mesh, plan=plan, llm_calls=0, raw=True)).outcome is RunOutcome.COMPLETE


@pytest.mark.parametrize(("server", "caller", "calls"), [(2, 5, 2), (5, 2, 2), (2, None, 2), (None, 2, 2)])
async def test_the_smaller_of_the_callers_budget_and_the_servers_holds(
    catalog: Catalog, server: int | None, caller: int | None, calls: int
) -> None:
    a_mesh = await budgeted(catalog, TEN, Budget(agent_calls=server))
    run = await a_mesh.answered(RunRequest(Question("?"), budget=Budget(agent_calls=caller)))
    assert run.ledger.agent_calls == len(a_mesh.caller.started) == calls


async def test_a_second_attempt_spends_the_budget_too_and_what_it_forbids_is_not_the_cause(catalog: Catalog) -> None:
    a_mesh = await budgeted(catalog, [ONE], one=failing(Unreachable("gone")))
    with pytest.raises(AllStepsFailed, match="`a`: AGENT_UNAVAILABLE: gone"):
        await ask(a_mesh, agent_calls=2)
    assert len(a_mesh.caller.started) == a_mesh.begun[0].ledger.agent_calls == 2
