"""What a caller of an agent sees, over real gRPC."""

from __future__ import annotations

import asyncio
import contextvars
import dataclasses
import sys
import threading
import traceback
from typing import Any

import grpc
import pytest
from structlog.testing import capture_logs

from agentmesh import errors, metadata
from agentmesh.agent import Agent, current_call, report_usage
from agentmesh.cards import skill_digest
from agentmesh.deadline import Deadline
from agentmesh.errors import Code, MeshError, Reason, Violation, ViolationReason
from agentmesh.jsonvalues import Json
from agentmesh.reasons import code_of, reason_of
from agentmesh.transport.structs import from_struct
from agentmesh.v1 import agent_service_pb2, card_pb2, usage_pb2
from tests.agent.conftest import Serve, new_agent, refusal

MARKER = "marker-3f9c"


@dataclasses.dataclass(frozen=True)
class Sum:
    total: int
    of: list[int]


def adding() -> Agent:
    agent = new_agent()

    @agent.skill(effect="READ_ONLY", tags=["arithmetic"], examples=["Add 1 and 2"], timeout_seconds=5)
    async def add(numbers: list[int], start: int = 0) -> Sum:
        """Add numbers.

        Args:
            numbers: What to add.
        """
        return Sum(start + sum(numbers), numbers)

    @agent.skill(effect="SIDE_EFFECT")
    def double(number: float) -> float:
        """Double a number."""
        return 2 * number

    return agent


def trailers(error: MeshError) -> dict[str, str | bytes]:
    assert isinstance(error.__cause__, grpc.aio.AioRpcError)
    return dict(error.__cause__.trailing_metadata() or ())


# --- the card --------------------------------------------------------------------------------------------------------


async def test_describe_returns_the_card(serve: Serve) -> None:
    agent = adding()
    served = await serve(agent)
    card = (await served.stub.Describe(agent_service_pb2.DescribeRequest())).card
    assert card == agent.card()
    assert (card.name, card.version, card.description) == ("test_agent", "1.2.3", "For tests.")
    assert [(skill.name, skill.effect) for skill in card.skills] == [
        ("add", card_pb2.EFFECT_READ_ONLY),
        ("double", card_pb2.EFFECT_SIDE_EFFECT),
    ]


async def test_the_card_does_not_change_while_the_agent_serves(serve: Serve) -> None:
    agent = adding()
    served = await serve(agent)
    before = await served.stub.Describe(agent_service_pb2.DescribeRequest())

    @agent.skill(effect="READ_ONLY")
    def late() -> None:
        """Come late."""

    assert await served.stub.Describe(agent_service_pb2.DescribeRequest()) == before
    assert code_of(await refusal(served, "late")) is Code.NOT_FOUND


# --- results and arguments -------------------------------------------------------------------------------------------


async def test_a_skill_returns_an_object(serve: Serve) -> None:
    served = await serve(adding())
    assert await served.execute("add", {"numbers": [1, 2], "start": 3}) == {"total": 6, "of": [1, 2]}


async def test_a_plain_functions_scalar_is_wrapped(serve: Serve) -> None:
    served = await serve(adding())
    assert await served.execute("double", {"number": 1.25}) == {"result": 2.5}


async def test_a_result_that_is_converted_off_the_event_loop_arrives_whole(serve: Serve) -> None:
    served = await serve(adding())
    numbers: list[Json] = list(range(20_000))
    assert (await served.execute("add", {"numbers": numbers}))["of"] == numbers


async def test_unset_arguments_equal_an_empty_object(serve: Serve) -> None:
    served = await serve(adding())
    with pytest.raises(errors.ArgumentsInvalid) as refused:
        await served.stub.Execute(agent_service_pb2.ExecuteRequest(skill="add"))
    assert [v.path for v in refused.value.violations] == ["arguments.numbers"]


async def test_bad_arguments_are_answered_with_a_violation_for_each(serve: Serve) -> None:
    served = await serve(adding())
    error = await refusal(served, "add", {"numbers": [1, "x"], "begin": 1})
    assert code_of(error) is Code.INVALID_ARGUMENT
    assert reason_of(error) is Reason.ARGUMENTS_INVALID
    assert {(v.path, v.reason) for v in error.violations} == {
        ("arguments.numbers[1]", ViolationReason.ARGUMENT_INVALID),
        ("arguments.begin", ViolationReason.ARGUMENT_UNKNOWN),
    }


async def test_an_unknown_skill_is_answered_with_the_nearest(serve: Serve) -> None:
    served = await serve(adding())
    error = await refusal(served, "dubble")
    assert code_of(error) is Code.NOT_FOUND
    assert reason_of(error) is Reason.SKILL_NOT_FOUND
    assert "did you mean double?" in error.message


async def test_a_digest_of_other_schemas_is_answered_skill_changed(serve: Serve) -> None:
    agent = adding()
    served = await serve(agent)
    card = agent.card().skills[0]
    digest = skill_digest(from_struct(card.input_schema), from_struct(card.output_schema), "READ_ONLY")
    assert await served.execute("add", {"numbers": []}, skill_digest=digest)
    error = await refusal(served, "add", {"numbers": []}, skill_digest="0" * 64)
    assert code_of(error) is Code.FAILED_PRECONDITION
    assert reason_of(error) is Reason.SKILL_CHANGED
    assert error.metadata["skill_digest"] == digest


async def test_a_request_that_breaks_a_rule_is_refused(serve: Serve) -> None:
    error = await refusal(await serve(adding()), "")
    assert reason_of(error) is Reason.REQUEST_INVALID
    assert [v.path for v in error.violations] == ["skill"]


# --- errors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("plain", [True, False], ids=["plain", "async"])
@pytest.mark.parametrize(
    ("raised", "code", "reason"),
    [
        (errors.NotFound("no city Atlantis"), Code.NOT_FOUND, Reason.NOT_FOUND),
        (errors.SkillFailed("the station is closed"), Code.FAILED_PRECONDITION, Reason.SKILL_FAILED),
        (errors.PermissionDenied("not this one"), Code.PERMISSION_DENIED, Reason.PERMISSION_DENIED),
        (
            errors.ResourceExhausted("quota", retry_after_seconds=1.5),
            Code.RESOURCE_EXHAUSTED,
            Reason.RESOURCE_EXHAUSTED,
        ),
        (
            errors.ArgumentsInvalid(
                "days", violations=[Violation("arguments.days", ViolationReason.ARGUMENT_INVALID, "too many")]
            ),
            Code.INVALID_ARGUMENT,
            Reason.ARGUMENTS_INVALID,
        ),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, MeshError) else "",
)
async def test_an_error_raised_on_purpose_reaches_the_caller(
    serve: Serve,
    raised: MeshError,
    code: Code,
    reason: Reason,
    plain: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    agent = new_agent()

    def refuse() -> None:
        """Refuse."""
        raise raised

    async def refuse_async() -> None:
        """Refuse."""
        raise raised

    agent.skill(effect="READ_ONLY", name="refuse")(refuse if plain else refuse_async)
    error = await refusal(await serve(agent), "refuse")
    assert type(error) is type(raised)
    assert (code_of(error), reason_of(error), error.message) == (code, reason, raised.message)
    assert error.violations == raised.violations
    assert error.retry_after_seconds == raised.retry_after_seconds


@pytest.mark.parametrize(
    ("raised", "code", "transient"),
    [
        (errors.Unreachable("the database is unavailable"), Code.UNAVAILABLE, True),
        (errors.SkillChanged("another agent's skill changed"), Code.FAILED_PRECONDITION, False),
        (errors.LlmUnavailable("no model"), Code.UNAVAILABLE, True),
        (errors.DeadlineExceeded("the database took too long"), Code.DEADLINE_EXCEEDED, False),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, MeshError) else "",
)
async def test_an_error_of_what_a_skill_depends_on_is_not_taken_for_one_of_the_agent(
    serve: Serve,
    raised: MeshError,
    code: Code,
    transient: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    agent = new_agent()

    @agent.skill(effect="READ_ONLY")
    async def ask_another() -> None:
        """Ask another service."""
        raise raised

    error = await refusal(await serve(agent), "ask_another")
    assert isinstance(error, errors.RemoteError)
    assert (code_of(error), error.remote_reason, error.transient) == (code, reason_of(raised), transient)
    assert error.message == f"skill ask_another: {raised.message}"


class _Crash(Exception):
    def __str__(self) -> str:
        return MARKER


def crash() -> None:
    """Crash."""
    raise _Crash


async def crash_async() -> None:
    """Crash."""
    raise _Crash


async def crash_chained() -> None:
    """Crash while handling."""
    try:
        crash()
    except _Crash as error:
        raise RuntimeError(f"again {MARKER}") from error


def leave() -> None:
    """Leave the process."""
    sys.exit(MARKER)


async def leave_async() -> None:
    """Leave the process."""
    sys.exit(MARKER)


class _Panic(BaseException):
    """As extensions written in Rust raise."""


def panic() -> None:
    """Raise what is no Exception."""
    raise _Panic(MARKER)


async def panic_async() -> None:
    """Raise what is no Exception."""
    raise _Panic(MARKER)


def stop_iteration() -> None:
    """Raise what a future cannot hold."""
    raise StopIteration(MARKER)


async def cancel_itself() -> None:
    """Cancel itself."""
    raise asyncio.CancelledError(MARKER)


async def time_out_inside() -> None:
    """Give up by itself."""
    raise TimeoutError(MARKER)


async def raw_rpc_error() -> None:
    """Let an error of gRPC pass."""
    raise grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), grpc.aio.Metadata(), MARKER)


def bad_result() -> list[int]:
    """Return what must not be sent."""
    return [MARKER]  # type: ignore[list-item]


@pytest.mark.parametrize(
    "skill",
    [
        crash,
        crash_async,
        crash_chained,
        leave,
        leave_async,
        panic,
        panic_async,
        stop_iteration,
        cancel_itself,
        time_out_inside,
        raw_rpc_error,
    ],
    ids=lambda skill: skill.__name__,
)
async def test_any_other_exception_is_fixed_text_to_the_caller_and_whole_in_the_log(serve: Serve, skill: Any) -> None:  # noqa: ANN401
    agent = adding()
    agent.skill(effect="READ_ONLY", name="crash", timeout_seconds=60)(skill)
    served = await serve(agent)
    with capture_logs() as logs:
        error = await refusal(served, "crash")
    assert code_of(error) is Code.INTERNAL
    assert reason_of(error) is Reason.INTERNAL
    assert MARKER not in error.message
    assert MARKER not in str(error.__cause__)
    assert MARKER not in str(trailers(error))
    (logged,) = [entry["exc_info"] for entry in logs if entry.get("exc_info")]
    assert MARKER in "".join(traceback.format_exception(logged))
    assert await served.execute("double", {"number": 1}) == {"result": 2}, "the agent goes on"


async def test_a_result_that_must_not_be_sent_is_logged_and_not_quoted(serve: Serve) -> None:
    agent = new_agent()
    agent.skill(effect="READ_ONLY")(bad_result)
    served = await serve(agent)
    with capture_logs() as logs:
        error = await refusal(served, "bad_result")
    assert code_of(error) is Code.INTERNAL
    assert reason_of(error) is Reason.RESULT_INVALID
    assert "bad_result" in error.message
    assert "result.result[0]" in error.message
    assert MARKER not in error.message
    assert [entry["skill"] for entry in logs if entry["event"] == "result_refused"] == ["bad_result"]


@pytest.mark.parametrize(
    ("returned", "reason"),
    [
        ("x" * 1_100_000, Reason.RESULT_TOO_LARGE),
        (float("nan"), Reason.RESULT_NOT_JSON),
        ([[[[[[[[[[[[[[[[[[[[[[[[0]]]]]]]]]]]]]]]]]]]]]]]], Reason.RESULT_TOO_DEEP),
    ],
    ids=["large", "nan", "deep"],
)
async def test_results_beyond_the_limits_are_refused_before_they_are_sent(
    serve: Serve, returned: object, reason: Reason
) -> None:
    agent = new_agent()

    @agent.skill(effect="READ_ONLY")
    async def give() -> Any:  # noqa: ANN401 - an author may
        """Give it."""
        return returned

    error = await refusal(await serve(agent), "give")
    assert code_of(error) is Code.INTERNAL
    assert reason_of(error) is reason
    assert "skill give: " in error.message


# --- the call --------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Seen:
    run_id: str
    step_id: str
    item_index: int | None
    attempt: int
    key: str
    ends: bool
    skill: str


def _look() -> Seen:
    call = current_call()
    return Seen(
        run_id=call.run_id,
        step_id=call.step_id,
        item_index=call.item_index,
        attempt=call.attempt,
        key=call.idempotency_key,
        ends=call.deadline.at != Deadline.never().at,
        skill=call.skill,
    )


def looking() -> Agent:
    agent = new_agent()

    @agent.skill(effect="READ_ONLY")
    async def look_async() -> Seen:
        """Look."""
        return await asyncio.create_task(_looking())

    @agent.skill(effect="READ_ONLY")
    def look() -> Seen:
        """Look."""
        return _look()

    return agent


async def _looking() -> Seen:
    return _look()


@pytest.mark.parametrize("skill", ["look", "look_async"])
async def test_a_skill_sees_its_call(serve: Serve, skill: str) -> None:
    served = await serve(looking())
    seen = await served.execute(skill, run_id="r1", step_id="s1", item_index=0, attempt=2, idempotency_key="k1")
    assert seen == {
        "run_id": "r1", "step_id": "s1", "item_index": 0, "attempt": 2, "key": "k1", "ends": True, "skill": skill
    }  # fmt: skip


async def test_a_direct_call_is_the_first_attempt_outside_a_run(serve: Serve) -> None:
    seen = await (await serve(looking())).execute("look")
    assert (seen["run_id"], seen["step_id"], seen["item_index"], seen["attempt"]) == ("", "", None, 1)


def test_there_is_no_current_call_outside_of_one() -> None:
    with pytest.raises(LookupError, match="for skills"):
        current_call()
    with pytest.raises(LookupError, match="for skills"):
        report_usage(llm_calls=1)


def test_usage_is_never_negative() -> None:
    with pytest.raises(ValueError, match="never negative"):
        report_usage(input_tokens=-1)


def spending() -> Agent:
    agent = new_agent()

    @agent.skill(effect="READ_ONLY")
    async def spend(fail: bool) -> None:  # noqa: FBT001 - a skill's parameter
        """Spend tokens."""
        report_usage(llm_calls=1, input_tokens=100, output_tokens=10, cost_usd=0.25)
        await asyncio.to_thread(report_usage, llm_calls=1, input_tokens=50)
        if fail:
            raise errors.SkillFailed("spent for nothing")

    return agent


SPENT = usage_pb2.AgentUsage(llm_calls=2, input_tokens=150, output_tokens=10, cost_usd=0.25)


async def test_usage_is_in_the_response_and_in_trailing_metadata(serve: Serve) -> None:
    served = await serve(spending())
    call = served.stub.Execute(served.request("spend", {"fail": False}))
    assert (await call).usage == SPENT
    trailing = dict(await call.trailing_metadata() or ())
    assert usage_pb2.AgentUsage.FromString(trailing[metadata.AGENT_USAGE]) == SPENT  # type: ignore[arg-type]


async def test_usage_of_a_failed_call_is_in_trailing_metadata(serve: Serve) -> None:
    error = await refusal(await serve(spending()), "spend", {"fail": True})
    assert reason_of(error) is Reason.SKILL_FAILED
    assert usage_pb2.AgentUsage.FromString(trailers(error)[metadata.AGENT_USAGE]) == SPENT  # type: ignore[arg-type]


async def test_a_call_that_spends_nothing_has_no_usage(serve: Serve) -> None:
    served = await serve(adding())
    call = served.stub.Execute(served.request("double", {"number": 1}))
    assert not (await call).HasField("usage")
    assert metadata.AGENT_USAGE not in dict(await call.trailing_metadata() or ())


# --- threads ---------------------------------------------------------------------------------------------------------


async def test_plain_functions_run_beside_each_other_up_to_the_limit(serve: Serve) -> None:
    agent = new_agent(max_threads=2)
    meeting = threading.Barrier(2)
    running, most, lock = 0, 0, threading.Lock()

    @agent.skill(effect="READ_ONLY")
    def meet() -> None:
        """Return once two are here; with three at a time the count would tell."""
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        meeting.wait()
        with lock:
            running -= 1

    served = await serve(agent)
    await asyncio.gather(*(served.execute("meet") for _ in range(6)))
    assert most == 2


colour: contextvars.ContextVar[str] = contextvars.ContextVar("colour")


async def test_what_a_plain_function_sets_in_its_context_stays_there(serve: Serve) -> None:
    agent = new_agent()

    @agent.skill(effect="READ_ONLY")
    def paint() -> str:
        """Look, then paint."""
        before = colour.get("none")
        colour.set("red")
        return before

    served = await serve(agent)
    assert [await served.execute("paint") for _ in range(2)] == [{"result": "none"}, {"result": "none"}]


# --- cancellation and time -------------------------------------------------------------------------------------------


async def test_cancelling_the_call_cancels_an_async_skill(serve: Serve) -> None:
    agent = new_agent()
    started, cancelled = asyncio.Event(), asyncio.Event()

    @agent.skill(effect="READ_ONLY")
    async def wait() -> None:
        """Wait for ever."""
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    served = await serve(agent)
    call = asyncio.create_task(served.execute("wait"))
    await started.wait()
    call.cancel()
    await cancelled.wait()
    with pytest.raises(asyncio.CancelledError):
        await call


async def test_cancelling_the_call_leaves_a_thread_to_itself_and_tells_it(serve: Serve) -> None:
    agent = new_agent(max_threads=1)
    started, release, ended = asyncio.Event(), threading.Event(), threading.Event()
    loop = asyncio.get_running_loop()
    seen: list[bool] = []

    @agent.skill(effect="READ_ONLY")
    def block() -> None:
        """Block until released."""
        call = current_call()
        seen.append(call.abandoned)
        loop.call_soon_threadsafe(started.set)
        release.wait()
        seen.append(call.abandoned)
        ended.set()

    @agent.skill(effect="READ_ONLY")
    async def answer() -> int:
        """Answer."""
        return 42

    served = await serve(agent)
    call = asyncio.create_task(served.execute("block"))
    await started.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert await served.execute("answer") == {"result": 42}
    waiting = asyncio.create_task(served.execute("block"))
    started.clear()
    release.set()
    await waiting  # its turn comes when the thread that was left has ended
    assert ended.is_set()
    assert seen == [False, True, False, False]


async def test_a_call_that_waits_for_a_thread_can_be_cancelled(serve: Serve) -> None:
    agent = new_agent(max_threads=1)
    started, release = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()
    entered: list[int] = []

    @agent.skill(effect="READ_ONLY")
    def block(number: int) -> int:
        """Block until released."""
        entered.append(number)
        loop.call_soon_threadsafe(started.set)
        release.wait()
        return number

    served = await serve(agent)
    first = asyncio.create_task(served.execute("block", {"number": 1}))
    await started.wait()
    with pytest.raises(errors.DeadlineExceeded):
        await served.stub.Execute(served.request("block", {"number": 2}), timeout=0.05)
    await served.stub.Describe(agent_service_pb2.DescribeRequest())  # the agent knows by now that the call is over
    release.set()
    assert await first == {"result": 1}
    assert await served.execute("block", {"number": 3}) == {"result": 3}
    assert entered == [1, 3]


@pytest.mark.parametrize("plain", [True, False], ids=["plain", "async"])
async def test_a_skill_that_takes_longer_than_its_timeout_is_stopped(serve: Serve, plain: bool) -> None:  # noqa: FBT001
    agent = new_agent()
    release = threading.Event()

    def block() -> None:
        """Block."""
        release.wait()

    async def wait() -> None:
        """Wait."""
        await asyncio.Event().wait()

    agent.skill(effect="READ_ONLY", name="slow", timeout_seconds=0.05)(block if plain else wait)
    error = await refusal(await serve(agent), "slow")
    release.set()
    assert code_of(error) is Code.DEADLINE_EXCEEDED
    assert "slow" in error.message
    assert "0.05 s" in error.message


async def test_the_callers_deadline_is_the_skills(serve: Serve) -> None:
    agent = new_agent()
    seen: list[float] = []
    cancelled = asyncio.Event()

    @agent.skill(effect="READ_ONLY")
    async def wait() -> None:
        """Wait for ever."""
        seen.append(current_call().deadline.remaining())
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    served = await serve(agent)
    with pytest.raises(errors.DeadlineExceeded):
        await served.stub.Execute(served.request("wait"), timeout=0.1)
    await cancelled.wait()
    assert 0 < seen[0] <= 0.1
