"""Iterators of the client, in both forms: what they give, and that the mesh hears of a reader that has left."""

import asyncio
import gc
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime, timedelta, timezone
from typing import Any, TypeAlias

import pytest

from agentmesh import client as api
from agentmesh import errors
from agentmesh.client import AsyncMeshClient, AsyncRunEvents, MeshClient, RunEvents
from agentmesh.errors import Code
from agentmesh.v1 import orchestrator_service_pb2 as pb
from agentmesh.v1 import run_event_pb2, run_pb2
from tests.cli import samples
from tests.cli.scripted_mesh import ScriptedMesh

Collect: TypeAlias = Callable[..., Awaitable[list[Any]]]


async def _collect_async(address: str, method: str, *arguments: object, **options: object) -> list[Any]:
    async with AsyncMeshClient(address) as client:
        return [event async for event in getattr(client, method)(*arguments, **options)]


async def _collect_sync(address: str, method: str, *arguments: object, **options: object) -> list[Any]:
    def collect() -> list[Any]:
        with MeshClient(address) as client:
            return list(getattr(client, method)(*arguments, **options))

    return await asyncio.to_thread(collect)


@pytest.fixture(params=[_collect_async, _collect_sync], ids=["async", "sync"])
def collect(request: pytest.FixtureRequest) -> Collect:
    chosen: Collect = request.param
    return chosen


async def test_every_kind_of_event_is_a_value_of_its_own(mesh: ScriptedMesh, collect: Collect) -> None:
    mesh.script = samples.events()
    events = await collect(mesh.address, "ask_stream", "q")
    assert [event.sequence for event in events] == list(range(1, 18))
    assert [type(event) for event in events] == [
        api.Accepted, api.Planned, api.StepStarted, api.StepStarted, api.StepStarted, api.StepStarted,
        api.StepProgress, api.StepFinished, api.StepStarted, api.StepFinished, api.StepFinished, api.StepFinished,
        api.AnswerToken, api.AnswerReset, api.AnswerToken, api.AnswerToken, api.Finished,
    ]  # fmt: skip
    accepted, planned, first, item, _, retry, progress, finished, *_ = events
    assert (accepted.run_id, accepted.at) == (samples.RUN_ID, samples.BEGAN - timedelta(milliseconds=400))
    assert (planned.plan, planned.mode) == (samples.PLAN, api.Mode.SEQUENTIAL)
    assert (planned.plan_source, planned.planner) == (api.PlanSource.LLM, "some-model")
    assert (first.step_id, first.item_index, first.attempt, first.endpoint) == ("scan", None, 1, "127.0.0.1:4001")
    assert (item.item_index, retry.attempt) == (0, 2)
    assert (progress.step_id, progress.fraction, progress.message) == ("scan", 0.4, "reading")
    assert (finished.step.step_id, finished.step.attempts, finished.step.seconds) == ("scan", 2, 0.12)
    assert events[-1].answer.text.startswith("Two things")
    with pytest.raises(AttributeError):
        events[-1].answer = None


async def test_ask_stream_sends_what_ask_sends(mesh: ScriptedMesh, collect: Collect) -> None:
    mesh.answer = samples.offline_answer()
    budget = api.Budget(llm_calls=2, tokens=1000, cost_usd=0.5, agent_calls=0)
    options = {"raw": True, "conversation_id": "c", "request_id": "r", "budget": budget, "keep_running": True}
    await collect(mesh.address, "ask_stream", "q", timeout_seconds=20, **options)
    assert mesh.requests == [
        pb.AskStreamRequest(
            ask=pb.AskRequest(
                query="q",
                answer_format=pb.ANSWER_FORMAT_RAW,
                conversation_id="c",
                request_id="r",
                budget=pb.Budget(llm_calls=2, tokens=1000, cost_usd=0.5, agent_calls=0),
                keep_running=True,
            )
        )
    ]


async def test_watch_run_gives_what_came_after_the_events_that_were_seen(mesh: ScriptedMesh, collect: Collect) -> None:
    mesh.script = samples.events()
    events = await collect(mesh.address, "watch_run", samples.RUN_ID, after_sequence=14)
    assert mesh.requests == [pb.WatchRunRequest(run_id=samples.RUN_ID, after_sequence=14)]
    assert [event.sequence for event in events] == [15, 16, 17]


async def test_a_watcher_who_has_seen_the_last_event_is_given_none_and_no_error(
    mesh: ScriptedMesh, collect: Collect
) -> None:
    mesh.script = samples.events()
    assert await collect(mesh.address, "watch_run", samples.RUN_ID, after_sequence=17) == []


async def test_an_event_of_a_later_version_keeps_its_number(mesh: ScriptedMesh, collect: Collect) -> None:
    newer = run_event_pb2.RunEvent.FromString(b"\x08\x01\xa2\x06\x00")  # field 100, which nobody has
    mesh.script = [newer, run_event_pb2.RunEvent(sequence=2, finished=samples.offline_answer())]
    first, second = await collect(mesh.address, "ask_stream", "q")
    assert isinstance(first, api.UnknownEvent)
    assert (first.sequence, second.sequence) == (1, 2)


async def test_a_run_that_fails_raises_what_ask_would_raise(mesh: ScriptedMesh, collect: Collect) -> None:
    error = errors.AllStepsFailed("nothing worked", code=Code.NOT_FOUND, metadata={"run_id": samples.RUN_ID})
    mesh.script = [*samples.events()[:3], error]
    with pytest.raises(errors.AllStepsFailed, match="nothing worked") as caught:
        await collect(mesh.address, "ask_stream", "q")
    assert (caught.value.code, caught.value.metadata) == (Code.NOT_FOUND, {"run_id": samples.RUN_ID})


@pytest.mark.parametrize("count", [0, 3])
async def test_an_end_without_an_answer_and_without_an_error_is_an_error(
    mesh: ScriptedMesh, collect: Collect, count: int
) -> None:
    mesh.script = samples.events()[:count]
    with pytest.raises(errors.RemoteError, match="ended the stream of events without an answer"):
        await collect(mesh.address, "ask_stream", "q")


async def test_a_large_answer_arrives_whole_as_an_event(mesh: ScriptedMesh, collect: Collect) -> None:
    answer = samples.raw_answer()
    answer.steps[0].result["rows"] = [{"n": n, "text": "x" * 50} for n in range(20_000)]
    mesh.answer = answer
    (finished,) = await collect(mesh.address, "ask_stream", "q", raw=True)
    assert finished.answer.steps[0].result["rows"][19_999] == {"n": 19_999, "text": "x" * 50}


async def test_a_timeout_of_a_stream_is_raised_and_ends_the_work_in_the_mesh(
    mesh: ScriptedMesh, collect: Collect
) -> None:
    mesh.script = [*samples.events()[:3], asyncio.Event()]
    with pytest.raises(errors.DeadlineExceeded):
        await collect(mesh.address, "ask_stream", "q", timeout_seconds=0.2)
    await mesh.left.wait()


async def test_a_question_that_no_message_carries_is_refused_before_anything_is_read(mesh: ScriptedMesh) -> None:
    async with AsyncMeshClient(mesh.address) as client:
        with pytest.raises(errors.RequestInvalid):
            client.ask_stream("\ud800")
    with MeshClient(mesh.address) as blocking, pytest.raises(errors.RequestInvalid):
        blocking.ask_stream("\ud800")
    assert mesh.requests == []


async def test_nothing_is_sent_before_reading_begins(mesh: ScriptedMesh) -> None:
    async with AsyncMeshClient(mesh.address) as client:
        client.ask_stream("q")
        async with client.ask_stream("q"):
            pass
    with MeshClient(mesh.address) as blocking, blocking.ask_stream("q"):
        pass
    assert mesh.requests == []


async def test_list_runs_asks_for_page_after_page(mesh: ScriptedMesh, collect: Collect) -> None:
    mesh.answers.extend(
        [
            pb.ListRunsResponse(runs=samples.summaries(5, 4), next_page_token="a"),
            pb.ListRunsResponse(next_page_token="b"),
            pb.ListRunsResponse(runs=samples.summaries(3)),
        ]
    )
    runs = await collect(
        mesh.address,
        "list_runs",
        state=api.RunState.FINISHED,
        outcome=api.RunOutcome.COMPLETE,
        started_after=samples.BEGAN,
        started_before=samples.BEGAN.astimezone(timezone(timedelta(hours=2))) + timedelta(hours=1),
        conversation_id="talk",
        page_size=2,
    )
    asked = pb.ListRunsRequest(
        page_size=2,
        state=run_pb2.RUN_STATE_FINISHED,
        outcome=run_pb2.RUN_OUTCOME_COMPLETE,
        started_after=samples.at(0),
        started_before=samples.at(3_600_000),
        conversation_id="talk",
    )
    pages = [pb.ListRunsRequest(page_token=token) for token in ("", "a", "b")]
    for page in pages:
        page.MergeFrom(asked)
    assert mesh.requests == pages
    assert [run.query for run in runs] == ["Question 5?", "Question 4?", "Question 3?"]
    run = runs[0]
    assert (run.run_id, run.state, run.outcome) == (f"{5:032x}", api.RunState.FINISHED, api.RunOutcome.COMPLETE)
    assert (run.seconds, run.conversation_id, run.usage.llm_calls) == (1.5, "talk", 2)


async def test_a_run_that_has_not_ended_has_no_outcome_yet(mesh: ScriptedMesh, collect: Collect) -> None:
    mesh.answer = pb.ListRunsResponse(
        runs=[run_pb2.RunSummary(run_id=samples.RUN_ID, state=run_pb2.RUN_STATE_RUNNING, started_at=samples.at(0))]
    )
    (run,) = await collect(mesh.address, "list_runs")
    assert (run.state, run.outcome, run.ended_at, run.seconds) == (api.RunState.RUNNING, None, None, None)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"page_size": -1}, "page_size"),
        ({"state": api.RunState.UNKNOWN}, "state"),
        ({"outcome": api.RunOutcome.UNKNOWN}, "outcome"),
        ({"started_after": datetime(2026, 1, 1)}, "started_after"),  # noqa: DTZ001 - that is what is refused
    ],
    ids=["page_size", "state", "outcome", "started_after"],
)
async def test_a_filter_that_no_message_carries_is_refused(
    mesh: ScriptedMesh, collect: Collect, options: dict[str, Any], field: str
) -> None:
    with pytest.raises(errors.RequestInvalid) as caught:
        await collect(mesh.address, "list_runs", **options)
    assert [violation.path for violation in caught.value.violations] == [field]
    assert mesh.requests == []


class _Stopped(Exception):
    pass


@pytest.fixture
def hanging(mesh: ScriptedMesh) -> ScriptedMesh:
    """Three events, and then nothing for ever."""
    mesh.script = [*samples.events()[:3], asyncio.Event()]
    return mesh


@pytest.fixture
async def events(hanging: ScriptedMesh) -> AsyncIterator[AsyncRunEvents]:
    """Held by the test's frame: what is dropped is the loop alone."""
    async with AsyncMeshClient(hanging.address) as client:
        yield client.ask_stream("q")


async def test_break_ends_the_work_in_the_mesh(hanging: ScriptedMesh, events: AsyncRunEvents) -> None:
    async for _ in events:
        break
    await hanging.left.wait()


async def test_an_exception_in_the_loop_ends_the_work_in_the_mesh(
    hanging: ScriptedMesh, events: AsyncRunEvents
) -> None:
    async def read() -> None:
        async for event in events:
            raise _Stopped(event)

    with pytest.raises(_Stopped) as caught:
        await read()
    await hanging.left.wait()
    assert caught.value.__traceback__ is not None  # which holds the frame of the loop


async def test_return_from_the_loop_ends_the_work_in_the_mesh(hanging: ScriptedMesh, events: AsyncRunEvents) -> None:
    async def first() -> api.RunEvent:
        async for event in events:
            return event
        raise AssertionError

    assert isinstance(await first(), api.Accepted)
    await hanging.left.wait()


@pytest.mark.parametrize("count", [1, 3], ids=["in the body", "while it waits"])
async def test_a_cancelled_reader_ends_the_work_in_the_mesh(
    hanging: ScriptedMesh, events: AsyncRunEvents, count: int
) -> None:
    reading = asyncio.Event()

    async def read() -> None:
        async for event in events:
            if event.sequence == count:
                reading.set()
                if count == 1:
                    await asyncio.Event().wait()

    task = asyncio.create_task(read())
    await reading.wait()
    task.cancel()
    await hanging.left.wait()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_events_that_nobody_holds_any_more_end_the_work_in_the_mesh(hanging: ScriptedMesh) -> None:
    async with AsyncMeshClient(hanging.address) as client:
        events = client.ask_stream("q")
        assert (await anext(events)).sequence == 1
        circle: list[object] = [events]
        circle.append(circle)
        del events, circle
        gc.collect()
        await hanging.left.wait()


async def test_inside_of_a_block_reading_goes_on_after_a_loop_and_its_end_ends_the_work(
    hanging: ScriptedMesh, events: AsyncRunEvents
) -> None:
    async with events:
        async for event in events:
            if event.sequence == 1:
                break
        assert [(await anext(events)).sequence for _ in range(2)] == [2, 3]
        assert not hanging.left.is_set()
    await hanging.left.wait()


@pytest.mark.parametrize("how", ["cancel", "aclose"])
async def test_another_task_may_end_the_reading(hanging: ScriptedMesh, events: AsyncRunEvents, how: str) -> None:
    last = asyncio.Event()

    async def read() -> None:
        async for event in events:
            if event.sequence == 3:
                last.set()

    task = asyncio.create_task(read())
    await last.wait()
    if how == "cancel":
        events.cancel()
    else:
        await events.aclose()
    with pytest.raises(errors.RunCancelled, match="left before their end"):
        await task
    await hanging.left.wait()


async def test_who_comes_back_to_a_loop_that_was_left_is_told(events: AsyncRunEvents) -> None:
    async for _ in events:
        break
    with pytest.raises(errors.RunCancelled, match="left before their end"):
        await anext(events)


async def test_events_that_were_read_to_the_end_stay_at_their_end(mesh: ScriptedMesh) -> None:
    mesh.answer = samples.offline_answer()
    async with AsyncMeshClient(mesh.address) as client:
        events = client.ask_stream("q")
        assert len([event async for event in events]) == 1
        assert [event async for event in events] == []
    assert not mesh.left.is_set()


async def test_a_client_that_is_closed_ends_its_streams(hanging: ScriptedMesh) -> None:
    client = AsyncMeshClient(hanging.address)
    events = client.ask_stream("q")
    await anext(events)
    await client.close()
    await hanging.left.wait()


async def _in_a_thread(mesh: ScriptedMesh, read: Callable[[RunEvents], None]) -> None:
    """The thread keeps client and events until the mesh has heard of it."""
    loop = asyncio.get_running_loop()

    def reading() -> None:
        with MeshClient(mesh.address) as client:
            events = client.ask_stream("q")
            read(events)
            asyncio.run_coroutine_threadsafe(mesh.left.wait(), loop).result(30)

    await asyncio.to_thread(reading)


def _break(events: RunEvents) -> None:
    for _ in events:
        break
    with pytest.raises(errors.RunCancelled, match="left before their end"):
        next(events)


def _raise(events: RunEvents) -> None:
    def read() -> None:
        for event in events:
            raise _Stopped(event)

    with pytest.raises(_Stopped):
        read()


def _block(events: RunEvents) -> None:
    with events:
        for _ in events:
            break
        assert [next(events).sequence for _ in range(2)] == [2, 3]


def _close(events: RunEvents) -> None:
    next(events)
    events.close()


@pytest.mark.parametrize("read", [_break, _raise, _block, _close], ids=lambda read: read.__name__.strip("_"))
async def test_a_thread_that_stops_reading_ends_the_work_in_the_mesh(
    hanging: ScriptedMesh, read: Callable[[RunEvents], None]
) -> None:
    await _in_a_thread(hanging, read)


async def test_another_thread_may_end_the_reading(hanging: ScriptedMesh) -> None:
    last = threading.Event()

    def read(events: RunEvents) -> None:
        for event in events:
            if event.sequence == 3:
                last.set()

    with MeshClient(hanging.address) as client:
        events = client.ask_stream("q")
        task = asyncio.create_task(asyncio.to_thread(read, events))
        await asyncio.to_thread(last.wait)
        events.close()
        with pytest.raises(errors.RunCancelled, match="left before their end"):
            await task
        await hanging.left.wait()


async def test_events_of_a_thread_that_nobody_holds_any_more_end_the_work_in_the_mesh(hanging: ScriptedMesh) -> None:
    loop = asyncio.get_running_loop()

    def reading() -> None:
        with MeshClient(hanging.address) as client:
            assert next(client.ask_stream("q")).sequence == 1
            asyncio.run_coroutine_threadsafe(hanging.left.wait(), loop).result(30)

    await asyncio.to_thread(reading)
