"""What every `AgentCaller` promises: the fake, whose agents are functions, and the real one over a real agent."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from agentmesh import errors
from agentmesh.agent import Agent, current_call, progress, report_usage
from agentmesh.card_messages import card_to_json
from agentmesh.cards import Effect
from agentmesh.deadline import Deadline
from agentmesh.errors import Code, MeshError, Violation, ViolationReason
from agentmesh.jsonvalues import JsonObject
from agentmesh.reasons import code_of, reason_of
from orchestrator_svc.adapters.grpc_agent_caller import GrpcAgentCaller
from orchestrator_svc.adapters.memory_agent_store import MemoryAgentStore
from orchestrator_svc.adapters.system_clock import SystemClock
from orchestrator_svc.app.endpoints import Endpoints
from orchestrator_svc.app.ledger import NOTHING_SPENT, AgentSpending
from orchestrator_svc.app.ports.agent_caller import AgentCall, AgentCaller, AgentReply, CallFailed
from orchestrator_svc.core.card import Card, read_card
from orchestrator_svc.core.catalog import Skill
from tests.app.listed import list_endpoint
from tests.fakes.agent_caller import FunctionAgentCaller, RecordingWatcher, report_progress

PATIENCE_SECONDS = 30.0
"""Only a test that fails waits so long."""
SPENT = AgentSpending(llm_calls=2, input_tokens=300, output_tokens=40, cost_usd=0.25)

REFUSALS: dict[str, MeshError] = {
    "NotFound": errors.NotFound("there is no checkout"),
    "PermissionDenied": errors.PermissionDenied("not for you"),
    "SkillFailed": errors.SkillFailed("the disk is gone"),
    "ResourceExhausted": errors.ResourceExhausted("three a minute", retry_after_seconds=1.5),
    "ArgumentsInvalid": errors.ArgumentsInvalid(
        "no such range", violations=[Violation("arguments.to", ViolationReason.ARGUMENT_INVALID, "before `from`")]
    ),
}
"""What a skill may answer on purpose."""


@dataclass
class Happened:
    """What the agent saw."""

    seen: list[tuple[str, str, int | None, int, str]] = field(default_factory=list)
    """run_id, step_id, item_index, attempt and idempotency_key of each call of `echo`."""
    waiting: int = 0
    cancelled: int = 0
    release: asyncio.Event = field(default_factory=asyncio.Event)
    change: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS), self.change:
            await self.change.wait_for(condition)

    async def wait(self) -> None:
        """What the skill `wait` does."""
        self.waiting += 1
        await self._tell()
        try:
            await self.release.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            await self._tell()
            raise
        finally:
            self.waiting -= 1

    async def _tell(self) -> None:
        async with self.change:
            self.change.notify_all()


@dataclass(frozen=True)
class Subject:
    """A caller, the skills that it can call, and what happens behind it."""

    caller: AgentCaller
    skills: Mapping[str, Skill]
    endpoint: str
    happened: Happened

    async def call(
        self,
        skill: str,
        arguments: JsonObject | None = None,
        *,
        deadline: Deadline | None = None,
        watcher: RecordingWatcher | None = None,
    ) -> AgentReply:
        call = agent_call(self.skills[skill], arguments or {})
        return await self.caller.call(call, deadline or Deadline.after(PATIENCE_SECONDS), watcher or RecordingWatcher())

    async def failure(
        self,
        skill: str,
        arguments: JsonObject | None = None,
        *,
        deadline: Deadline | None = None,
        watcher: RecordingWatcher | None = None,
    ) -> CallFailed:
        with pytest.raises(CallFailed) as caught:
            await self.call(skill, arguments, deadline=deadline, watcher=watcher)
        return caught.value


def agent_call(skill: Skill, arguments: JsonObject) -> AgentCall:
    return AgentCall(skill, arguments, "a run", "a_step", item_index=None, attempt=1, idempotency_key="a key")


def agent_of(happened: Happened) -> Agent:
    agent = Agent("probe_agent", version="1.0.0", description="Does what a test asks.")

    @agent.skill(effect="READ_ONLY")
    async def echo(value: Any = None) -> dict[str, Any]:  # noqa: ANN401
        """Give back what it got."""
        call = current_call()
        happened.seen.append((call.run_id, call.step_id, call.item_index, call.attempt, call.idempotency_key))
        return {"value": value}

    @agent.skill(effect="READ_ONLY")
    async def refuse(how: str) -> dict[str, Any]:
        """Refuse as asked."""
        raise REFUSALS[how]

    @agent.skill(effect="READ_ONLY")
    async def spend() -> dict[str, Any]:
        """Spend and succeed."""
        report_usage(llm_calls=2, input_tokens=300, output_tokens=40, cost_usd=0.25)
        return {}

    @agent.skill(effect="READ_ONLY")
    async def spend_in_vain() -> dict[str, Any]:
        """Spend and fail."""
        report_usage(llm_calls=2, input_tokens=300, output_tokens=40, cost_usd=0.25)
        raise errors.SkillFailed("in vain")

    @agent.skill(effect="READ_ONLY")
    async def wait() -> dict[str, Any]:
        """Wait until it is released."""
        await happened.wait()
        return {}

    @agent.skill(effect="READ_ONLY", reports_progress=True)
    async def walk(how: str = "") -> dict[str, Any]:
        """Say how far it is, wait until it is released, and end or refuse."""
        await progress(0.25, "the first steps")
        await happened.wait()
        await progress(message="nearly there")
        if how:
            raise REFUSALS[how]
        report_usage(llm_calls=2, input_tokens=300, output_tokens=40, cost_usd=0.25)
        return {"walked": True}

    @agent.skill(effect="READ_ONLY")
    async def walk_quietly() -> dict[str, Any]:
        """Say how far it is, but not on its card that it does."""
        await progress(0.5, "half of the way")
        return {}

    return agent


DEAD = Skill("dead_agent", "work", "", Effect.READ_ONLY)


def skills_of(agent: Agent) -> dict[str, Skill]:
    """By name; and some that cannot be called."""
    known = {skill.name: skill for skill in read_card(card_to_json(agent.card())).skills}
    return {
        **known,
        "nowhere": Skill("absent_agent", "work", "", Effect.READ_ONLY),
        "dead": DEAD,
        "missing": Skill("probe_agent", "missing", "", Effect.READ_ONLY),
    }


@asynccontextmanager
async def fake() -> AsyncIterator[Subject]:
    happened = Happened()
    agent = agent_of(happened)

    async def echo(arguments: JsonObject) -> JsonObject:
        call = caller.started[-1]
        happened.seen.append((call.run_id, call.step_id, call.item_index, call.attempt, call.idempotency_key))
        return {"value": arguments.get("value")}

    async def refuse(arguments: JsonObject) -> JsonObject:
        raise REFUSALS[str(arguments["how"])]

    async def spend(arguments: JsonObject) -> JsonObject:
        return {}

    async def spend_in_vain(arguments: JsonObject) -> JsonObject:
        raise errors.SkillFailed("in vain")

    async def wait(arguments: JsonObject) -> JsonObject:
        await happened.wait()
        return {}

    async def walk(arguments: JsonObject) -> JsonObject:
        report_progress(0.25, "the first steps")
        await happened.wait()
        report_progress(None, "nearly there")
        if how := arguments.get("how"):
            raise REFUSALS[str(how)]
        return {"walked": True}

    async def walk_quietly(arguments: JsonObject) -> JsonObject:
        report_progress(0.5, "half of the way")
        return {}

    functions = {
        "echo": echo,
        "refuse": refuse,
        "spend": spend,
        "spend_in_vain": spend_in_vain,
        "wait": wait,
        "walk": walk,
        "walk_quietly": walk_quietly,
    }
    caller = FunctionAgentCaller(
        {f"probe_agent__{name}": function for name, function in functions.items()},
        dead={"dead_agent"},
        spending=dict.fromkeys(("probe_agent__spend", "probe_agent__spend_in_vain", "probe_agent__walk"), SPENT),
    )
    yield Subject(caller, skills_of(agent), "fake:probe_agent", happened)


@asynccontextmanager
async def over_grpc() -> AsyncIterator[Subject]:
    happened, clock = Happened(), SystemClock()
    agent = agent_of(happened)
    store = MemoryAgentStore(clock)
    # Bound and not listening: connections are refused, and nobody else gets the port meanwhile.
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        dead = Card("dead_agent", "1.0.0", "", (DEAD,), {"name": "dead_agent"})
        async with await agent.start() as running:
            probe = Card("probe_agent", "1.0.0", "", tuple(skills_of(agent).values()), {"name": "probe_agent"})
            await list_endpoint(store, clock, running.address, probe)
            caller = GrpcAgentCaller(Endpoints(store, clock), wait_seconds=0.05)
            # Only a call that comes before its health is known goes to an endpoint where nobody listens. The link to
            # it, and with it the question for its health, is made by that call.
            await list_endpoint(store, clock, f"127.0.0.1:{unused.getsockname()[1]}", dead)
            yield Subject(caller, skills_of(agent), running.address, happened)
            await caller.close()


CALLERS: dict[str, Callable[[], AbstractAsyncContextManager[Subject]]] = {"fake": fake, "grpc": over_grpc}


@pytest.fixture(params=CALLERS)
async def subject(request: pytest.FixtureRequest) -> AsyncIterator[Subject]:
    async with CALLERS[request.param]() as made:
        yield made


@pytest.mark.parametrize(
    "value",
    ["text", "ünïcödé \u2028 \x00", "", 0, -3, 2**53, 0.1, True, None, [], {}, {"a": [1, {"b": [None, False, "c"]}]}],
    ids=repr,
)
async def test_arguments_arrive_and_the_result_comes_back_as_they_are(subject: Subject, value: Any) -> None:  # noqa: ANN401
    reply = await subject.call("echo", {"value": value})
    assert reply.result == {"value": value}
    assert type(reply.result["value"]) is type(value)
    assert (reply.endpoint, reply.spending) == (subject.endpoint, NOTHING_SPENT)


async def test_the_agent_is_told_what_the_call_is_for(subject: Subject) -> None:
    echo, deadline, nobody = subject.skills["echo"], Deadline.after(PATIENCE_SECONDS), RecordingWatcher()
    one = AgentCall(echo, {}, "r", "s", item_index=0, attempt=2, idempotency_key="k")
    other = AgentCall(echo, {}, "r", "s", item_index=None, attempt=1, idempotency_key="l")
    for call in (one, other):
        await subject.caller.call(call, deadline, nobody)
    assert subject.happened.seen == [("r", "s", 0, 2, "k"), ("r", "s", None, 1, "l")]


@pytest.mark.parametrize("name", REFUSALS)
async def test_what_a_skill_refuses_with_arrives_whole(subject: Subject, name: str) -> None:
    raised = REFUSALS[name]
    failure = await subject.failure("refuse", {"how": name})
    assert type(failure.error) is type(raised)
    assert failure.error.message == raised.message
    assert failure.error.violations == raised.violations
    assert failure.error.retry_after_seconds == raised.retry_after_seconds
    assert (failure.code, failure.agent_reason) == (code_of(raised), str(reason_of(raised)))
    assert (failure.endpoint, failure.sent, failure.spending) == (subject.endpoint, True, NOTHING_SPENT)


async def test_a_skill_that_the_agent_does_not_have_is_not_found_there(subject: Subject) -> None:
    failure = await subject.failure("missing")
    assert isinstance(failure.error, errors.SkillNotFound)
    assert (failure.code, failure.agent_reason, failure.sent) == (Code.NOT_FOUND, "SKILL_NOT_FOUND", True)


async def test_what_the_agent_spends_comes_with_the_reply(subject: Subject) -> None:
    assert (await subject.call("spend")).spending == SPENT


async def test_what_the_agent_spends_comes_with_a_failure_too(subject: Subject) -> None:
    failure = await subject.failure("spend_in_vain")
    assert isinstance(failure.error, errors.SkillFailed)
    assert failure.spending == SPENT


async def test_an_agent_without_an_endpoint_is_not_called(subject: Subject) -> None:
    watcher = RecordingWatcher()
    failure = await subject.failure("nowhere", watcher=watcher)
    assert watcher.heard == []
    assert isinstance(failure.error, errors.NoEndpoint)
    assert (failure.code, failure.endpoint, failure.sent) == (Code.UNAVAILABLE, "", False)
    assert failure.agent_reason == ""
    assert failure.error.transient


async def test_of_an_endpoint_where_nobody_listens_it_is_known_that_nothing_was_sent(subject: Subject) -> None:
    failure = await subject.failure("dead")
    assert isinstance(failure.error, errors.Unreachable)
    assert (failure.code, failure.sent) == (Code.UNAVAILABLE, False)
    assert failure.endpoint
    assert failure.agent_reason == "", "the agent said nothing"
    assert failure.error.transient


@pytest.mark.parametrize("skill", ["echo", "spend_in_vain", "dead"])
async def test_where_a_request_goes_is_said_once_however_it_ends(subject: Subject, skill: str) -> None:
    watcher = RecordingWatcher(wants_progress=True)
    try:
        endpoint = (await subject.call(skill, watcher=watcher)).endpoint
    except CallFailed as failure:
        endpoint = failure.endpoint
    assert watcher.heard == [endpoint]


async def walked(subject: Subject, watcher: RecordingWatcher, arguments: JsonObject | None = None) -> AgentReply:
    """Call `walk`, and release it once its first progress was heard."""
    walking = asyncio.create_task(subject.call("walk", arguments, watcher=watcher))
    async with asyncio.timeout(PATIENCE_SECONDS):
        await watcher.progressed.wait()
    subject.happened.release.set()
    return await walking


async def test_progress_is_heard_while_the_skill_runs_and_before_its_result(subject: Subject) -> None:
    watcher = RecordingWatcher(wants_progress=True)
    reply = await walked(subject, watcher)
    assert watcher.heard == [subject.endpoint, (0.25, "the first steps"), (None, "nearly there")]
    assert (reply.result, reply.endpoint, reply.spending) == ({"walked": True}, subject.endpoint, SPENT)


@pytest.mark.parametrize("name", REFUSALS)
async def test_a_refusal_after_progress_arrives_whole(subject: Subject, name: str) -> None:
    raised, watcher = REFUSALS[name], RecordingWatcher(wants_progress=True)
    with pytest.raises(CallFailed) as caught:
        await walked(subject, watcher, {"how": name})
    failure = caught.value
    assert (type(failure.error), failure.error.message) == (type(raised), raised.message)
    assert failure.error.violations == raised.violations
    assert failure.error.retry_after_seconds == raised.retry_after_seconds
    assert (failure.code, failure.agent_reason) == (code_of(raised), str(reason_of(raised)))
    assert (failure.endpoint, failure.sent) == (subject.endpoint, True)


async def test_progress_that_nobody_wants_is_not_heard(subject: Subject) -> None:
    watcher = RecordingWatcher(wants_progress=False)
    subject.happened.release.set()
    assert (await subject.call("walk", watcher=watcher)).result == {"walked": True}
    assert watcher.heard == [subject.endpoint]


async def test_a_skill_whose_card_promises_no_progress_is_not_asked_for_it(subject: Subject) -> None:
    watcher = RecordingWatcher(wants_progress=True)
    assert (await subject.call("walk_quietly", watcher=watcher)).result == {}
    assert watcher.heard == [subject.endpoint]


async def test_cancelling_a_call_with_progress_cancels_the_skill(subject: Subject) -> None:
    calling = asyncio.create_task(subject.call("walk", watcher=RecordingWatcher(wants_progress=True)))
    await subject.happened.until(lambda: subject.happened.waiting == 1)
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling
    await subject.happened.until(lambda: subject.happened.cancelled == 1)


async def test_a_deadline_that_passes_after_progress_ends_the_call_and_the_skill(subject: Subject) -> None:
    watcher = RecordingWatcher(wants_progress=True)
    failure = await subject.failure("walk", deadline=Deadline.after(0.5), watcher=watcher)
    assert watcher.heard == [subject.endpoint, (0.25, "the first steps")]
    assert isinstance(failure.error, errors.DeadlineExceeded)
    assert (failure.code, failure.endpoint, failure.sent) == (Code.DEADLINE_EXCEEDED, subject.endpoint, True)
    await subject.happened.until(lambda: subject.happened.cancelled == 1)


async def test_a_deadline_that_passes_ends_the_call_and_the_skill(subject: Subject) -> None:
    failure = await subject.failure("wait", deadline=Deadline.after(0.5))
    assert isinstance(failure.error, errors.DeadlineExceeded)
    assert (failure.code, failure.endpoint, failure.sent) == (Code.DEADLINE_EXCEEDED, subject.endpoint, True)
    await subject.happened.until(lambda: subject.happened.cancelled == 1)


async def test_a_deadline_that_has_passed_sends_nothing(subject: Subject) -> None:
    watcher = RecordingWatcher()
    failure = await subject.failure("echo", deadline=Deadline.after(0), watcher=watcher)
    assert watcher.heard == []
    assert isinstance(failure.error, errors.DeadlineExceeded)
    assert (failure.code, failure.sent, failure.agent_reason) == (Code.DEADLINE_EXCEEDED, False, "")
    assert subject.happened.seen == []


async def test_cancelling_the_call_cancels_the_skill(subject: Subject) -> None:
    calling = asyncio.create_task(subject.call("wait"))
    await subject.happened.until(lambda: subject.happened.waiting == 1)
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling
    await subject.happened.until(lambda: subject.happened.cancelled == 1)


async def test_cancelling_one_call_leaves_the_others_alone(subject: Subject) -> None:
    calls = [asyncio.create_task(subject.call("wait")) for _ in range(3)]
    await subject.happened.until(lambda: subject.happened.waiting == 3)
    calls[1].cancel()
    await subject.happened.until(lambda: subject.happened.cancelled == 1)
    subject.happened.release.set()
    replies = [(await calls[place]).result for place in (0, 2)]
    assert replies == [{}, {}]
    assert subject.happened.cancelled == 1


async def test_many_calls_run_at_the_same_time(subject: Subject) -> None:
    calls = [asyncio.create_task(subject.call("wait")) for _ in range(20)]
    await subject.happened.until(lambda: subject.happened.waiting == 20)
    subject.happened.release.set()
    assert [reply.result for reply in await asyncio.gather(*calls)] == [{}] * 20
