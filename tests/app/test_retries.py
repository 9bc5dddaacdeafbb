"""What the attempts at one call come to: over a fake caller, with time that stands still but for pauses."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import pytest
from structlog.testing import capture_logs

from agentmesh import errors
from agentmesh.cards import Effect
from agentmesh.deadline import Deadline
from agentmesh.errors import Code, MeshError
from agentmesh.jsonvalues import JsonObject
from orchestrator_svc.app.execute import ExecuteLimits, Executor
from orchestrator_svc.app.ledger import AgentSpending
from orchestrator_svc.app.ports.planner import Question
from orchestrator_svc.app.request import RunRequest
from orchestrator_svc.app.retry import RetryPolicy
from orchestrator_svc.app.run import Run
from orchestrator_svc.app.run_events import StepStarted
from orchestrator_svc.core.budget import NO_LIMITS, Budget
from orchestrator_svc.core.catalog import Catalog
from orchestrator_svc.core.outcome import Outcome, StepOutcome, StepReason
from orchestrator_svc.core.validate import validate
from tests.app.conftest import skill
from tests.fakes.agent_caller import FunctionAgentCaller, SkillFunction
from tests.fakes.clock import ManualClock

READ: JsonObject = {"id": "a", "skill": "one__read"}
WRITE: JsonObject = {"id": "a", "skill": "four__write"}
STORE: JsonObject = {"id": "a", "skill": "five__store"}
GONE = errors.Unreachable("the connection broke")


@dataclass
class Pausing(ManualClock):
    """Pauses take no time, are noted, and may make something happen."""

    pauses: list[float] = field(default_factory=list)
    meanwhile: Callable[[], None] = lambda: None

    def __post_init__(self) -> None:
        super().__init__()

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.meanwhile()
        await super().sleep(seconds)


@dataclass
class Scene:
    """A plan over fake agents, with time that stands still but for pauses."""

    catalog: Catalog
    skills: Mapping[str, SkillFunction]
    dead: set[str] = field(default_factory=set)
    spending: Mapping[str, AgentSpending] = field(default_factory=dict)
    budget: Budget = NO_LIMITS
    seconds: float = 60.0
    limits: ExecuteLimits = field(default_factory=ExecuteLimits)
    clock: Pausing = field(default_factory=Pausing)

    def __post_init__(self) -> None:
        self.run = Run.begin(RunRequest(Question("?")), self.clock, self.budget)
        self.caller = FunctionAgentCaller(self.skills, self.dead, self.spending)

    async def play(self, *steps: JsonObject) -> Outcome:
        """Run the plan, and return how its first step ended."""
        plan = validate({"steps": list(steps)}, self.catalog)
        executor = Executor(self.caller, self.limits, jitter=lambda: 0.5)
        await executor.execute(self.run, plan, Deadline.after(self.seconds, self.clock.monotonic))
        return self.run.steps[plan.steps[0].id].outcome

    @property
    def attempts(self) -> list[int]:
        """Numbers of the attempts as the agents were told them."""
        return [call.attempt for call in self.caller.started]

    async def announced(self) -> list[tuple[int, str]]:
        """Attempts and endpoints as the journal has them."""
        self.run.journal.close()
        events = [entry.event async for entry in self.run.journal.read()]
        return [(event.attempt, event.endpoint) for event in events if isinstance(event, StepStarted)]


def failing_first(times: int, error: MeshError) -> SkillFunction:
    """A skill that works from then on."""
    numbers = itertools.count(1)

    async def function(arguments: JsonObject) -> JsonObject:
        number = next(numbers)
        if number <= times:
            raise error
        return {"attempt": number}

    return function


@pytest.mark.parametrize("step", [READ, STORE], ids=["READ_ONLY", "IDEMPOTENT"])
async def test_a_call_that_fails_twice_and_then_succeeds_has_succeeded(catalog: Catalog, step: JsonObject) -> None:
    identifier = str(step["skill"])
    scene = Scene(
        catalog,
        {identifier: failing_first(2, GONE)},
        spending={identifier: AgentSpending(llm_calls=1, cost_usd=0.5)},
    )
    outcome = await scene.play(step)
    assert (outcome.kind, outcome.result) == (StepOutcome.SUCCEEDED, {"attempt": 3})
    assert (outcome.attempts, outcome.endpoint) == (3, f"fake:{identifier.partition('__')[0]}")
    assert scene.attempts == [1, 2, 3]
    assert len({call.idempotency_key for call in scene.caller.started}) == 1
    assert await scene.announced() == [(number, outcome.endpoint) for number in (1, 2, 3)]
    assert scene.clock.pauses == [0.05, 0.1]
    assert scene.run.ledger.agent_calls == 3
    assert scene.run.ledger.agents == AgentSpending(llm_calls=3, cost_usd=1.5), "failed attempts cost, too"


async def test_a_call_that_always_fails_ends_as_its_last_attempt_did(catalog: Catalog) -> None:
    answers = iter([GONE, errors.ResourceExhausted("one"), errors.ResourceExhausted("two"), GONE])

    async def function(arguments: JsonObject) -> JsonObject:
        raise next(answers)

    outcome = await Scene(catalog, {"one__read": function}).play(READ)
    assert (outcome.kind, outcome.reason, outcome.message) == (StepOutcome.FAILED, StepReason.AGENT_ERROR, "two")
    assert (outcome.code, outcome.agent_reason) == (Code.RESOURCE_EXHAUSTED, "RESOURCE_EXHAUSTED")
    assert (outcome.attempts, outcome.transient) == (3, True)


async def test_an_attempt_that_times_out_is_followed_by_another_while_the_run_has_time(catalog: Catalog) -> None:
    numbers = itertools.count(1)

    async def late_once(arguments: JsonObject) -> JsonObject:
        if next(numbers) == 1:
            await asyncio.Event().wait()
        return {}

    quick = skill("one__read", timeout_seconds=0.02)
    scene = Scene(Catalog.of([quick]), {"one__read": late_once})
    outcome = await scene.play(READ)
    assert (outcome.kind, outcome.attempts) == (StepOutcome.SUCCEEDED, 2)
    assert scene.clock.pauses == [0.05]


async def test_a_side_effect_that_times_out_is_sent_once_and_may_have_happened(catalog: Catalog) -> None:
    async def hangs(arguments: JsonObject) -> JsonObject:
        await asyncio.Event().wait()
        return {}

    quick = skill("four__write", Effect.SIDE_EFFECT, timeout_seconds=0.02)
    scene = Scene(Catalog.of([quick]), {"four__write": hangs})
    outcome = await scene.play(WRITE)
    assert (outcome.kind, outcome.reason) == (StepOutcome.TIMED_OUT, StepReason.DEADLINE_EXCEEDED)
    assert (outcome.attempts, outcome.effect_unknown, outcome.reached) == (1, True, True)
    assert scene.clock.pauses == []


@pytest.mark.parametrize(
    "error",
    [errors.ShuttingDown("bye"), errors.ResourceExhausted("later", retry_after_seconds=0.1)],
    ids=["shutting down", "a limit"],
)
async def test_a_side_effect_that_was_refused_is_not_sent_again_and_has_not_happened(
    catalog: Catalog, error: MeshError
) -> None:
    scene = Scene(catalog, {"four__write": failing_first(1, error)})
    outcome = await scene.play(WRITE)
    assert (outcome.kind, outcome.attempts, outcome.effect_unknown) == (StepOutcome.FAILED, 1, False)


async def test_a_side_effect_whose_agent_does_not_know_either_may_have_happened(catalog: Catalog) -> None:
    """What the SDK answers a repetition of a call that was cut short; see `idempotency_key` in the contract."""
    unsure = errors.SkillFailed("it was cut short", metadata={"effect_unknown": "true"})
    outcome = await Scene(catalog, {"four__write": failing_first(1, unsure)}).play(WRITE)
    assert (outcome.kind, outcome.attempts, outcome.effect_unknown) == (StepOutcome.FAILED, 1, True)


async def test_a_side_effect_that_its_agent_cancelled_may_have_happened(catalog: Catalog) -> None:
    scene = Scene(catalog, {"four__write": failing_first(1, errors.RunCancelled("cancelled there"))})
    outcome = await scene.play(WRITE)
    assert (outcome.kind, outcome.attempts, outcome.effect_unknown) == (StepOutcome.FAILED, 1, True)


async def test_a_side_effect_that_never_left_us_is_sent_until_it_arrives(catalog: Catalog) -> None:
    async def works(arguments: JsonObject) -> JsonObject:
        return {}

    scene = Scene(catalog, {"four__write": works}, dead={"four"})
    scene.clock.meanwhile = scene.dead.clear
    outcome = await scene.play(WRITE)
    assert (outcome.kind, outcome.attempts, outcome.reached) == (StepOutcome.SUCCEEDED, 2, True)
    assert scene.attempts == [2], "the agent learns that one was attempted before"


async def test_a_side_effect_that_never_arrives_has_not_happened_and_its_request_may_run_afresh(
    catalog: Catalog,
) -> None:
    scene = Scene(catalog, {}, dead={"four"})
    outcome = await scene.play(WRITE)
    assert (outcome.kind, outcome.reason) == (StepOutcome.FAILED, StepReason.AGENT_UNAVAILABLE)
    assert (outcome.attempts, outcome.effect_unknown, outcome.reached) == (3, False, False)
    scene.run.plan = validate({"steps": [WRITE]}, catalog)
    assert not scene.run.may_have_changed_things


async def test_a_call_that_waited_for_an_endpoint_in_vain_does_not_wait_again(catalog: Catalog) -> None:
    scene = Scene(catalog, {})
    outcome = await scene.play(READ)
    assert (outcome.reason, outcome.attempts) == (StepReason.NO_ENDPOINT, 0)
    assert scene.run.ledger.agent_calls == 0
    assert scene.clock.pauses == []


async def test_an_endpoint_that_leaves_after_a_failure_leaves_the_failure(catalog: Catalog) -> None:
    skills: dict[str, SkillFunction] = {"one__read": failing_first(9, errors.ResourceExhausted("no more"))}
    scene = Scene(catalog, skills)
    scene.clock.meanwhile = skills.clear
    outcome = await scene.play(READ)
    assert (outcome.reason, outcome.message) == (StepReason.AGENT_ERROR, "no more")
    assert (outcome.attempts, outcome.endpoint) == (1, "fake:one")


async def test_what_the_agent_wants_to_wait_longer_than_the_run_lasts_is_not_waited_for(catalog: Catalog) -> None:
    busy = errors.ResourceExhausted("come back later", retry_after_seconds=30)
    scene = Scene(catalog, {"one__read": failing_first(1, busy)}, seconds=10)
    outcome = await scene.play(READ)
    assert (outcome.kind, outcome.reason, outcome.attempts) == (StepOutcome.FAILED, StepReason.AGENT_ERROR, 1)
    assert outcome.message == "come back later"
    assert scene.clock.pauses == []


async def test_what_the_agent_wants_to_wait_is_waited_for_if_there_is_time(catalog: Catalog) -> None:
    busy = errors.ResourceExhausted("come back later", retry_after_seconds=30)
    scene = Scene(catalog, {"one__read": failing_first(1, busy)}, seconds=60)
    assert (await scene.play(READ)).succeeded
    assert scene.clock.pauses == [30]


async def test_time_that_is_over_after_the_pause_leaves_the_outcome_of_the_failed_attempt(catalog: Catalog) -> None:
    """Another call may have the place for long, so that the pause is not all that is waited for."""
    scene = Scene(catalog, {"one__read": failing_first(1, GONE)}, seconds=10)
    scene.clock.meanwhile = lambda: scene.clock.advance(10)
    outcome = await scene.play(READ)
    assert (outcome.kind, outcome.reason, outcome.attempts) == (StepOutcome.FAILED, StepReason.AGENT_UNAVAILABLE, 1)


async def test_items_are_attempted_again_one_by_one(catalog: Catalog) -> None:
    tries = {0: itertools.count(1), 1: itertools.count(1), 2: itertools.count(1)}

    async def function(arguments: JsonObject) -> JsonObject:
        item = arguments["x"]
        assert isinstance(item, int)
        attempt = next(tries[item])
        if attempt <= item:  # item 0 never fails, item 1 once, item 2 twice
            raise GONE
        return {"got": item}

    scene = Scene(catalog, {"one__read": function})
    step: JsonObject = {**READ, "for_each": [0, 1, 2], "arguments": {"x": "${item}"}}
    outcome = await scene.play(step)
    assert outcome.items is not None
    assert [(item.kind, item.attempts) for item in outcome.items] == [
        (StepOutcome.SUCCEEDED, 1),
        (StepOutcome.SUCCEEDED, 2),
        (StepOutcome.SUCCEEDED, 3),
    ]
    assert outcome.attempts == 6
    told: dict[int | None, list[tuple[int, str]]] = {}
    for call in scene.caller.started:
        told.setdefault(call.item_index, []).append((call.attempt, call.idempotency_key))
    assert {index: [attempt for attempt, _ in calls] for index, calls in told.items()} == {
        0: [1],
        1: [1, 2],
        2: [1, 2, 3],
    }
    assert all(len({key for _, key in calls}) == 1 for calls in told.values())
    assert len({calls[0][1] for calls in told.values()}) == 3


async def test_a_pause_holds_no_place_among_the_calls_in_flight(catalog: Catalog) -> None:
    async def works(arguments: JsonObject) -> JsonObject:
        other_ran.set()
        return {}

    other_ran = asyncio.Event()

    class Waiting(Pausing):
        async def sleep(self, seconds: float) -> None:
            await other_ran.wait()
            await super().sleep(seconds)

    scene = Scene(
        catalog,
        {"one__read": failing_first(1, GONE), "two__read": works},
        limits=ExecuteLimits(max_concurrent_calls=1),
        clock=Waiting(),
    )
    assert (await scene.play(READ, {"id": "b", "skill": "two__read"})).succeeded
    assert [call.step_id for call in scene.caller.started] == ["a", "b", "a"]


async def test_every_attempt_is_claimed_from_the_budget_of_the_run(catalog: Catalog) -> None:
    scene = Scene(catalog, {"one__read": failing_first(2, GONE)}, budget=Budget(agent_calls=2))
    outcome = await scene.play(READ)
    assert (outcome.kind, outcome.reason) == (StepOutcome.FAILED, StepReason.AGENT_UNAVAILABLE), "as it last failed"
    assert outcome.attempts == scene.run.ledger.agent_calls == 2


async def test_a_call_for_which_the_budget_leaves_no_attempt_is_not_made(catalog: Catalog) -> None:
    scene = Scene(catalog, {"one__read": failing_first(0, GONE)}, budget=Budget(agent_calls=0))
    outcome = await scene.play(READ)
    assert (outcome.kind, outcome.reason, outcome.attempts) == (StepOutcome.FAILED, StepReason.BUDGET_EXCEEDED, 0)
    assert scene.caller.started == []


async def test_steps_that_run_together_cannot_overspend_with_their_retries(catalog: Catalog) -> None:
    scene = Scene(catalog, {"one__read": failing_first(99, GONE)}, budget=Budget(agent_calls=7))
    step: JsonObject = {**READ, "for_each": list(range(5)), "arguments": {"x": "${item}"}}
    outcome = await scene.play(step)
    assert outcome.items is not None
    assert len(scene.caller.started) == scene.run.ledger.agent_calls == outcome.attempts == 7
    assert {item.reason for item in outcome.items} == {StepReason.AGENT_UNAVAILABLE}


@pytest.mark.parametrize(
    ("step", "dead", "reached"),
    [(READ, False, True), (READ, True, False), (WRITE, True, False)],
    ids=["answered", "never left", "a SIDE_EFFECT that never left"],
)
async def test_a_run_that_is_cancelled_in_a_pause_keeps_its_counts(
    catalog: Catalog, step: JsonObject, *, dead: bool, reached: bool
) -> None:
    class Interrupting(Pausing):
        async def sleep(self, seconds: float) -> None:
            if self.pauses:
                playing.cancel()
                await asyncio.Event().wait()
            await super().sleep(seconds)

    identifier = str(step["skill"])
    scene = Scene(
        catalog,
        {identifier: failing_first(9, GONE)},
        dead={identifier.partition("__")[0]} if dead else set(),
        clock=Interrupting(),
    )
    playing = asyncio.create_task(scene.play(step))
    with pytest.raises(asyncio.CancelledError):
        await playing
    outcome = scene.run.steps["a"].outcome
    assert (outcome.kind, outcome.reason) == (StepOutcome.CANCELLED, StepReason.RUN_CANCELLED)
    assert (outcome.attempts, outcome.reached, outcome.effect_unknown) == (2, reached, False)
    assert scene.run.ledger.agent_calls == 2


async def test_over_many_calls_a_dead_agent_gets_its_share_of_retries_and_the_burst_and_no_more(
    catalog: Catalog,
) -> None:
    scene = Scene(
        catalog,
        {"one__read": failing_first(10_000, GONE)},
        limits=ExecuteLimits(max_fan_out=200, retry=RetryPolicy(max_attempts=3, share=0.2, burst=10)),
    )
    with capture_logs() as logs:
        outcome = await scene.play({**READ, "for_each": list(range(200)), "arguments": {"x": "${item}"}})
    assert 200 < len(scene.caller.started) <= 200 * 1.2 + 10
    assert outcome.attempts == len(scene.caller.started)
    events = [entry["event"] for entry in logs]
    assert events.count("agent call is retried") == len(scene.caller.started) - 200
    assert events.count("agent call is not retried, the agent has had too many retries") > 0


async def test_each_retry_is_one_line_in_the_log(catalog: Catalog) -> None:
    scene = Scene(catalog, {"one__read": failing_first(1, GONE)})
    with capture_logs() as logs:
        await scene.play({**READ, "for_each": [0], "arguments": {"x": "${item}"}})
    assert logs == [
        {
            "event": "agent call is retried",
            "log_level": "info",
            "run_id": scene.run.id,
            "step": "a",
            "item": 0,
            "skill": "one__read",
            "agent": "one",
            "attempt": 1,
            "reason": "AGENT_UNAVAILABLE",
            "pause_seconds": 0.05,
        }
    ]
