"""What runs when, and what becomes of a step whose inputs are not there."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from agentmesh.jsonvalues import Json, JsonObject
from orchestrator_svc.core.events import Call, StepEnded
from orchestrator_svc.core.outcome import Outcome, StepOutcome, StepReason
from orchestrator_svc.core.plan import Plan
from orchestrator_svc.core.schedule import Schedule
from tests.core.running import CANCELLED, FAILED, NOW, TIMED_OUT, Running, gives, plan_of, run, shown, step
from tests.core.skills import MESSAGE, REPORT

ABSENCES = {"failed": FAILED, "timed out": TIMED_OUT, "cancelled": CANCELLED}


def broke(running: Running, name: str) -> str:
    """The message of a step that failed by an expression, without any call."""
    outcome = running.schedule.outcomes[name]
    assert (outcome.kind, outcome.reason) == (StepOutcome.FAILED, StepReason.EXPRESSION_FAILED)
    assert not running.was_called(name)
    return outcome.message


class TestOrder:
    def test_an_empty_plan_is_done_before_it_starts(self) -> None:
        schedule = Schedule(Plan(()), now=NOW)
        assert schedule.done
        assert schedule.start() == ()

    def test_steps_without_needs_are_handed_out_together_in_plan_order(self) -> None:
        running = Running(plan_of(step("c"), step("a"), step("b")), {})
        assert [event.step.id for event in running.start()] == ["c", "a", "b"]
        assert running.schedule.running == {"a", "b", "c"}

    def test_a_step_is_handed_out_the_moment_its_own_needs_have_ended(self) -> None:
        running = Running(plan_of(step("slow"), step("fast"), step("after", depends_on=["fast"])), {})
        running.start()
        assert [event.step.id for event in running.end("fast")] == ["fast", "after"]
        assert running.schedule.running == {"slow", "after"}

    def test_a_step_with_two_needs_waits_for_the_last(self) -> None:
        running = Running(plan_of(step("a"), step("b"), step("c", depends_on=["a", "b"])), {})
        running.start()
        assert [event.step.id for event in running.end("b")] == ["b"]
        assert [event.step.id for event in running.end("a")] == ["a", "c"]

    def test_completions_handed_over_together_are_processed_in_plan_order(self) -> None:
        steps = [step("a"), step("b"), step("c", depends_on=["b"]), step("d", depends_on=["a"])]
        for order in (["a", "b"], ["b", "a"]):
            running = Running(plan_of(*steps), {})
            running.start()
            assert [event.step.id for event in running.end(*order)] == ["a", "b", "c", "d"]

    def test_what_has_ended_and_what_runs_can_be_asked_at_any_time(self) -> None:
        def state() -> tuple[bool, set[str], set[str]]:
            return running.schedule.done, set(running.schedule.running), set(running.schedule.outcomes)

        running = Running(plan_of(step("a"), step("b", depends_on=["a"])), {"a": FAILED})
        assert state() == (False, set(), set())
        running.start()
        assert state() == (False, {"a"}, set())
        running.end("a")
        assert state() == (True, set(), {"a", "b"})


class TestMisuse:
    def test_a_step_that_was_not_handed_out_cannot_end(self) -> None:
        running = Running(plan_of(step("a"), step("b", depends_on=["a"])), {})
        with pytest.raises(ValueError, match="step `a` is not running"):
            running.schedule.complete({"a": gives({})})
        running.start()
        with pytest.raises(ValueError, match="step `b` is not running"):
            running.schedule.complete({"b": gives({})})
        with pytest.raises(ValueError, match="step `nobody` is not running"):
            running.schedule.complete({"nobody": gives({})})

    def test_a_step_cannot_end_twice(self) -> None:
        running = Running(plan_of(step("a"), step("b")), {})
        running.start()
        running.end("a")
        with pytest.raises(ValueError, match="step `a` is not running"):
            running.schedule.complete({"a": FAILED})
        assert running.schedule.outcomes["a"].succeeded

    def test_a_refused_report_changes_nothing(self) -> None:
        running = Running(plan_of(step("a"), step("b")), {})
        running.start()
        with pytest.raises(ValueError, match="step `nobody` is not running"):
            running.schedule.complete({"a": gives({}), "nobody": gives({})})
        assert running.schedule.running == {"a", "b"}
        assert running.schedule.outcomes == {}


class TestAbsence:
    @pytest.mark.parametrize("absence", ABSENCES.values(), ids=ABSENCES)
    @pytest.mark.parametrize(
        "edge", [{"depends_on": ["a"]}, {"when": "a.x"}, {"for_each": "a.x"}, {"arguments": {"y": "${a.x}"}}]
    )
    def test_a_step_whose_need_broke_is_skipped_and_names_it(self, absence: Outcome, edge: JsonObject) -> None:
        running = run(step("a"), step("b", **edge), a=absence)
        outcome = running.schedule.outcomes["b"]
        assert (outcome.kind, outcome.reason) == (StepOutcome.SKIPPED, StepReason.UPSTREAM_FAILED)
        assert outcome.because_of == ("a",)
        assert f"`a` is {absence.kind}" in outcome.message
        assert not running.was_called("b")

    def test_a_step_whose_need_was_skipped_by_a_condition_is_skipped_and_names_it(self) -> None:
        running = run(step("a", when="1 > 2"), step("b", depends_on=["a"]), step("c", depends_on=["b"]))
        for name, because in (("b", "a"), ("c", "b")):
            outcome = running.schedule.outcomes[name]
            assert (outcome.kind, outcome.reason) == (StepOutcome.SKIPPED, StepReason.UPSTREAM_SKIPPED)
            assert outcome.because_of == (because,)
            assert f"`{because}` is SKIPPED" in outcome.message

    def test_a_failure_stays_a_failure_through_the_steps_that_it_skips(self) -> None:
        running = run(step("a"), step("b", depends_on=["a"]), step("c", depends_on=["b"]), a=FAILED)
        outcome = running.schedule.outcomes["c"]
        assert (outcome.reason, outcome.because_of) == (StepReason.UPSTREAM_FAILED, ("b",))

    def test_of_a_failed_and_a_skipped_need_the_failed_one_is_the_reason(self) -> None:
        steps = [step("a", when="1 > 2"), step("b"), step("c"), step("d", depends_on=["a", "b", "c"])]
        outcome = run(*steps, b=FAILED).schedule.outcomes["d"]
        assert (outcome.reason, outcome.because_of) == (StepReason.UPSTREAM_FAILED, ("b",))

    def test_an_optional_step_that_failed_is_absent_all_the_same(self) -> None:
        outcome = run(step("a", optional=True), step("b", depends_on=["a"]), a=FAILED).schedule.outcomes["b"]
        assert outcome.reason is StepReason.UPSTREAM_FAILED

    def test_a_sibling_of_a_failure_goes_on(self) -> None:
        running = run(step("a"), step("b"), step("c", depends_on=["b"]), a=FAILED)
        assert running.schedule.outcomes["c"].succeeded

    @pytest.mark.parametrize("absence", ABSENCES.values(), ids=ABSENCES)
    def test_a_guarded_step_runs_with_an_empty_object_in_place_of_what_is_absent(self, absence: Outcome) -> None:
        guarded = step("b", when="!has(a.x)", arguments={"all": "${has(a.x) ? [a] : [a, a]}"})
        running = run(step("a"), guarded, a=absence)
        assert running.arguments("b") == [{"all": [{}, {}]}]
        assert running.schedule.outcomes["b"].succeeded

    def test_a_guarded_step_tolerates_a_skipped_one(self) -> None:
        running = run(step("a", when="1 > 2"), step("b", depends_on=["a"]), step("c", when="!has(b.x)"))
        assert running.schedule.outcomes["c"].succeeded

    def test_a_guard_that_finds_nothing_is_a_false_condition(self) -> None:
        outcome = run(step("a"), step("b", when="has(a.x)"), a=FAILED).schedule.outcomes["b"]
        assert (outcome.kind, outcome.reason) == (StepOutcome.SKIPPED, StepReason.CONDITION_FALSE)
        assert outcome.message == "`has(a.x)` is false"

    def test_a_guard_covers_the_step_that_it_tests_and_no_other(self) -> None:
        running = run(step("a"), step("b"), step("c", when="!has(a.x)", depends_on=["b"]), a=FAILED, b=FAILED)
        assert running.schedule.outcomes["c"].because_of == ("b",)

    def test_a_guard_does_not_help_the_steps_behind(self) -> None:
        running = run(step("a"), step("b", when="!has(a.x)"), step("c", depends_on=["a", "b"]), a=FAILED)
        assert running.schedule.outcomes["b"].succeeded
        assert running.schedule.outcomes["c"].because_of == ("a",)

    def test_a_guard_of_a_field_further_in_is_no_guard(self) -> None:
        outcome = run(step("a"), step("b", when="!has(a.x.y)"), a=FAILED).schedule.outcomes["b"]
        assert outcome.reason is StepReason.UPSTREAM_FAILED

    def test_the_absence_of_a_for_each_step_is_never_tolerated(self) -> None:
        steps = [step("a", for_each=[1]), step("b", when="!has(a[0].x)"), step("c", when="size(a) == 0")]
        running = run(*steps, a=FAILED)
        assert running.schedule.outcomes["b"].reason is StepReason.UPSTREAM_FAILED
        assert running.schedule.outcomes["c"].reason is StepReason.UPSTREAM_FAILED


class TestConditions:
    @pytest.mark.parametrize(
        ("when", "runs"), [("a.n > 1.0", True), ("${a.n > 2.0}", False), ("a.ok", True), ("!a.ok", False)]
    )
    def test_a_step_runs_if_its_condition_is_true(self, when: str, *, runs: bool) -> None:
        running = run(step("a"), step("b", when=when), a=gives({"n": 2, "ok": True}))
        assert running.was_called("b") is runs
        if not runs:
            outcome = running.schedule.outcomes["b"]
            assert (outcome.kind, outcome.reason) == (StepOutcome.SKIPPED, StepReason.CONDITION_FALSE)

    @pytest.mark.parametrize("value", ["false", "", 0, 1, None, [], {}, "true"])
    def test_a_condition_that_is_no_bool_is_a_failure_and_never_false(self, value: Json) -> None:
        running = run(step("a"), step("b", when="a.v"), step("c", depends_on=["b"]), a=gives({"v": value}))
        assert "gave no bool" in broke(running, "b")
        assert running.schedule.outcomes["c"].reason is StepReason.UPSTREAM_FAILED

    @pytest.mark.parametrize("when", ["a.missing > 1.0", "a.v.x == 1.0", "a.v[7] == 1.0", "1 / 0 > 1", "!has(a.b.c)"])
    def test_a_condition_that_ends_in_an_error_is_a_failure_and_never_false(self, when: str) -> None:
        assert when in broke(run(step("a"), step("b", when=when), a=gives({"v": [1]})), "b")

    def test_an_error_that_decides_nothing_is_no_failure(self) -> None:
        running = run(step("a"), step("b", when="has(a.x) && a.x.y > 1.0"), a=gives({}))
        assert running.schedule.outcomes["b"].reason is StepReason.CONDITION_FALSE

    def test_a_false_condition_comes_before_the_list_and_the_arguments(self) -> None:
        later = step("b", when="1 > 2", for_each="a.missing", arguments={"x": "${a.missing}"})
        assert run(step("a"), later).schedule.outcomes["b"].reason is StepReason.CONDITION_FALSE


class TestArguments:
    def test_a_string_that_is_one_expression_becomes_the_typed_value(self) -> None:
        result: JsonObject = {"n": 3, "f": 1.5, "t": True, "s": "3", "z": None, "l": [1, [2]], "o": {"k": 1}}
        arguments: JsonObject = {key: f"${{a.{key}}}" for key in result}
        assert run(step("a"), step("b", arguments=arguments), a=gives(result)).arguments("b") == [result]

    def test_an_expression_inside_a_longer_string_is_written_into_it(self) -> None:
        arguments: JsonObject = {"x": "${a.n}/${a.f}/${a.t}/${a.s}/${a.l}/${a.o}/$${a.n}"}
        result: JsonObject = {"n": 12345678, "f": 1.5, "t": True, "s": "s", "l": [1, "2"], "o": {"k": None}}
        running = run(step("a"), step("b", arguments=arguments), a=gives(result))
        assert running.arguments("b") == [{"x": '12345678/1.5/true/s/[1,"2"]/{"k":null}/${a.n}'}]

    def test_null_as_a_value_is_a_value_and_inside_a_string_a_failure(self) -> None:
        steps = [step("a"), step("b", arguments={"x": "${a.z}"}), step("c", arguments={"x": "is ${a.z}"})]
        running = run(*steps, a=gives({"z": None}))
        assert running.arguments("b") == [{"x": None}]
        assert "null" in broke(running, "c")

    def test_what_came_out_of_an_expression_is_not_scanned_again(self) -> None:
        trap = "${b.secret} $${x} ${"
        steps = [
            step("a"),
            step("b"),
            step("c", arguments={"x": "${a.v}", "y": "see ${a.v}", "z": ["${a.o}"]}),
            step("d", for_each="[a.v]", arguments={"x": "${item}"}),
        ]
        running = run(*steps, a=gives({"v": trap, "o": {trap: trap}}), b=gives({"secret": 1}))
        assert running.arguments("c") == [{"x": trap, "y": f"see {trap}", "z": [{trap: trap}]}]
        assert running.arguments("d") == [{"x": trap}]

    def test_keys_are_never_expressions(self) -> None:
        running = run(step("a"), step("b", arguments={"${a.v}": "${a.v}"}), a=gives({"v": 1}))
        assert running.arguments("b") == [{"${a.v}": 1}]

    def test_a_missing_field_is_a_failure_with_the_text_of_the_expression(self) -> None:
        running = run(step("a"), step("b", arguments={"x": "${a.missing}"}), a=gives({}))
        assert "a.missing" in broke(running, "b")

    def test_now_is_the_start_of_the_run_in_every_step(self) -> None:
        arguments: JsonObject = {"x": "${now}", "y": "${now - duration('24h')}", "z": "at ${now}"}
        running = run(step("a", arguments=arguments), step("b", arguments=arguments, depends_on=["a"]))
        at = {"x": "2025-01-02T03:04:05Z", "y": "2025-01-01T03:04:05Z", "z": "at 2025-01-02T03:04:05Z"}
        assert running.arguments("a") == running.arguments("b") == [at]

    @pytest.mark.parametrize(
        ("limit", "said"),
        [(0, "arguments.limit: 0 is less than the minimum of 1"), (2.5, "2.5"), ("7", '"7" is not of type "integer"')],
    )
    def test_resolved_arguments_are_checked_before_the_call(self, limit: Json, said: str) -> None:
        report = step("b", skill=REPORT.id, arguments={"entity": "host", "limit": "${a.limit}"})
        running = run(step("a"), report, a=gives({"limit": limit}))
        outcome = running.schedule.outcomes["b"]
        assert (outcome.kind, outcome.reason) == (StepOutcome.FAILED, StepReason.ARGUMENTS_INVALID)
        assert said in outcome.message
        assert not running.was_called("b")

    def test_resolved_arguments_that_are_too_large_or_too_deep_are_not_sent(self) -> None:
        deep: Json = 1
        for _ in range(24):
            deep = [deep]
        steps = [
            step("a"),
            step("b", arguments={"x": "${a.big}", "y": "${a.big}"}),
            step("c", arguments={"x": "${a.deep}"}),
        ]
        running = run(*steps, a=gives({"big": "x" * 600_000, "deep": deep}))
        for name, said in (("b", "at most 1048576"), ("c", "nested deeper than 24")):
            outcome = running.schedule.outcomes[name]
            assert outcome.reason is StepReason.ARGUMENTS_INVALID
            assert said in outcome.message


class TestForEach:
    def test_each_element_is_one_call_with_its_position(self) -> None:
        listing = step(
            "b", for_each="a.rows", arguments={"name": "${item.name}", "at": "${index}", "of": "${size(a.rows)}"}
        )
        running = run(step("a"), listing, a=gives({"rows": [{"name": "x"}, {"name": "y"}]}))
        assert running.ready("b").calls == (
            Call({"name": "x", "at": 0, "of": 2}, 0),
            Call({"name": "y", "at": 1, "of": 2}, 1),
        )

    def test_the_value_is_the_list_of_results_in_input_order(self) -> None:
        running = run(
            step("a", for_each=[3, 1, 2], arguments={"n": "${item}"}),
            step("b", arguments={"all": "${a}", "last": "${a[2].n}"}),
            a=lambda call: gives(call.arguments),
        )
        assert running.schedule.outcomes["a"].value == [{"n": 3}, {"n": 1}, {"n": 2}]
        assert running.arguments("b") == [{"all": [{"n": 3}, {"n": 1}, {"n": 2}], "last": 2}]

    @pytest.mark.parametrize("for_each", [[], "a.rows", "[]"])
    def test_an_empty_list_succeeds_without_a_call_and_gives_an_empty_list(self, for_each: Json) -> None:
        steps = [step("a"), step("b", for_each=for_each), step("c", arguments={"n": "${size(b)}", "all": "${b}"})]
        running = run(*steps, a=gives({"rows": []}))
        outcome = running.schedule.outcomes["b"]
        assert outcome.succeeded
        assert outcome.items == ()
        assert outcome.value == []
        assert not running.was_called("b")
        assert running.arguments("c") == [{"n": 0, "all": []}]

    def test_a_literal_list_is_taken_as_it_is(self) -> None:
        running = run(step("a", for_each=[1, "two", None, [3], {"four": 4}], arguments={"x": "${item}"}))
        assert [arguments["x"] for arguments in running.arguments("a")] == [1, "two", None, [3], {"four": 4}]

    @pytest.mark.parametrize("value", ["text", 3, None, {"k": [1]}, True])
    def test_what_is_no_list_is_a_failure(self, value: Json) -> None:
        running = run(step("a"), step("b", for_each="a.v"), a=gives({"v": value}))
        assert "`a.v` gave no list" in broke(running, "b")

    def test_a_list_that_ends_in_an_error_is_a_failure(self) -> None:
        assert "a.missing" in broke(run(step("a"), step("b", for_each="a.missing")), "b")

    def test_a_list_over_the_limit_fails_before_the_first_call(self) -> None:
        rows: list[Json] = list(range(65))
        steps = [step("a"), step("b", for_each="a.rows"), step("c", for_each=rows), step("d", depends_on=["b"])]
        running = run(*steps, a=gives({"rows": rows}))
        for name in ("b", "c"):
            outcome = running.schedule.outcomes[name]
            assert (outcome.kind, outcome.reason) == (StepOutcome.FAILED, StepReason.FAN_OUT_EXCEEDED)
            assert "65 elements, at most 64" in outcome.message
            assert outcome.items is None
            assert not running.was_called(name)
        assert running.schedule.outcomes["d"].reason is StepReason.UPSTREAM_FAILED

    def test_a_list_of_exactly_the_limit_is_called_for_every_element(self) -> None:
        assert len(run(step("a", for_each=list(range(64)))).ready("a").calls) == 64

    def test_the_limit_can_be_raised_to_a_thousand(self) -> None:
        running = run(
            step("a", for_each=list(range(1_000)), arguments={"n": "${item}"}),
            max_fan_out=1_000,
            a=lambda call: gives(call.arguments),
        )
        assert running.schedule.outcomes["a"].value == [{"n": index} for index in range(1_000)]

    def test_the_condition_is_evaluated_once_before_the_list(self) -> None:
        steps = [step("a"), step("b", when="size(a.rows) > 1", for_each="a.rows", arguments={"x": "${item}"})]
        assert run(*steps, a=gives({"rows": [1]})).schedule.outcomes["b"].reason is StepReason.CONDITION_FALSE
        assert run(*steps, a=gives({"rows": [1, 2]})).arguments("b") == [{"x": 1}, {"x": 2}]

    def test_an_expression_that_fails_for_one_element_fails_that_one_alone(self) -> None:
        steps = [step("a"), step("b", for_each="a.rows", arguments={"x": "${item.name}"})]
        running = run(*steps, a=gives({"rows": [{"name": 1}, {}, {"name": 3}]}))
        ready = running.ready("b")
        assert [call.index for call in ready.calls] == [0, 2]
        assert {index: item.reason for index, item in ready.settled.items()} == {1: StepReason.EXPRESSION_FAILED}
        outcome = running.schedule.outcomes["b"]
        assert (outcome.kind, outcome.reason) == (StepOutcome.FAILED, StepReason.ITEMS_FAILED)
        assert "1 of 3 items failed, the first at [1]: EXPRESSION_FAILED" in outcome.message
        assert outcome.items is not None
        assert [item.succeeded for item in outcome.items] == [True, False, True]

    def test_arguments_that_do_not_fit_for_one_element_fail_that_one_alone(self) -> None:
        message = step("a", skill=MESSAGE.id, for_each=["x", 5], arguments={"to": ["ops"], "text": "${item}"})
        running = run(message)
        assert [call.index for call in running.ready("a").calls] == [0]
        assert running.ready("a").settled[1].reason is StepReason.ARGUMENTS_INVALID

    def test_if_no_element_can_be_called_the_step_has_failed(self) -> None:
        for optional in (False, True):
            running = run(step("a", for_each=[1, 2], arguments={"x": "${item.name}"}, optional=optional))
            outcome = running.schedule.outcomes["a"]
            assert (outcome.kind, outcome.reason) == (StepOutcome.FAILED, StepReason.ITEMS_FAILED)
            assert not running.was_called("a")

    @pytest.mark.parametrize(
        ("optional", "broken", "kind"),
        [
            (False, [], StepOutcome.SUCCEEDED),
            (False, [1], StepOutcome.FAILED),
            (True, [], StepOutcome.SUCCEEDED),
            (True, [1], StepOutcome.SUCCEEDED),
            (True, [0, 1, 2], StepOutcome.FAILED),
        ],
    )
    def test_failed_elements_fail_the_step_unless_it_is_optional_and_one_succeeded(
        self, broken: list[int], kind: StepOutcome, *, optional: bool
    ) -> None:
        running = run(
            step("a", for_each=[0, 1, 2], arguments={"n": "${item}"}, optional=optional), a=_broken_at(broken)
        )
        outcome = running.schedule.outcomes["a"]
        assert outcome.kind is kind
        assert outcome.value == [None if index in broken else {"n": index} for index in range(3)]

    def test_a_failed_element_of_an_optional_step_is_null_for_those_behind(self) -> None:
        running = run(
            step("a", for_each=[0, 1], arguments={"n": "${item}"}, optional=True),
            step("b", arguments={"there": "${a.filter(r, r != null).map(r, r.n)}", "second": "${a[1]}"}),
            a=_broken_at([1]),
        )
        assert running.arguments("b") == [{"there": [0], "second": None}]


def _broken_at(broken: list[int]) -> Callable[[Call], Outcome]:
    return lambda call: FAILED if call.index in broken else gives(call.arguments)


class TestGreatPlans:
    def test_a_chain_of_a_thousand_steps(self) -> None:
        steps = [step("s0"), *(step(f"s{n}", arguments={"n": f"${{s{n - 1}.n + 1.0}}"}) for n in range(1, 1_000))]
        running = Running(plan_of(*steps), {"s0": gives({"n": 0})} | {f"s{n}": _arguments for n in range(1, 1_000)})
        outcomes = running.to_the_end()
        assert outcomes["s999"].result == {"n": 999}

    def test_a_failure_at_the_head_of_a_thousand_steps_skips_them_all_at_once(self) -> None:
        steps = [step("s0"), *(step(f"s{n}", depends_on=[f"s{n - 1}"]) for n in range(1, 1_000))]
        running = Running(plan_of(*steps), {"s0": FAILED})
        running.start()
        events = running.end("s0")
        assert [event.step.id for event in events] == [f"s{n}" for n in range(1_000)]
        assert all(isinstance(event, StepEnded) for event in events)
        assert running.schedule.done

    def test_a_thousand_steps_side_by_side_and_one_that_needs_them_all(self) -> None:
        names = [f"s{n}" for n in range(1_000)]
        plan = plan_of(
            step("root"), *(step(name, depends_on=["root"]) for name in names), step("join", depends_on=list(names))
        )
        running = Running(plan, {})
        running.start()
        assert len(running.end("root")) == 1_001
        assert running.schedule.running == set(names)
        events = running.end(*reversed(names))
        assert [event.step.id for event in events] == [*names, "join"]


def _arguments(call: Call) -> Outcome:
    return gives(call.arguments)


def test_two_runs_of_one_plan_do_not_touch_each_other() -> None:
    plan = plan_of(step("a"), step("b", arguments={"x": "${a.v}"}))
    first, second = Running(plan, {"a": gives({"v": 1})}), Running(plan, {"a": FAILED})
    first.to_the_end()
    second.to_the_end()
    assert first.schedule.outcomes["b"].succeeded
    assert not second.schedule.outcomes["b"].succeeded
    third = Running(plan, {"a": gives({"v": 1})})
    third.to_the_end()
    assert shown(third.events) == shown(first.events)
