"""How a run ended: the table of outcomes, row by row."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agentmesh.errors import AllStepsFailed, BudgetExceeded, Code, Violation, ViolationReason
from agentmesh.jsonvalues import JsonObject
from orchestrator_svc.core.outcome import Outcome, StepOutcome, StepReason, gather
from orchestrator_svc.core.plan import Plan
from orchestrator_svc.core.verdict import RunOutcome, judge
from tests.core.running import Answers, Running, gives, plan_of, step

OK = gives({})
LATE = Outcome(StepOutcome.TIMED_OUT, StepReason.DEADLINE_EXCEEDED, "no answer in time", transient=True)
NO_BUDGET = Outcome(StepOutcome.TIMED_OUT, StepReason.BUDGET_EXHAUSTED, "no time left", transient=True)


def error(code: Code, *, transient: bool = False, message: str = "it broke") -> Outcome:
    return Outcome(StepOutcome.FAILED, StepReason.AGENT_ERROR, message, code=code, transient=transient)


def unavailable() -> Outcome:
    return Outcome(StepOutcome.FAILED, StepReason.AGENT_UNAVAILABLE, "gone", code=Code.UNAVAILABLE, transient=True)


BROKEN = error(Code.UNKNOWN)
ALLOWED = "the budget of this run allows 3 agent calls"
OVER_BUDGET = Outcome(StepOutcome.FAILED, StepReason.BUDGET_EXCEEDED, ALLOWED)


def judged(*steps: JsonObject, answers: Answers) -> RunOutcome:
    running = Running(plan_of(*steps), answers)
    running.to_the_end()
    return judge(plan_of(*steps), running.schedule.outcomes)


def failed(*steps: JsonObject, answers: Answers) -> AllStepsFailed:
    with pytest.raises(AllStepsFailed) as raised:
        judged(*steps, answers=answers)
    return raised.value


class TestComplete:
    def test_no_step_at_all_is_no_agent(self) -> None:
        assert judge(Plan(()), {}) is RunOutcome.NO_AGENT

    def test_every_step_succeeded(self) -> None:
        assert judged(step("a"), step("b"), answers={}) is RunOutcome.COMPLETE

    def test_a_step_was_skipped_because_a_condition_was_false_and_one_behind_it(self) -> None:
        steps = [step("a"), step("b", when="1 > 2"), step("c", depends_on=["b"])]
        assert judged(*steps, answers={}) is RunOutcome.COMPLETE

    def test_every_step_was_skipped_because_a_condition_was_false(self) -> None:
        assert judged(step("a", when="1 > 2"), answers={}) is RunOutcome.COMPLETE

    @pytest.mark.parametrize("outcome", [BROKEN, LATE], ids=["failed", "timed out"])
    def test_only_optional_ones_failed(self, outcome: Outcome) -> None:
        assert judged(step("a"), step("b", optional=True), answers={"b": outcome}) is RunOutcome.COMPLETE

    def test_an_optional_step_was_skipped_because_of_an_optional_one(self) -> None:
        steps = [step("a"), step("b", optional=True), step("c", depends_on=["b"], optional=True)]
        assert judged(*steps, answers={"b": BROKEN}) is RunOutcome.COMPLETE

    def test_an_optional_step_lacks_some_of_its_items(self) -> None:
        steps = [step("a", for_each=[0, 1], optional=True)]
        assert judged(*steps, answers={"a": lambda call: BROKEN if call.index else OK}) is RunOutcome.COMPLETE

    def test_a_step_did_without_an_optional_one_that_failed(self) -> None:
        steps = [step("a", optional=True), step("b", when="!has(a.x)")]
        assert judged(*steps, answers={"a": BROKEN}) is RunOutcome.COMPLETE


class TestPartial:
    @pytest.mark.parametrize("outcome", [BROKEN, LATE], ids=["failed", "timed out"])
    def test_a_required_step_failed_beside_one_that_succeeded(self, outcome: Outcome) -> None:
        assert judged(step("a"), step("b"), answers={"b": outcome}) is RunOutcome.PARTIAL

    def test_an_optional_step_succeeded_beside_a_required_one_that_failed(self) -> None:
        assert judged(step("a", optional=True), step("b"), answers={"b": BROKEN}) is RunOutcome.PARTIAL

    def test_a_required_step_was_skipped_because_of_a_failure_even_of_an_optional_one(self) -> None:
        steps = [step("a"), step("b", optional=True), step("c", depends_on=["b"])]
        assert judged(*steps, answers={"b": BROKEN}) is RunOutcome.PARTIAL

    def test_a_condition_that_ends_in_an_error_is_a_failure(self) -> None:
        assert judged(step("a"), step("b", when="a.missing"), answers={}) is RunOutcome.PARTIAL

    def test_a_required_step_lacks_some_of_its_items(self) -> None:
        steps = [step("a"), step("b", for_each=[0, 1])]
        assert judged(*steps, answers={"b": lambda call: BROKEN if call.index else OK}) is RunOutcome.PARTIAL


class TestAllFailed:
    def test_it_names_the_first_failure_in_plan_order(self) -> None:
        steps = [step("a", depends_on=["b"]), step("b"), step("c")]
        answers = {"b": error(Code.NOT_FOUND, message="no such host"), "c": error(Code.NOT_FOUND)}
        raised = failed(*steps, answers=answers)
        assert raised.message == "no step succeeded; the first failure is `b`: AGENT_ERROR: no such host"
        assert raised.metadata == {"step_id": "b", "step_reason": "AGENT_ERROR"}

    def test_skipped_conditions_beside_failures_change_nothing(self) -> None:
        raised = failed(step("a", when="1 > 2"), step("b"), answers={"b": error(Code.NOT_FOUND)})
        assert raised.code is Code.NOT_FOUND

    def test_an_optional_step_alone_that_failed(self) -> None:
        assert failed(step("a", optional=True), answers={"a": error(Code.NOT_FOUND)}).code is Code.NOT_FOUND

    @pytest.mark.parametrize(
        ("outcomes", "code"),
        [
            ([LATE], Code.DEADLINE_EXCEEDED),
            ([LATE, NO_BUDGET], Code.DEADLINE_EXCEEDED),
            ([unavailable()], Code.UNAVAILABLE),
            ([unavailable(), LATE], Code.UNAVAILABLE),
            ([unavailable(), error(Code.RESOURCE_EXHAUSTED, transient=True)], Code.UNAVAILABLE),
            ([unavailable(), error(Code.NOT_FOUND)], Code.FAILED_PRECONDITION),
            ([LATE, error(Code.NOT_FOUND)], Code.FAILED_PRECONDITION),
            ([error(Code.INVALID_ARGUMENT)], Code.INVALID_ARGUMENT),
            ([error(Code.NOT_FOUND), error(Code.NOT_FOUND)], Code.NOT_FOUND),
            ([error(Code.PERMISSION_DENIED)], Code.PERMISSION_DENIED),
            ([error(Code.FAILED_PRECONDITION)], Code.FAILED_PRECONDITION),
            ([error(Code.NOT_FOUND), error(Code.PERMISSION_DENIED)], Code.FAILED_PRECONDITION),
            ([error(Code.INTERNAL)], Code.FAILED_PRECONDITION),
            ([error(Code.UNKNOWN)], Code.FAILED_PRECONDITION),
            ([error(Code.UNAUTHENTICATED)], Code.FAILED_PRECONDITION),
            ([error(Code.RESOURCE_EXHAUSTED)], Code.FAILED_PRECONDITION),
            ([error(Code.UNAVAILABLE)], Code.FAILED_PRECONDITION),
        ],
        ids=lambda value: value.name if isinstance(value, Code) else "+".join(f"{o.kind}-{o.code.name}" for o in value),
    )
    def test_the_code_follows_from_how_the_steps_failed(self, outcomes: list[Outcome], code: Code) -> None:
        names = [f"s{position}" for position in range(len(outcomes))]
        raised = failed(*map(step, names), answers=dict(zip(names, outcomes, strict=True)))
        assert raised.code is code

    def test_what_was_skipped_because_of_a_failure_has_no_part_in_the_code(self) -> None:
        assert failed(step("a"), step("b", depends_on=["a"]), answers={"a": LATE}).code is Code.DEADLINE_EXCEEDED

    @pytest.mark.parametrize(
        "local",
        [
            step("a", when="1 / 0 > 1"),
            step("a", for_each=list(range(65))),
            step("a", skill="data_agent__get_report", arguments={"entity": "x", "limit": "${int('0')}"}),
        ],
        ids=["expression", "fan-out", "arguments"],
    )
    def test_a_failure_before_the_call_can_change_by_no_repetition(self, local: JsonObject) -> None:
        assert failed(local, answers={}).code is Code.FAILED_PRECONDITION
        assert failed(local, step("b"), answers={"b": error(Code.NOT_FOUND)}).code is Code.FAILED_PRECONDITION

    @pytest.mark.parametrize(
        ("items", "code"),
        [
            ([LATE, LATE], Code.DEADLINE_EXCEEDED),
            ([unavailable(), LATE], Code.UNAVAILABLE),
            ([error(Code.NOT_FOUND), OK], Code.NOT_FOUND),
            ([error(Code.NOT_FOUND), error(Code.INTERNAL)], Code.FAILED_PRECONDITION),
        ],
        ids=["late", "transient", "one of two", "mixed"],
    )
    def test_a_for_each_step_failed_as_its_failed_items_did(self, items: list[Outcome], code: Code) -> None:
        raised = failed(step("a", for_each=[0, 1]), answers={"a": lambda call: items[call.index or 0]})
        assert raised.code is code
        assert raised.metadata["step_reason"] == "ITEMS_FAILED"


class TestOverBudget:
    def test_a_step_without_a_call_beside_one_that_succeeded_makes_it_partial(self) -> None:
        assert judged(step("a"), step("b"), answers={"b": OVER_BUDGET}) is RunOutcome.PARTIAL

    @pytest.mark.parametrize(
        "steps",
        [
            [step("a")],
            [step("a"), step("b", depends_on=["a"])],
            [step("z", when="1 > 2"), step("a")],
            [step("a", for_each=[0, 1])],
            [step("a", optional=True)],
        ],
        ids=["alone", "with one that needed it", "beside a false condition", "items", "optional"],
    )
    def test_without_a_result_the_error_is_the_budget(self, steps: list[JsonObject]) -> None:
        with pytest.raises(BudgetExceeded) as raised:
            judged(*steps, answers={"a": OVER_BUDGET})
        assert raised.value.message == f"no step succeeded: {ALLOWED}"
        assert raised.value.violations == (Violation("budget.agent_calls", ViolationReason.LIMIT, ALLOWED),)

    @pytest.mark.parametrize("other", [BROKEN, LATE], ids=["failed", "timed out"])
    def test_beside_another_failure_the_budget_is_not_to_blame(self, other: Outcome) -> None:
        raised = failed(step("a"), step("b"), answers={"a": OVER_BUDGET, "b": other})
        assert raised.code is Code.FAILED_PRECONDITION
        assert raised.metadata["step_reason"] == "BUDGET_EXCEEDED"

    def test_items_that_were_within_it_are_results(self) -> None:
        answers: Answers = {"a": lambda call: OVER_BUDGET if call.index else OK}
        assert judged(step("a", for_each=[0, 1]), answers=answers) is RunOutcome.PARTIAL

    def test_items_that_failed_by_themselves_are_not(self) -> None:
        items = [OK, BROKEN, OVER_BUDGET]
        raised = failed(step("a", for_each=[0, 1, 2]), answers={"a": lambda call: items[call.index or 0]})
        assert raised.code is Code.FAILED_PRECONDITION


class TestGather:
    def test_it_adds_up_what_the_items_took(self) -> None:
        items = [replace(OK, result_bytes=5, attempts=2, endpoint="x"), replace(OK, result_bytes=7, attempts=1)]
        whole = gather(items, optional=False)
        assert (whole.result_bytes, whole.attempts, whole.endpoint) == (12, 3, "x")

    def test_it_is_transient_if_every_failure_is(self) -> None:
        assert gather([LATE, OK, LATE], optional=False).transient
        assert not gather([LATE, BROKEN], optional=False).transient

    def test_an_effect_that_may_have_happened_is_not_lost(self) -> None:
        assert gather([OK, replace(LATE, effect_unknown=True)], optional=True).effect_unknown

    def test_the_result_that_a_failed_item_kept_is_not_its_value(self) -> None:
        kept = Outcome(StepOutcome.FAILED, StepReason.RESULT_INVALID, "odd", result={"raw": 1})
        assert gather([OK, kept], optional=True).value == [{}, None]
