"""How far a skill has come, as somebody sees who watches the call, over real gRPC."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import Any

import grpc
import pytest
import structlog
from structlog.testing import capture_logs

from agentmesh import errors, metadata
from agentmesh.agent import current_call, progress, report_usage
from agentmesh.errors import Code, MeshError, Reason
from agentmesh.jsonvalues import JsonObject
from agentmesh.reasons import code_of, reason_of
from agentmesh.transport import from_struct
from agentmesh.v1 import agent_service_pb2, usage_pb2
from tests.agent.conftest import Serve, Served, new_agent

Told = tuple[float | None, str]


def told(message: agent_service_pb2.ExecuteStreamResponse) -> Told:
    assert message.WhichOneof("message") == "progress"
    fraction = message.progress.fraction if message.progress.HasField("fraction") else None
    return fraction, message.progress.message


async def read_all(served: Served, read: asyncio.Semaphore | threading.Semaphore) -> tuple[list[Told], JsonObject]:
    """Watch the skill `copy` with four files, which waits for its reader each time."""
    seen: list[Told] = []
    result: JsonObject = {}
    async with served.stream("copy", {"files": 4}) as messages:
        async for message in messages:
            assert not result, "the result is the last"
            if message.HasField("progress"):
                seen.append(told(message))
                read.release()
            else:
                result = from_struct(message.result.result)
    return seen, result


async def refusal(served: Served, skill: str, **fields: Any) -> MeshError:  # noqa: ANN401 - of ExecuteRequest
    with pytest.raises(MeshError) as raised:
        await served.streamed(skill, **fields)
    return raised.value


# --- what a skill says -----------------------------------------------------------------------------------------------


async def test_progress_comes_before_the_result_which_is_the_last_message(serve: Serve) -> None:
    agent = new_agent()
    read = asyncio.Semaphore(0)

    @agent.skill(effect="READ_ONLY", reports_progress=True)
    async def copy(files: int) -> int:
        """Copy files."""
        for done in range(files):
            await progress(done / files, f"file {done}")
            await read.acquire()
        await progress()
        return files

    assert agent.card().skills[0].reports_progress
    seen, result = await read_all(await serve(agent), read)
    assert seen == [(0, "file 0"), (0.25, "file 1"), (0.5, "file 2"), (0.75, "file 3"), (None, "")]
    assert result == {"result": 4}


async def test_a_plain_skill_reports_from_its_thread_without_await(serve: Serve) -> None:
    agent = new_agent()
    read = threading.Semaphore(0)

    @agent.skill(effect="READ_ONLY", reports_progress=True)
    def copy(files: int) -> int:
        """Copy files."""
        for done in range(files):
            _ = progress(done / files, f"file {done}")
            read.acquire()
        return files

    seen, result = await read_all(await serve(agent), read)
    assert seen == [(0, "file 0"), (0.25, "file 1"), (0.5, "file 2"), (0.75, "file 3")]
    assert result == {"result": 4}


async def test_progress_is_reported_from_tasks_and_threads_that_a_skill_starts(serve: Serve) -> None:
    agent = new_agent()
    read = asyncio.Semaphore(0)

    async def half() -> None:
        await progress(0.5, "in a task")

    @agent.skill(effect="READ_ONLY", reports_progress=True)
    async def delegate() -> None:
        """Let others work."""
        await asyncio.create_task(half())
        await read.acquire()
        _ = await asyncio.to_thread(progress, 0.75, "in a thread")

    async with (await serve(agent)).stream("delegate") as messages:
        assert told(await anext(messages)) == (0.5, "in a task")
        read.release()
        assert told(await anext(messages)) == (0.75, "in a thread")


async def test_a_skill_without_progress_streams_its_result_alone(serve: Serve) -> None:
    agent = new_agent()

    @agent.skill(effect="READ_ONLY")
    def answer() -> int:
        """Answer."""
        return 42

    assert not agent.card().skills[0].reports_progress
    (only,) = await (await serve(agent)).streamed("answer")
    assert from_struct(only.result.result) == {"result": 42}


async def test_progress_that_nobody_watches_changes_nothing(serve: Serve) -> None:
    agent = new_agent()

    @agent.skill(effect="READ_ONLY", reports_progress=True)
    async def work() -> bool:
        """Work."""
        await progress(0.5, "half")
        return True

    assert await (await serve(agent)).execute("work") == {"result": True}


async def test_a_long_message_is_cut_at_a_kibibyte_and_between_characters(serve: Serve) -> None:
    agent = new_agent()

    @agent.skill(effect="READ_ONLY", reports_progress=True)
    async def talk() -> None:
        """Talk at length."""
        await progress(0.5, "€" * 1000)

    first, _ = await (await serve(agent)).streamed("talk")
    assert first.progress.message == "€" * 340 + "..."


@pytest.mark.parametrize("fraction", [-0.01, 1.01, float("nan"), float("inf")])
@pytest.mark.parametrize("is_watched", [True, False], ids=["watched", "unwatched"])
async def test_a_fraction_outside_of_0_to_1_is_an_error_of_the_author(
    serve: Serve,
    fraction: float,
    is_watched: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    agent = new_agent()
    raised: list[str] = []

    @agent.skill(effect="READ_ONLY")
    async def overdo() -> None:
        """Do too much."""
        try:
            await progress(fraction)
        except ValueError as error:
            raised.append(str(error))

    served = await serve(agent)
    await (served.streamed("overdo") if is_watched else served.execute("overdo"))
    assert raised == [f"a fraction goes from 0 to 1, and {fraction!r} does not"]


def test_there_is_no_progress_outside_of_a_call() -> None:
    with pytest.raises(LookupError, match="for skills"):
        _ = progress(0.5)


async def test_awaiting_progress_lets_a_cancellation_in(serve: Serve) -> None:
    agent = new_agent()
    cancelled = asyncio.Event()

    @agent.skill(effect="READ_ONLY", reports_progress=True)
    async def count() -> None:
        """Count for ever, without a pause."""
        try:
            while True:
                await progress()
        finally:
            cancelled.set()

    async with (await serve(agent)).stream("count") as messages:
        await anext(messages)
    await cancelled.wait()


# --- a slow reader ---------------------------------------------------------------------------------------------------


async def test_a_slow_reader_gets_the_latest_progress_and_the_result(serve: Serve) -> None:
    agent = new_agent()
    posts = 5000

    @agent.skill(effect="READ_ONLY", reports_progress=True)
    async def hurry() -> int:
        """Report without a pause, so that nobody can read."""
        for done in range(posts):
            _ = progress(done / posts, f"{done} {'x' * 1000}")
        return posts

    @agent.skill(effect="READ_ONLY", reports_progress=True)
    def hurry_in_a_thread() -> int:
        """Report faster than anybody reads."""
        for done in range(posts):
            _ = progress(done / posts, f"{done} {'x' * 1000}")
        return posts

    served = await serve(agent)
    (latest, last) = await served.streamed("hurry")
    assert latest.progress.message.startswith(f"{posts - 1} ")
    assert from_struct(last.result.result) == {"result": posts}
    *_, latest, last = await served.streamed("hurry_in_a_thread")
    assert latest.progress.message.startswith(f"{posts - 1} ")
    assert from_struct(last.result.result) == {"result": posts}


async def test_a_reader_who_stalls_holds_up_neither_the_skill_nor_the_agents_memory(serve: Serve) -> None:
    agent = new_agent()
    posts = 3000
    ended = asyncio.Event()

    @agent.skill(effect="READ_ONLY", reports_progress=True)
    async def report() -> int:
        """Report, and give others their turn each time."""
        for done in range(posts):
            await progress(done / posts, f"{done} {'x' * 1000}")
        ended.set()
        return posts

    served = await serve(agent)
    # What fits into the windows of HTTP/2 is on its way; the rest must wait somewhere, or be dropped.
    async with served.stream("report") as messages:
        read = [await anext(messages)]
        await ended.wait()
        read += [message async for message in messages]
    assert len(read) < posts / 2
    numbers = [int(message.progress.message.split()[0]) for message in read[:-1]]
    assert numbers == sorted(numbers)
    assert numbers[-1] == posts - 1
    assert from_struct(read[-1].result.result) == {"result": posts}


# --- the same as Execute ---------------------------------------------------------------------------------------------


async def test_a_stream_that_is_broken_off_cancels_an_async_skill(serve: Serve) -> None:
    agent = new_agent()
    cancelled = asyncio.Event()

    @agent.skill(effect="READ_ONLY", reports_progress=True)
    async def wait() -> None:
        """Wait for ever."""
        await progress(0.1)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    async with (await serve(agent)).stream("wait") as messages:
        assert told(await anext(messages)) == (0.1, "")
    await cancelled.wait()


async def test_an_agent_that_is_stopped_lets_a_stream_end(serve: Serve) -> None:
    agent = new_agent()
    go_on = asyncio.Event()

    @agent.skill(effect="READ_ONLY", reports_progress=True)
    async def wait() -> int:
        """Wait."""
        await progress(0.1)
        await go_on.wait()
        return 42

    served = await serve(agent)
    async with served.stream("wait") as messages:
        await anext(messages)
        stopping = asyncio.create_task(served.running.stop())
        await refused_because_it_stops(served)
        go_on.set()
        assert from_struct((await anext(messages)).result.result) == {"result": 42}
    await stopping


async def refused_because_it_stops(served: Served) -> None:
    """Ask until the agent takes no new calls."""
    with contextlib.suppress(errors.ShuttingDown, errors.Unreachable):
        while True:
            await served.stub.Describe(agent_service_pb2.DescribeRequest())


async def test_a_stream_that_is_broken_off_tells_a_thread(serve: Serve) -> None:
    agent = new_agent()
    gone = asyncio.Event()
    loop = asyncio.get_running_loop()

    @agent.skill(effect="READ_ONLY", reports_progress=True)
    def work() -> None:
        """Work until nobody waits."""
        call = current_call()
        while not call.abandoned:
            _ = progress(0.1)
        _ = progress(0.2)
        loop.call_soon_threadsafe(gone.set)

    async with (await serve(agent)).stream("work") as messages:
        await anext(messages)
    await gone.wait()


async def test_a_stream_has_the_callers_deadline(serve: Serve) -> None:
    agent = new_agent()
    cancelled = asyncio.Event()

    @agent.skill(effect="READ_ONLY")
    async def wait() -> None:
        """Wait for ever."""
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    served = await serve(agent)
    request = agent_service_pb2.ExecuteStreamRequest(call=served.request("wait"))
    messages = aiter(served.stub.ExecuteStream(request, timeout=0.1))
    with pytest.raises(errors.DeadlineExceeded):
        await anext(messages)
    await cancelled.wait()


async def test_a_stream_has_the_skills_timeout(serve: Serve) -> None:
    agent = new_agent()

    @agent.skill(effect="READ_ONLY", timeout_seconds=0.05)
    async def wait() -> None:
        """Wait for ever."""
        await asyncio.Event().wait()

    error = await refusal(await serve(agent), "wait")
    assert isinstance(error, errors.DeadlineExceeded)
    assert "timeout of 0.05 s" in error.message


async def test_a_stream_is_refused_as_a_call_is(serve: Serve) -> None:
    agent = new_agent()

    @agent.skill(effect="READ_ONLY")
    def double(number: int) -> int:
        """Double."""
        return 2 * number

    served = await serve(agent)
    unknown = await refusal(served, "dubble")
    assert reason_of(unknown) is Reason.SKILL_NOT_FOUND
    assert "did you mean double?" in unknown.message
    assert reason_of(await refusal(served, "double", skill_digest="0" * 64)) is Reason.SKILL_CHANGED
    arguments = await refusal(served, "double")
    assert [violation.path for violation in arguments.violations] == ["arguments.number"]
    messages = aiter(served.stub.ExecuteStream(agent_service_pb2.ExecuteStreamRequest()))
    with pytest.raises(errors.RequestInvalid) as invalid:
        await anext(messages)
    assert [violation.path for violation in invalid.value.violations] == ["call"]


async def test_an_error_after_progress_is_the_skills_and_has_its_usage(serve: Serve) -> None:
    agent = new_agent()

    @agent.skill(effect="READ_ONLY", reports_progress=True)
    async def fail() -> None:
        """Fail half-way."""
        report_usage(llm_calls=1, input_tokens=7)
        await progress(0.5)
        raise errors.SkillFailed("the station is closed")

    async with (await serve(agent)).stream("fail") as messages:
        assert told(await anext(messages)) == (0.5, "")
        with pytest.raises(errors.SkillFailed, match="the station is closed") as raised:
            await anext(messages)
    assert isinstance(raised.value.__cause__, grpc.aio.AioRpcError)
    trailers = dict(raised.value.__cause__.trailing_metadata() or ())
    usage = usage_pb2.AgentUsage.FromString(trailers[metadata.AGENT_USAGE])
    assert usage == usage_pb2.AgentUsage(llm_calls=1, input_tokens=7)


async def test_usage_is_in_the_result_of_a_stream(serve: Serve) -> None:
    agent = new_agent()

    @agent.skill(effect="READ_ONLY")
    async def spend() -> None:
        """Spend."""
        report_usage(llm_calls=2)

    (only,) = await (await serve(agent)).streamed("spend")
    assert only.result.usage == usage_pb2.AgentUsage(llm_calls=2)


async def test_a_bug_in_a_stream_is_fixed_text_and_logged_with_the_ids_of_the_call(serve: Serve) -> None:
    agent = new_agent()

    @agent.skill(effect="READ_ONLY", reports_progress=True)
    async def crash() -> None:
        """Crash."""
        await progress(0.5)
        raise RuntimeError("marker-3f9c")

    served = await serve(agent)
    with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as logs:
        error = await refusal(served, "crash", run_id="r1", step_id="s1")
    assert code_of(error) is Code.INTERNAL
    assert "marker-3f9c" not in error.message
    (bug,) = [entry for entry in logs if entry.get("exc_info")]
    assert str(bug["exc_info"]) == "marker-3f9c"
    assert bug["incident"] in error.message
    assert (bug["run_id"], bug["step_id"], bug["skill"]) == ("r1", "s1", "crash")
