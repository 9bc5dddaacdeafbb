"""What is known of a run that was cut short, and of a call for which no time was left."""

from __future__ import annotations

import asyncio

import pytest

from agentmesh.cards import Effect
from agentmesh.deadline import Deadline
from agentmesh.errors import Code, DeadlineExceeded, Internal, MeshError, RemoteError, ResultTooLarge
from agentmesh.jsonvalues import JsonObject
from orchestrator_svc.app.attempt import outcome_of_failure
from orchestrator_svc.app.execute import ExecuteLimits, Executor
from orchestrator_svc.app.ports.agent_caller import CallFailed
from orchestrator_svc.app.run import Run
from orchestrator_svc.core.catalog import Catalog
from orchestrator_svc.core.outcome import StepOutcome, StepReason
from orchestrator_svc.core.validate import validate
from tests.app.conftest import skill
from tests.app.skills import answers, hangs
from tests.app.test_execute import IN_A_MINUTE, new_run
from tests.fakes.agent_caller import FunctionAgentCaller, SkillFunction


class Interrupted:
    """A run that one of its skills cancels."""

    def __init__(
        self,
        catalog: Catalog,
        skills: dict[str, SkillFunction],
        *steps: JsonObject,
        max_concurrent_calls: int = 32,
    ) -> None:
        self.run: Run = new_run()
        self.caller = FunctionAgentCaller(skills)
        plan = validate({"steps": list(steps)}, catalog)
        executor = Executor(self.caller, ExecuteLimits(max_concurrent_calls=max_concurrent_calls))
        self._task = asyncio.create_task(executor.execute(self.run, plan, Deadline.after(IN_A_MINUTE)))

    def cancel(self) -> None:
        self._task.cancel()

    async def ended(self) -> None:
        with pytest.raises(asyncio.CancelledError):
            await self._task


async def test_a_side_effect_that_was_under_way_may_or_may_not_have_happened(catalog: Catalog) -> None:
    async def cancels_the_run(arguments: JsonObject) -> JsonObject:
        interrupted.cancel()
        await asyncio.Event().wait()
        return {}

    interrupted = Interrupted(
        catalog,
        {"one__read": hangs, "four__write": cancels_the_run},
        {"id": "reading", "skill": "one__read"},
        {"id": "writing", "skill": "four__write"},
        {"id": "later", "skill": "four__write", "depends_on": ["writing"]},
    )
    await interrupted.ended()
    steps = {name: record.outcome for name, record in interrupted.run.steps.items()}
    assert {outcome.kind for outcome in steps.values()} == {StepOutcome.CANCELLED}
    assert {name for name, outcome in steps.items() if outcome.effect_unknown} == {"writing"}
    assert {name: outcome.attempts for name, outcome in steps.items()} == {"reading": 1, "writing": 1, "later": 0}


async def test_of_a_repeated_side_effect_it_is_known_which_items_have_happened(catalog: Catalog) -> None:
    async def pays(arguments: JsonObject) -> JsonObject:
        if len(interrupted.caller.started) == 3:
            interrupted.cancel()
            await asyncio.Event().wait()
        return {"paid": True}

    interrupted = Interrupted(
        catalog,
        {"four__write": pays},
        {"id": "pay", "skill": "four__write", "for_each": ["a", "b", "c", "d"]},
        max_concurrent_calls=1,
    )
    await interrupted.ended()
    outcome = interrupted.run.steps["pay"].outcome
    assert (outcome.kind, outcome.attempts, outcome.effect_unknown) == (StepOutcome.CANCELLED, 3, True)
    assert outcome.items is not None
    assert [(item.kind, item.attempts, item.effect_unknown) for item in outcome.items] == [
        (StepOutcome.SUCCEEDED, 1, False),
        (StepOutcome.SUCCEEDED, 1, False),
        (StepOutcome.CANCELLED, 1, True),
        (StepOutcome.CANCELLED, 0, False),
    ]


async def test_a_result_that_came_as_the_run_was_cancelled_is_kept(catalog: Catalog) -> None:
    async def answers_at_the_last_moment(arguments: JsonObject) -> JsonObject:
        interrupted.cancel()
        return {"ordered": True}

    interrupted = Interrupted(
        catalog,
        {"four__write": answers_at_the_last_moment, "one__read": answers},
        {"id": "writing", "skill": "four__write"},
        {"id": "later", "skill": "one__read", "depends_on": ["writing"]},
    )
    await interrupted.ended()
    steps = {name: record.outcome for name, record in interrupted.run.steps.items()}
    assert (steps["writing"].kind, steps["writing"].result) == (StepOutcome.SUCCEEDED, {"ordered": True})
    assert steps["later"].kind is StepOutcome.CANCELLED


@pytest.mark.parametrize(
    ("sent", "reason"),
    [(False, StepReason.BUDGET_EXHAUSTED), (True, StepReason.DEADLINE_EXCEEDED)],
    ids=["never sent", "sent"],
)
def test_a_call_for_which_no_time_was_left_did_not_time_out_at_its_agent(*, sent: bool, reason: StepReason) -> None:
    failure = CallFailed(DeadlineExceeded("late"), code=Code.DEADLINE_EXCEEDED, endpoint="host:1", sent=sent)
    outcome = outcome_of_failure(skill("one__read"), failure)
    assert (outcome.kind, outcome.reason, outcome.reached) == (StepOutcome.TIMED_OUT, reason, sent)


@pytest.mark.parametrize(
    ("error", "code", "reason", "unknown"),
    [
        (RemoteError("Received RST_STREAM", code=Code.INTERNAL), Code.INTERNAL, "", True),
        (RemoteError("Stream removed", code=Code.UNKNOWN), Code.UNKNOWN, "", True),
        (ResultTooLarge("over the limit of this side"), Code.RESOURCE_EXHAUSTED, "", True),
        (RemoteError("no such item", code=Code.NOT_FOUND), Code.NOT_FOUND, "", False),
        (Internal("internal error, incident 1"), Code.INTERNAL, "INTERNAL", False),
    ],
    ids=["reset", "removed", "too large for us", "refused", "answered"],
)
def test_a_side_effect_whose_agent_may_not_have_said_how_it_ended_may_have_happened(
    *, error: MeshError, code: Code, reason: str, unknown: bool
) -> None:
    failure = CallFailed(error, code=code, agent_reason=reason, endpoint="host:1", sent=True)
    assert outcome_of_failure(skill("four__write", Effect.SIDE_EFFECT), failure).effect_unknown is unknown
    assert not outcome_of_failure(skill("one__read"), failure).effect_unknown
