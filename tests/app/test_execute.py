"""EXECUTE over a fake caller: what starts when, and what each failure becomes."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentmesh.deadline import Deadline
from agentmesh.errors import (
    Code,
    MeshError,
    NotFound,
    PermissionDenied,
    ResultTooLarge,
    ShuttingDown,
    SkillChanged,
    SkillFailed,
    Unreachable,
)
from agentmesh.jsonvalues import JsonObject
from orchestrator_svc.adapters.system_clock import SystemClock
from orchestrator_svc.app.execute import ExecuteLimits, Executor
from orchestrator_svc.app.ports.planner import Question
from orchestrator_svc.app.request import RunRequest
from orchestrator_svc.app.retry import RetryPolicy
from orchestrator_svc.app.run import Run
from orchestrator_svc.core.catalog import Catalog
from orchestrator_svc.core.outcome import Outcome, StepOutcome, StepReason
from orchestrator_svc.core.validate import PlanLimits, validate
from tests.app.conftest import skill
from tests.app.skills import answers, failing, hangs
from tests.fakes.agent_caller import FunctionAgentCaller, SkillFunction

IN_A_MINUTE = 60.0


def new_run() -> Run:
    return Run.begin(RunRequest(Question("?")), SystemClock())


async def execute(
    catalog: Catalog,
    steps: list[JsonObject],
    skills: Mapping[str, SkillFunction],
    *,
    seconds: float = IN_A_MINUTE,
    limits: ExecuteLimits | None = None,
) -> tuple[Run, FunctionAgentCaller]:
    caller = FunctionAgentCaller(skills)
    run = new_run()
    plan = validate({"steps": list(steps)}, catalog, PlanLimits(max_steps=100_000))
    await Executor(caller, limits or ExecuteLimits()).execute(run, plan, Deadline.after(seconds))
    return run, caller


async def test_results_flow_into_the_arguments_of_dependents(catalog: Catalog) -> None:
    run, caller = await execute(
        catalog,
        [
            {"id": "a", "skill": "one__read", "arguments": {"x": 20}},
            {"id": "b", "skill": "two__read", "arguments": {"x": "${a.got}"}},
            {"id": "c", "skill": "three__read", "arguments": {"x": "a gave ${a.got}"}},
        ],
        {"one__read": answers, "two__read": answers, "three__read": answers},
    )
    assert [run.steps[name].outcome.result for name in "abc"] == [{"got": 20}, {"got": 20}, {"got": "a gave 20"}]
    assert run.ledger.agent_calls == len(caller.started) == 3
    assert run.timings.critical_path >= run.steps["a"].seconds


async def test_a_step_starts_while_a_sibling_of_what_it_needs_still_runs(catalog: Catalog) -> None:
    release = asyncio.Event()

    async def slow(arguments: JsonObject) -> JsonObject:
        await release.wait()
        return {}

    async def releases(arguments: JsonObject) -> JsonObject:
        release.set()
        return {}

    run, _ = await execute(
        catalog,
        [
            {"id": "slow", "skill": "one__read"},
            {"id": "fast", "skill": "two__read"},
            {"id": "after_fast", "skill": "three__read", "depends_on": ["fast"]},
        ],
        {"one__read": slow, "two__read": answers, "three__read": releases},
    )
    assert all(record.outcome.succeeded for record in run.steps.values())


@pytest.mark.parametrize(
    ("error", "kind", "reason", "code"),
    [
        (NotFound("no such host"), StepOutcome.FAILED, StepReason.AGENT_ERROR, Code.NOT_FOUND),
        (PermissionDenied("not you"), StepOutcome.FAILED, StepReason.AGENT_ERROR, Code.PERMISSION_DENIED),
        (SkillFailed("cannot"), StepOutcome.FAILED, StepReason.AGENT_ERROR, Code.FAILED_PRECONDITION),
        (SkillChanged("other"), StepOutcome.FAILED, StepReason.SKILL_CHANGED, Code.FAILED_PRECONDITION),
        (Unreachable("gone"), StepOutcome.FAILED, StepReason.AGENT_UNAVAILABLE, Code.UNAVAILABLE),
        (ShuttingDown("bye"), StepOutcome.FAILED, StepReason.AGENT_UNAVAILABLE, Code.UNAVAILABLE),
        (ResultTooLarge("big"), StepOutcome.FAILED, StepReason.RESULT_TOO_LARGE, Code.INTERNAL),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, MeshError) else str(value),
)
async def test_an_error_of_an_agent_is_the_outcome_of_its_step(
    catalog: Catalog, error: MeshError, kind: StepOutcome, reason: StepReason, code: Code
) -> None:
    once = ExecuteLimits(retry=RetryPolicy(max_attempts=1))
    run, _ = await execute(catalog, [{"id": "a", "skill": "one__read"}], {"one__read": failing(error)}, limits=once)
    outcome = run.steps["a"].outcome
    assert (outcome.kind, outcome.reason, outcome.code, outcome.message) == (kind, reason, code, error.message)
    assert (outcome.attempts, outcome.endpoint) == (1, "fake:one")


async def test_an_agent_without_an_endpoint_is_not_called(catalog: Catalog) -> None:
    run, _ = await execute(catalog, [{"id": "a", "skill": "one__read"}], {})
    outcome = run.steps["a"].outcome
    assert run.ledger.agent_calls == 0
    assert (outcome.kind, outcome.reason, outcome.attempts) == (StepOutcome.FAILED, StepReason.NO_ENDPOINT, 0)
    assert outcome.transient


async def test_a_step_that_hangs_times_out_at_its_own_timeout_and_its_dependents_are_skipped(catalog: Catalog) -> None:
    quick = skill("one__read", timeout_seconds=0.02)
    run, caller = await execute(
        Catalog.of([*catalog.skills.values(), quick]),
        [
            {"id": "a", "skill": "one__read"},
            {"id": "b", "skill": "two__read", "depends_on": ["a"]},
            {"id": "c", "skill": "three__read"},
        ],
        {"one__read": hangs, "two__read": answers, "three__read": answers},
    )
    a, b, c = (run.steps[name].outcome for name in "abc")
    assert (a.kind, a.reason) == (StepOutcome.TIMED_OUT, StepReason.DEADLINE_EXCEEDED)
    assert (b.kind, b.reason, b.because_of) == (StepOutcome.SKIPPED, StepReason.UPSTREAM_FAILED, ("a",))
    assert c.succeeded
    assert caller.running == 0


async def test_without_time_nothing_is_sent(catalog: Catalog) -> None:
    run, caller = await execute(catalog, [{"id": "a", "skill": "one__read"}], {"one__read": answers}, seconds=0)
    outcome = run.steps["a"].outcome
    assert (outcome.kind, outcome.reason) == (StepOutcome.TIMED_OUT, StepReason.BUDGET_EXHAUSTED)
    assert caller.started == []
    assert run.ledger.agent_calls == 0


@pytest.mark.parametrize("error", [Unreachable("gone"), SkillFailed("no")], ids=["unanswered", "answered"])
async def test_a_side_effect_without_an_answer_is_marked_as_unknown(catalog: Catalog, error: MeshError) -> None:
    run, _ = await execute(catalog, [{"id": "a", "skill": "four__write"}], {"four__write": failing(error)})
    assert run.steps["a"].outcome.effect_unknown is isinstance(error, Unreachable)


async def test_no_more_calls_are_in_flight_than_allowed(catalog: Catalog) -> None:
    async def yields(arguments: JsonObject) -> JsonObject:
        for _ in range(3):
            await asyncio.sleep(0)
        return {}

    many: list[JsonObject] = [{"id": f"s{number}", "skill": "two__read"} for number in range(20)]
    run, caller = await execute(
        catalog,
        [{"id": "each", "skill": "one__read", "for_each": list(range(40)), "arguments": {"x": "${item}"}}, *many],
        {"one__read": yields, "two__read": yields},
        limits=ExecuteLimits(max_concurrent_calls=4),
    )
    assert caller.most_at_once == 4
    assert len(caller.started) == 60
    assert all(record.outcome.succeeded for record in run.steps.values())


async def test_items_keep_the_order_of_their_list_whatever_ends_first(catalog: Catalog) -> None:
    last = asyncio.Event()

    async def backwards(arguments: JsonObject) -> JsonObject:
        if arguments["x"] == 2:
            last.set()
        await last.wait()
        return {"got": arguments["x"]}

    run, _ = await execute(
        catalog,
        [{"id": "each", "skill": "one__read", "for_each": [0, 1, 2], "arguments": {"x": "${item}"}}],
        {"one__read": backwards},
    )
    items = run.steps["each"].outcome.items
    assert items is not None
    assert [item.result for item in items] == [{"got": 0}, {"got": 1}, {"got": 2}]


async def test_every_attempt_at_the_same_work_has_its_own_stable_key(catalog: Catalog) -> None:
    _, caller = await execute(
        catalog,
        [{"id": "each", "skill": "one__read", "for_each": [7, 7], "arguments": {"x": "${item}"}}],
        {"one__read": answers},
    )
    keys = [call.idempotency_key for call in caller.started]
    assert len(set(keys)) == 2
    assert [call.item_index for call in caller.started] == [0, 1]


async def test_cancelling_the_run_cancels_every_call_and_marks_what_had_not_ended(catalog: Catalog) -> None:
    begun = asyncio.Event()

    async def hangs(arguments: JsonObject) -> JsonObject:
        begun.set()
        await asyncio.Event().wait()
        return {}

    caller = FunctionAgentCaller({"one__read": hangs, "two__read": answers})
    run = new_run()
    plan = validate(
        {
            "steps": [
                {"id": "quick", "skill": "two__read"},
                {"id": "hung", "skill": "one__read"},
                {"id": "later", "skill": "two__read", "depends_on": ["hung"]},
            ]
        },
        catalog,
    )
    task = asyncio.create_task(Executor(caller, ExecuteLimits()).execute(run, plan, Deadline.after(IN_A_MINUTE)))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    kinds = {name: record.outcome.kind for name, record in run.steps.items()}
    assert kinds == {
        "quick": StepOutcome.SUCCEEDED,
        "hung": StepOutcome.CANCELLED,
        "later": StepOutcome.CANCELLED,
    }
    assert [call.step_id for call in caller.cancelled] == ["hung"]
    assert caller.running == 0


async def test_a_bug_in_a_caller_is_raised_and_leaves_nothing_running(catalog: Catalog) -> None:
    async def buggy(arguments: JsonObject) -> JsonObject:
        raise ZeroDivisionError

    with pytest.raises(ExceptionGroup) as caught:
        await execute(catalog, [{"id": "a", "skill": "one__read"}], {"one__read": buggy})
    assert caught.group_contains(ZeroDivisionError)


@st.composite
def layered_plans(draw: st.DrawFn) -> tuple[list[JsonObject], dict[str, tuple[str, ...]], frozenset[str]]:
    """Steps over a random DAG, what each depends on, and which of them fail."""
    names = [f"s{number}" for number in range(draw(st.integers(1, 9)))]
    needs = {
        name: tuple(draw(st.lists(st.sampled_from(names[:place]), unique=True, max_size=3))) if place else ()
        for place, name in enumerate(names)
    }
    steps: list[JsonObject] = [
        {"id": name, "skill": "one__read", "arguments": {"x": name}, "depends_on": list(needs[name])} for name in names
    ]
    return steps, needs, draw(st.frozensets(st.sampled_from(names), max_size=3))


@given(layered_plans(), st.randoms(use_true_random=False))
def test_no_call_starts_before_the_calls_it_needs_have_ended(
    drawn: tuple[list[JsonObject], dict[str, tuple[str, ...]], frozenset[str]], order: st.DrawFn
) -> None:
    steps, needs, failing_steps = drawn
    log: list[tuple[str, str]] = []

    async def skill_function(arguments: JsonObject) -> JsonObject:
        name = str(arguments["x"])
        log.append(("start", name))
        for _ in range(order.randint(0, 4)):  # type: ignore[attr-defined]  # a random.Random
            await asyncio.sleep(0)
        log.append(("end", name))
        if name in failing_steps:
            raise SkillFailed("told to")
        return {}

    run, _ = asyncio.run(execute(Catalog.of([skill("one__read")]), steps, {"one__read": skill_function}))
    for name, needed in needs.items():
        outcome: Outcome = run.steps[name].outcome
        doomed = any(not run.steps[other].outcome.succeeded for other in needed)
        expected = (
            StepOutcome.SKIPPED if doomed else StepOutcome.FAILED if name in failing_steps else StepOutcome.SUCCEEDED
        )
        assert outcome.kind is expected
        if not doomed:
            begin = log.index(("start", name))
            assert all(log.index(("end", other)) < begin for other in needed)
