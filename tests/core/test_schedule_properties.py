"""What holds for every plan, every result and every order of completion."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator_svc.core.events import Call, Event, StepEnded, StepReady
from orchestrator_svc.core.outcome import Outcome, StepOutcome, StepReason
from orchestrator_svc.core.plan import Plan
from tests.core.cases import Case, draw_case, expected
from tests.core.running import FAILED, Running, gives, plan_of, shown, step

# Seeded by Hypothesis; drawing every choice through it would take five times as long.
RANDOMS = st.randoms(use_true_random=True)


def running_of(case: Case, plan: Plan | None = None) -> Running:
    answers: dict[str, Outcome | Callable[[Call], Outcome]] = {
        made.id: _items(case.items[made.id]) if made.over else case.answers[made.id] for made in case.steps
    }
    return Running(plan or plan_of(*case.sources()), answers)


def _items(outcomes: list[Outcome]) -> Callable[[Call], Outcome]:
    return lambda call: outcomes[call.index or 0]


def batches(running: Running, random: Random) -> None:
    """End the steps of a plan in any order, several at once, until all have ended."""
    running.start()
    while not running.schedule.done:
        names = sorted(running.schedule.running)
        running.end(*random.sample(names, random.randint(1, len(names))))


@given(RANDOMS)
@settings(max_examples=500)
def test_every_plan_ends_and_every_step_ends_as_the_specification_says(random: Random) -> None:
    case = draw_case(random)
    running = running_of(case)
    batches(running, random)
    ends = {name: (outcome.kind, outcome.reason) for name, outcome in running.schedule.outcomes.items()}
    assert ends == expected(case)


@given(RANDOMS)
def test_no_step_is_handed_out_before_all_it_needs_have_ended_and_each_at_most_once(random: Random) -> None:
    case = draw_case(random)
    running = running_of(case)
    batches(running, random)
    needs = {made.id: made.needs for made in case.steps}
    ready: list[str] = []
    ended: list[str] = []
    for event in running.events:
        assert needs[event.step.id] <= set(ended)
        (ready if isinstance(event, StepReady) else ended).append(event.step.id)
    assert len(set(ready)) == len(ready)
    assert sorted(ended) == sorted(needs)


@given(RANDOMS)
def test_the_outcomes_do_not_depend_on_the_order_of_completions(random: Random) -> None:
    case = draw_case(random)
    plan = plan_of(*case.sources())
    first, second = running_of(case, plan), running_of(case, plan)
    batches(first, random)
    batches(second, random)
    assert first.schedule.outcomes == second.schedule.outcomes


@given(RANDOMS)
def test_completions_handed_over_as_a_set_give_the_same_events_for_every_order_of_it(random: Random) -> None:
    case = draw_case(random)
    plan = plan_of(*case.sources())
    first, second = running_of(case, plan), running_of(case, plan)
    assert shown(first.start()) == shown(second.start())
    while not first.schedule.done:
        names = sorted(first.schedule.running)
        together = random.sample(names, random.randint(1, len(names)))
        reordered = random.sample(together, len(together))
        assert shown(first.end(*together)) == shown(second.end(*reordered))


@given(RANDOMS)
def test_a_failure_skips_exactly_its_dependents_but_those_that_tolerate_it(random: Random) -> None:
    count, guarded = random.randint(2, 12), random.random() < 0.5
    needs: dict[str, list[str]] = {}
    guards: dict[str, list[str]] = {}
    for number in range(count):
        name, earlier = f"s{number}", list(needs)
        needs[name] = [each for each in earlier if random.random() < 0.3]
        guards[name] = [each for each in earlier if guarded and random.random() < 0.15]
    steps = [
        step(name, depends_on=list(needs[name]), when=" && ".join(f"(has({g}.x) || true)" for g in guards[name]))
        for name in needs
    ]
    failing = f"s{random.randrange(count)}"
    running = Running(plan_of(*steps), {name: FAILED if name == failing else gives({"x": 1}) for name in needs})
    batches(running, random)
    absent = {failing}
    for name, needed in needs.items():  # earlier steps first
        if (set(needed) - set(guards[name])) & absent:
            absent.add(name)
    for name, outcome in running.schedule.outcomes.items():
        if name == failing:
            assert outcome is FAILED
        elif name in absent:
            assert (outcome.kind, outcome.reason) == (StepOutcome.SKIPPED, StepReason.UPSTREAM_FAILED)
            assert set(outcome.because_of) == (set(needs[name]) - set(guards[name])) & absent
        else:
            assert outcome.succeeded


@given(RANDOMS)
def test_events_of_one_moment_are_in_plan_order_but_for_what_follows_from_them(random: Random) -> None:
    case = draw_case(random)
    running = running_of(case)
    order = {made.id: position for position, made in enumerate(case.steps)}
    needs = {made.id: made.needs for made in case.steps}

    def check(events: tuple[Event, ...]) -> None:
        for before, after in pairwise(events):
            follows = any(isinstance(event, StepEnded) and event.step.id in needs[after.step.id] for event in events)
            assert order[before.step.id] < order[after.step.id] or follows

    check(running.start())
    while not running.schedule.done:
        names = sorted(running.schedule.running)
        check(running.end(*random.sample(names, random.randint(1, len(names)))))


def events_digest() -> str:
    """A digest of the events of sixty runs: the same in every process."""
    digest = hashlib.sha256()
    for seed in range(60):
        random = Random(seed)  # noqa: S311 - the same plans in every process
        running = running_of(draw_case(random))
        batches(running, random)
        digest.update(repr(shown(running.events)).encode())
    return digest.hexdigest()


def test_the_events_are_the_same_under_every_hash_seed() -> None:
    script = "from tests.core.test_schedule_properties import events_digest; print(events_digest())"
    outputs = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            text=True,
        ).stdout.strip()
        for seed in ("0", "1", "4242")
    }
    assert outputs == {events_digest()}
