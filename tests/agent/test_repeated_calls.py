"""Calls that come again with the same idempotency key, over real gRPC: a SIDE_EFFECT skill runs once."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from google.protobuf.struct_pb2 import Struct
from structlog.testing import capture_logs

from agentmesh import errors, metadata
from agentmesh.agent import AgentDefinitionError, Call, current_call, progress, report_usage
from agentmesh.agent.execution import Execution
from agentmesh.agent.repeats import MAX_ANSWERS, Repeats
from agentmesh.agent.running import SERVICE
from agentmesh.agent.servicer import AgentServicer
from agentmesh.agent.skill import define_skill
from agentmesh.agent.threads import Threads
from agentmesh.deadline import Deadline
from agentmesh.errors import Code, MeshError, Reason, Violation, ViolationReason
from agentmesh.reasons import code_of, reason_of
from agentmesh.transport import Service, build_server, from_struct, open_channel, to_struct
from agentmesh.v1 import agent_service_pb2, usage_pb2
from agentmesh.v1.agent_service_pb2_grpc import AgentStub, add_AgentServicer_to_server
from tests.agent.conftest import Serve, Served, new_agent, refusal


class Paying:
    """An agent that pays when it is told to go on, and counts."""

    def __init__(self, **said: Any) -> None:  # noqa: ANN401 - of Agent
        self.paid: list[int] = []
        self.started, self.go_on, self.cancelled = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.agent = new_agent(**said)
        self.agent.skill(effect="SIDE_EFFECT", reports_progress=True)(self.pay)

    async def pay(self, amount: int) -> list[int]:
        """Pay."""
        self.paid.append(amount)
        report_usage(llm_calls=1)
        self.started.set()
        try:
            await progress(0.5, "half")
            await self.go_on.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return list(self.paid)


class Clock:
    """Seconds that a test sets."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def read(self) -> float:
        return self.seconds


def at_once(**said: Any) -> Paying:  # noqa: ANN401 - of Agent
    paying = Paying(**said)
    paying.go_on.set()
    return paying


def is_effect_unknown(error: MeshError) -> bool:
    assert isinstance(error, errors.SkillFailed)
    assert code_of(error) is Code.FAILED_PRECONDITION
    assert "may or may not have had its effect" in error.message
    assert "not run again" in error.message
    return error.metadata["effect_unknown"] == "true"


async def agent_has_read(served: Served) -> None:
    """What was sent before on this connection has reached the agent."""
    await served.stub.Describe(agent_service_pb2.DescribeRequest())


# --- answers that are kept -------------------------------------------------------------------------------------------


async def test_a_repeated_call_gets_the_answer_of_the_first(serve: Serve) -> None:
    paying = at_once()
    served = await serve(paying.agent)
    answers = [await served.execute("pay", {"amount": 5}, idempotency_key="k", attempt=n) for n in (1, 2, 3)]
    assert answers == [{"result": [5]}] * 3
    assert paying.paid == [5]


async def test_another_key_is_another_call(serve: Serve) -> None:
    paying = at_once()
    served = await serve(paying.agent)
    await served.execute("pay", {"amount": 5}, idempotency_key="k1")
    assert await served.execute("pay", {"amount": 5}, idempotency_key="k2") == {"result": [5, 5]}


async def test_without_a_key_every_call_runs(serve: Serve) -> None:
    paying = at_once()
    served = await serve(paying.agent)
    await served.execute("pay", {"amount": 5})
    assert await served.execute("pay", {"amount": 5}) == {"result": [5, 5]}


@pytest.mark.parametrize("effect", ["READ_ONLY", "IDEMPOTENT"])
async def test_a_skill_without_side_effects_runs_again(serve: Serve, effect: Any) -> None:  # noqa: ANN401
    agent = new_agent()
    runs: list[int] = []

    @agent.skill(effect=effect)
    def look() -> int:
        """Look."""
        runs.append(1)
        return len(runs)

    served = await serve(agent)
    assert [await served.execute("look", idempotency_key="k") for _ in range(2)] == [{"result": 1}, {"result": 2}]


async def test_one_key_of_two_skills_is_two_calls(serve: Serve) -> None:
    agent = new_agent()
    runs: list[str] = []

    @agent.skill(effect="SIDE_EFFECT")
    def send() -> None:
        """Send."""
        runs.append("send")

    @agent.skill(effect="SIDE_EFFECT")
    def print_out() -> None:
        """Print."""
        runs.append("print")

    served = await serve(agent)
    await served.execute("send", idempotency_key="k")
    await served.execute("print_out", idempotency_key="k")
    assert runs == ["send", "print"]


async def test_the_same_key_with_other_arguments_is_refused(serve: Serve) -> None:
    paying = Paying()
    served = await serve(paying.agent)
    first = asyncio.create_task(served.execute("pay", {"amount": 5}, idempotency_key="k"))
    await paying.started.wait()
    for _ in ("in flight", "ended"):
        error = await refusal(served, "pay", {"amount": 6}, idempotency_key="k")
        assert (code_of(error), reason_of(error)) == (Code.INVALID_ARGUMENT, Reason.REQUEST_INVALID)
        assert [(v.path, v.reason) for v in error.violations] == [("idempotency_key", ViolationReason.RULE)]
        paying.go_on.set()
        await first
    assert paying.paid == [5]


async def test_arguments_are_compared_by_value(serve: Serve) -> None:
    agent = new_agent()
    runs: list[dict[str, float]] = []

    @agent.skill(effect="SIDE_EFFECT")
    def store(values: dict[str, float]) -> int:
        """Store."""
        runs.append(values)
        return len(runs)

    served = await serve(agent)
    await served.execute("store", {"values": {"a": 1, "b": 2.0}}, idempotency_key="k")
    assert await served.execute("store", {"values": {"b": 2, "a": 1.0}}, idempotency_key="k") == {"result": 1}


async def test_a_large_result_of_large_arguments_is_repeated_whole(serve: Serve) -> None:
    agent = new_agent()

    @agent.skill(effect="SIDE_EFFECT")
    def echo(numbers: list[int]) -> list[int]:
        """Echo."""
        return numbers

    served = await serve(agent)
    numbers: Any = list(range(20_000))
    first, again = [await served.execute("echo", {"numbers": numbers}, idempotency_key="k") for _ in range(2)]
    assert first == again == {"result": numbers}


async def test_what_the_first_call_spent_is_counted_once(serve: Serve) -> None:
    served = await serve(at_once().agent)
    first = await served.response("pay", {"amount": 5}, idempotency_key="k")
    assert first.usage == usage_pb2.AgentUsage(llm_calls=1)
    again = served.stub.Execute(served.request("pay", {"amount": 5}, idempotency_key="k"))
    assert not (await again).HasField("usage")
    assert metadata.AGENT_USAGE not in dict(await again.trailing_metadata() or ())


async def test_a_stream_repeats_the_answer_of_a_call_and_the_other_way_round(serve: Serve) -> None:
    served = await serve(at_once().agent)
    await served.execute("pay", {"amount": 5}, idempotency_key="k1")
    (only,) = await served.streamed("pay", {"amount": 5}, idempotency_key="k1")
    assert from_struct(only.result.result) == {"result": [5]}
    *_, last = await served.streamed("pay", {"amount": 7}, idempotency_key="k2")
    assert last.result.HasField("usage")
    assert await served.execute("pay", {"amount": 7}, idempotency_key="k2") == {"result": [5, 7]}


async def test_the_call_that_began_is_the_current_one(serve: Serve) -> None:
    agent = new_agent()

    @agent.skill(effect="SIDE_EFFECT")
    async def look() -> tuple[int, str]:
        """Look."""
        return current_call().attempt, current_call().idempotency_key

    served = await serve(agent)
    assert await served.execute("look", idempotency_key="k", attempt=3) == {"result": [3, "k"]}


# --- errors that are kept --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "raised",
    [
        errors.SkillFailed("the bank is closed", metadata={"opens": "9:00"}),
        errors.ResourceExhausted("too many", retry_after_seconds=1.5),
        errors.ArgumentsInvalid(
            "amount", violations=[Violation("arguments.amount", ViolationReason.ARGUMENT_INVALID, "too much")]
        ),
        errors.Unreachable("the bank is unavailable"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_what_a_skill_raised_on_purpose_is_repeated(serve: Serve, raised: MeshError) -> None:
    agent = new_agent()
    runs: list[int] = []

    @agent.skill(effect="SIDE_EFFECT")
    async def pay() -> None:
        """Pay."""
        runs.append(1)
        raise raised

    served = await serve(agent)
    first, *later = [await refusal(served, "pay", idempotency_key="k") for _ in range(3)]
    for again in later:
        assert type(again) is type(first)
        assert (code_of(again), again.message, again.violations) == (code_of(first), first.message, first.violations)
        assert (again.retry_after_seconds, again.metadata) == (first.retry_after_seconds, first.metadata)
    assert len(runs) == 1


async def test_a_bug_is_repeated_as_the_same_incident_and_logged_once(serve: Serve) -> None:
    agent = new_agent()

    @agent.skill(effect="SIDE_EFFECT")
    def crash() -> None:
        """Crash."""
        raise RuntimeError("marker-3f9c")

    served = await serve(agent)
    with capture_logs() as logs:
        told = {(await refusal(served, "crash", idempotency_key="k")).message for _ in range(3)}
    (bug,) = [entry for entry in logs if entry.get("exc_info")]
    assert told == {f"internal error, incident {bug['incident']}"}


async def test_an_error_that_cannot_be_sent_is_a_bug_and_repeated_as_one(serve: Serve) -> None:
    agent = new_agent()

    @agent.skill(effect="SIDE_EFFECT")
    async def refuse() -> None:
        """Refuse in an odd way."""
        raise errors.NotFound("nobody", metadata={"name": 17})  # type: ignore[dict-item] # what authors may do

    served = await serve(agent)
    with capture_logs() as logs:
        told = {(await refusal(served, "refuse", idempotency_key="k")).message for _ in range(2)}
    (bug,) = [entry for entry in logs if entry.get("exc_info")]
    assert told == {f"internal error, incident {bug['incident']}"}


# --- calls in flight -------------------------------------------------------------------------------------------------


async def test_calls_at_the_same_time_run_once_and_get_equal_results(serve: Serve) -> None:
    paying = Paying()
    served = await serve(paying.agent)
    calls = [
        asyncio.create_task(served.response("pay", {"amount": 5}, idempotency_key="k", attempt=n)) for n in range(1, 21)
    ]
    await paying.started.wait()
    await agent_has_read(served)
    paying.go_on.set()
    answers = await asyncio.gather(*calls)
    assert paying.paid == [5]
    assert [from_struct(answer.result) for answer in answers] == [{"result": [5]}] * 20
    assert [answer.usage.llm_calls for answer in answers if answer.HasField("usage")] == [1], "counted once"


async def test_calls_at_the_same_time_get_one_bug_as_one_incident(serve: Serve) -> None:
    agent = new_agent()
    started, go_on = asyncio.Event(), asyncio.Event()

    @agent.skill(effect="SIDE_EFFECT")
    async def crash() -> None:
        """Crash when told to."""
        started.set()
        await go_on.wait()
        raise RuntimeError("marker-3f9c")

    served = await serve(agent)
    with capture_logs() as logs:
        calls = [asyncio.create_task(refusal(served, "crash", idempotency_key="k")) for _ in range(5)]
        await started.wait()
        await agent_has_read(served)
        go_on.set()
        told = {error.message for error in await asyncio.gather(*calls)}
    (bug,) = [entry for entry in logs if entry.get("exc_info")]
    assert told == {f"internal error, incident {bug['incident']}"}


async def test_one_who_leaves_ends_only_its_own_wait(serve: Serve) -> None:
    paying = Paying()
    served = await serve(paying.agent)
    began = asyncio.create_task(served.execute("pay", {"amount": 5}, idempotency_key="k"))
    await paying.started.wait()
    others = [asyncio.create_task(served.execute("pay", {"amount": 5}, idempotency_key="k")) for _ in range(4)]
    await agent_has_read(served)
    for leaver in (began, others.pop()):
        leaver.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaver
    await agent_has_read(served)
    paying.go_on.set()
    assert await asyncio.gather(*others) == [{"result": [5]}] * 3
    assert paying.paid == [5]
    assert not paying.cancelled.is_set()


async def test_whoever_stays_gets_the_usage_of_the_one_who_left(serve: Serve) -> None:
    paying = Paying()
    served = await serve(paying.agent)
    began = asyncio.create_task(served.execute("pay", {"amount": 5}, idempotency_key="k"))
    await paying.started.wait()
    stays = asyncio.create_task(served.response("pay", {"amount": 5}, idempotency_key="k"))
    await agent_has_read(served)
    began.cancel()
    with pytest.raises(asyncio.CancelledError):
        await began
    await agent_has_read(served)
    paying.go_on.set()
    assert (await stays).usage.llm_calls == 1


async def test_one_who_joins_watches_from_then_on(serve: Serve) -> None:
    agent = new_agent()
    started, go_on = asyncio.Event(), asyncio.Event()

    @agent.skill(effect="SIDE_EFFECT", reports_progress=True)
    async def pay() -> None:
        """Pay."""
        await progress(0.1)
        started.set()
        await go_on.wait()
        await progress(0.9)

    served = await serve(agent)
    began = asyncio.create_task(served.execute("pay", idempotency_key="k"))
    await started.wait()
    joined = asyncio.create_task(served.streamed("pay", idempotency_key="k"))
    await agent_has_read(served)
    go_on.set()
    assert [message.progress.fraction for message in await joined if message.HasField("progress")] == [0.9]
    await began


# --- effects that are not known --------------------------------------------------------------------------------------


async def test_when_the_last_one_leaves_the_skill_is_cancelled_and_not_run_again(serve: Serve) -> None:
    paying = Paying()
    served = await serve(paying.agent)
    calls = [asyncio.create_task(served.execute("pay", {"amount": 5}, idempotency_key="k")) for _ in range(3)]
    await paying.started.wait()
    await agent_has_read(served)
    for call in calls:
        assert not paying.cancelled.is_set()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await agent_has_read(served)
    await paying.cancelled.wait()
    for _ in range(2):
        assert is_effect_unknown(await refusal(served, "pay", {"amount": 5}, idempotency_key="k"))
    assert paying.paid == [5]


async def test_after_the_callers_deadline_the_effect_is_not_known(serve: Serve) -> None:
    paying = Paying()
    served = await serve(paying.agent)
    with pytest.raises(errors.DeadlineExceeded):
        await served.stub.Execute(served.request("pay", {"amount": 5}, idempotency_key="k"), timeout=0.1)
    await paying.cancelled.wait()
    assert is_effect_unknown(await refusal(served, "pay", {"amount": 5}, idempotency_key="k"))
    assert paying.paid == [5]


@pytest.mark.parametrize("plain", [True, False], ids=["plain", "async"])
async def test_after_the_skills_timeout_the_effect_is_not_known(serve: Serve, plain: bool) -> None:  # noqa: FBT001
    agent = new_agent()
    release = threading.Event()
    runs: list[int] = []

    def block() -> None:
        """Block."""
        runs.append(1)
        release.wait()

    async def wait() -> None:
        """Wait."""
        runs.append(1)
        await asyncio.Event().wait()

    agent.skill(effect="SIDE_EFFECT", name="slow", timeout_seconds=0.05)(block if plain else wait)
    served = await serve(agent)
    assert isinstance(await refusal(served, "slow", idempotency_key="k"), errors.DeadlineExceeded)
    assert is_effect_unknown(await refusal(served, "slow", idempotency_key="k"))
    release.set()
    assert runs == [1]


async def test_a_skill_that_ends_in_spite_of_its_cancellation_has_a_known_effect(serve: Serve) -> None:
    agent = new_agent()
    started, go_on = asyncio.Event(), asyncio.Event()
    runs: list[int] = []

    @agent.skill(effect="SIDE_EFFECT")
    async def commit() -> str:
        """Finish what was begun."""
        runs.append(1)
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await go_on.wait()
        return "committed"

    served = await serve(agent)
    for _ in range(2):  # the second one leaves while it ends, and does not break into that
        call = asyncio.create_task(served.execute("commit", idempotency_key="k"))
        await started.wait()
        await agent_has_read(served)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await agent_has_read(served)
    again = asyncio.create_task(served.execute("commit", idempotency_key="k"))
    await agent_has_read(served)
    go_on.set()
    assert await again == {"result": "committed"}
    assert await served.execute("commit", idempotency_key="k") == {"result": "committed"}
    assert runs == [1]


# --- what is not kept ------------------------------------------------------------------------------------------------


async def test_a_call_that_was_refused_is_not_remembered(serve: Serve) -> None:
    paying = at_once()
    served = await serve(paying.agent)
    arguments = await refusal(served, "pay", {"amount": "much"}, idempotency_key="k")
    assert isinstance(arguments, errors.ArgumentsInvalid)
    changed = await refusal(served, "pay", {"amount": 5}, idempotency_key="k", skill_digest="0" * 64)
    assert isinstance(changed, errors.SkillChanged)
    assert await served.execute("pay", {"amount": 5}, idempotency_key="k") == {"result": [5]}


async def test_a_call_that_never_got_a_thread_is_not_remembered(serve: Serve) -> None:
    agent = new_agent(max_threads=1)
    started, release = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()
    runs: list[int] = []

    @agent.skill(effect="SIDE_EFFECT")
    def block(number: int) -> int:
        """Block until released."""
        runs.append(number)
        loop.call_soon_threadsafe(started.set)
        release.wait()
        return number

    served = await serve(agent)
    first = asyncio.create_task(served.execute("block", {"number": 1}, idempotency_key="k1"))
    await started.wait()
    with pytest.raises(errors.DeadlineExceeded):
        await served.stub.Execute(served.request("block", {"number": 2}, idempotency_key="k2"), timeout=0.05)
    await agent_has_read(served)
    release.set()
    assert await first == {"result": 1}
    assert runs == [1]
    assert await served.execute("block", {"number": 2}, idempotency_key="k2") == {"result": 2}


async def test_a_call_that_was_given_up_before_it_began_is_not_joined() -> None:
    repeats, free = Repeats(), asyncio.Event()
    runs: list[int] = []

    async def pay(call: Call) -> Struct:
        await free.wait()  # for a thread
        call.begun.set()
        runs.append(1)
        return to_struct({"paid": True})

    def execution() -> Execution:
        call = Call("pay", "", "", None, 1, "k", Deadline.never())
        return repeats.execution(call, "digest", lambda: pay(call))

    async def attend(execution: Execution) -> Struct:
        async with execution.attended():
            await execution.ended()
            return execution.result()

    first = execution()
    caller = asyncio.create_task(attend(first))
    await asyncio.sleep(0)
    caller.cancel()
    await asyncio.sleep(0)
    again = execution()
    assert again is not first
    free.set()
    assert from_struct(await attend(again)) == {"paid": True}
    assert from_struct(await attend(execution())) == {"paid": True}
    assert runs == [1]
    assert caller.cancelled()


async def test_with_no_time_to_remember_only_calls_in_flight_are_joined(serve: Serve) -> None:
    paying = Paying(remember_seconds=0)
    served = await serve(paying.agent)
    calls = [asyncio.create_task(served.execute("pay", {"amount": 5}, idempotency_key="k")) for _ in range(2)]
    await paying.started.wait()
    await agent_has_read(served)
    paying.go_on.set()
    assert await asyncio.gather(*calls) == [{"result": [5]}] * 2
    assert await served.execute("pay", {"amount": 5}, idempotency_key="k") == {"result": [5, 5]}


async def test_beyond_the_count_the_oldest_answer_is_forgotten(serve: Serve) -> None:
    paying = at_once()
    served = await serve(paying.agent)
    for key in range(MAX_ANSWERS + 1):
        await served.execute("pay", {"amount": 1}, idempotency_key=str(key))
    assert len(paying.paid) == MAX_ANSWERS + 1
    await served.execute("pay", {"amount": 1}, idempotency_key="1")
    assert len(paying.paid) == MAX_ANSWERS + 1, "the second is kept"
    await served.execute("pay", {"amount": 1}, idempotency_key="0")
    assert len(paying.paid) == MAX_ANSWERS + 2, "the first is not"


async def test_beyond_16_mib_the_oldest_answer_is_forgotten_and_a_call_in_flight_is_not(serve: Serve) -> None:
    paying = Paying()
    runs: list[int] = []

    @paying.agent.skill(effect="SIDE_EFFECT")
    async def write(number: int) -> str:
        """Write a megabyte."""
        runs.append(number)
        return "x" * 1_000_000

    served = await serve(paying.agent)
    in_flight = asyncio.create_task(served.execute("pay", {"amount": 5}, idempotency_key="k"))
    await paying.started.wait()
    for number in range(17):
        await served.execute("write", {"number": number}, idempotency_key=str(number))
    await served.execute("write", {"number": 1}, idempotency_key="1")
    assert runs == list(range(17)), "the second is kept"
    await served.execute("write", {"number": 0}, idempotency_key="0")
    assert runs == [*range(17), 0], "the first is not"
    joined = asyncio.create_task(served.execute("pay", {"amount": 5}, idempotency_key="k"))
    await agent_has_read(served)
    paying.go_on.set()
    assert await in_flight == await joined == {"result": [5]}


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf")])
def test_a_time_to_remember_that_is_none_is_refused(seconds: float) -> None:
    with pytest.raises(AgentDefinitionError, match="remember_seconds"):
        new_agent(remember_seconds=seconds)


async def test_an_answer_is_kept_for_ten_minutes_from_its_end() -> None:
    clock = Clock()
    paying = at_once()
    skill = define_skill(paying.pay, agent="test_agent", effect="SIDE_EFFECT")
    repeats = Repeats(timer=clock.read)
    servicer = AgentServicer(paying.agent.card(), {skill.name: skill}, Threads(), repeats)
    server = build_server("127.0.0.1:0", [Service(SERVICE, add_AgentServicer_to_server, servicer)])
    await server.start()
    async with open_channel(server.address) as channel:
        stub = AgentStub(channel)
        request = Served.request("pay", {"amount": 5}, idempotency_key="k")
        first = await stub.Execute(request)
        for minutes in (0, 5, 9.99):
            clock.seconds = 60 * minutes
            assert (await stub.Execute(request)).result == first.result
        assert paying.paid == [5]
        clock.seconds = 600
        await stub.Execute(request)
        assert paying.paid == [5, 5]
    await server.stop()
