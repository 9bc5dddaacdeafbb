"""A plan as a value: its mode, its hash, its cycles if it were none, and the least time that it could take."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentmesh.cards import Effect
from agentmesh.errors import Violation, ViolationReason
from agentmesh.jsonvalues import JsonObject
from orchestrator_svc.core.critical_path import critical_path
from orchestrator_svc.core.cycles import cycles
from orchestrator_svc.core.plan import Mode, Plan
from orchestrator_svc.core.validate import effect_violations, validate
from tests.core.cases import draw_case
from tests.core.running import plan_of, step
from tests.core.skills import CATALOG, MESSAGE, STORE

RANDOMS = st.randoms(use_true_random=True)


class TestMode:
    @given(RANDOMS)
    def test_it_follows_from_the_number_of_steps_and_whether_there_is_an_edge(self, random: Random) -> None:
        case = draw_case(random, most_steps=3)
        edges = any(made.needs for made in case.steps)
        mode = Mode.SEQUENTIAL if edges else Mode.SINGLE if len(case.steps) == 1 else Mode.PARALLEL
        assert plan_of(*case.sources()).mode is mode

    def test_without_steps_there_is_none(self) -> None:
        assert Plan(()).mode is Mode.NONE


class TestValue:
    @given(RANDOMS)
    def test_the_plan_language_gives_an_equal_plan(self, random: Random) -> None:
        plan = plan_of(*draw_case(random).sources())
        again = validate(plan.to_json(), CATALOG)
        assert again == plan
        assert again.hash == plan.hash

    def test_what_is_written_and_what_is_left_out_is_one_plan(self) -> None:
        written = {**step("a"), "arguments": {}, "when": "", "for_each": None, "optional": False, "depends_on": []}
        assert plan_of(written) == plan_of(step("a"))
        assert plan_of(written).hash == plan_of(step("a")).hash

    @pytest.mark.parametrize(
        "other",
        [
            step("c"),
            step("b", arguments={"x": 1}),
            step("b", when="1 < 2"),
            step("b", for_each=[1]),
            step("b", optional=True),
            step("b", depends_on=["a"]),
            step("b", skill="data_agent__list_entities"),
        ],
    )
    def test_plans_that_differ_are_not_equal(self, other: JsonObject) -> None:
        assert plan_of(step("a"), other) != plan_of(step("a"), step("b"))
        assert plan_of(step("a"), other).hash != plan_of(step("a"), step("b")).hash

    def test_the_hash_does_not_depend_on_the_order_of_keys(self) -> None:
        reversed_keys: JsonObject = dict(reversed(step("a", arguments={"x": 1, "y": 2}).items()))
        assert plan_of(reversed_keys).hash == plan_of(step("a", arguments={"y": 2, "x": 1})).hash

    def test_a_plan_never_changes(self) -> None:
        with pytest.raises(FrozenInstanceError):
            plan_of(step("a")).steps[0].optional = True  # type: ignore[misc]  # that is the point


class TestEffects:
    STEPS = (
        step("a"),
        step("b", skill=STORE.id, arguments={"record": {}}),
        step("c", skill=MESSAGE.id, arguments={"to": ["x"], "text": "y"}),
    )

    @pytest.mark.parametrize(
        ("limit", "steps"),
        [
            (Effect.READ_ONLY, ["steps[1].skill", "steps[2].skill"]),
            (Effect.IDEMPOTENT, ["steps[2].skill"]),
            (Effect.SIDE_EFFECT, []),
        ],
    )
    def test_skills_above_the_limit_are_named(self, limit: Effect, steps: list[str]) -> None:
        found = effect_violations(plan_of(*self.STEPS), limit)
        assert [violation.path for violation in found] == steps
        assert all(violation.reason is ViolationReason.EFFECT_NOT_ALLOWED for violation in found)

    def test_the_message_says_what_it_is_and_what_is_allowed(self) -> None:
        assert effect_violations(plan_of(*self.STEPS), Effect.IDEMPOTENT) == (
            Violation(
                "steps[2].skill",
                ViolationReason.EFFECT_NOT_ALLOWED,
                "`notify_agent__send_message` is SIDE_EFFECT, allowed is at most IDEMPOTENT (max_effect)",
            ),
        )


class TestCycles:
    @given(RANDOMS)
    def test_without_the_edges_of_the_cycles_there_is_none_left(self, random: Random) -> None:
        names = [str(number) for number in range(random.randint(0, 8))]
        needs = {name: [other for other in names if random.random() < 0.25] for name in names}
        found = list(cycles(needs))
        edges = [edge for cycle in found for edge in pairwise(cycle)]
        assert len(edges) == len(set(edges))
        for cycle in found:
            assert cycle[0] == cycle[-1] == min(cycle)
            assert len(set(cycle)) == len(cycle) - 1
            assert all(other in needs[name] for name, other in pairwise(cycle))
        rest = {name: [other for other in others if (name, other) not in edges] for name, others in needs.items()}
        assert not _has_cycle(rest)

    @given(RANDOMS)
    def test_a_graph_without_a_cycle_has_none(self, random: Random) -> None:
        needs = {made.id: sorted(made.needs) for made in draw_case(random).steps}
        assert list(cycles(needs)) == []


def _has_cycle(needs: dict[str, list[str]]) -> bool:
    """By taking away what needs nothing, until nothing can be taken away."""
    left = dict(needs)
    while free := [name for name, others in left.items() if not set(others) & left.keys()]:
        for name in free:
            del left[name]
    return bool(left)


class TestCriticalPath:
    def test_a_plan_without_steps_takes_no_time(self) -> None:
        assert critical_path(Plan(()), {}) == 0

    def test_of_steps_side_by_side_the_longest(self) -> None:
        assert critical_path(plan_of(step("a"), step("b")), {"a": 1.0, "b": 3.0}) == 3

    def test_of_a_chain_the_sum(self) -> None:
        chain = plan_of(step("c", depends_on=["b"]), step("b", depends_on=["a"]), step("a"))
        assert critical_path(chain, {"a": 1.0, "b": 2.0, "c": 4.0}) == 7

    def test_of_a_diamond_the_longer_side(self) -> None:
        diamond = plan_of(
            step("a"), step("b", depends_on=["a"]), step("c", depends_on=["a"]), step("d", depends_on=["b", "c"])
        )
        assert critical_path(diamond, {"a": 1.0, "b": 5.0, "c": 2.0, "d": 1.0}) == 7

    def test_a_step_that_took_no_time_still_passes_on_what_came_before(self) -> None:
        plan = plan_of(step("a"), step("b", depends_on=["a"]), step("c", depends_on=["b"]))
        assert critical_path(plan, {"a": 1.0, "c": 1.0}) == 2

    def test_a_chain_of_a_thousand_steps(self) -> None:
        steps = [step("s0"), *(step(f"s{n}", depends_on=[f"s{n - 1}"]) for n in range(1, 1_000))]
        assert critical_path(plan_of(*steps), {f"s{n}": 1.0 for n in range(1_000)}) == 1_000

    @given(RANDOMS)
    def test_it_is_never_longer_than_all_steps_nor_shorter_than_any(self, random: Random) -> None:
        case = draw_case(random)
        seconds = {made.id: float(random.randint(0, 9)) for made in case.steps}
        length = critical_path(plan_of(*case.sources()), seconds)
        assert max(seconds.values()) <= length <= sum(seconds.values())
