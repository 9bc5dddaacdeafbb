"""A run that is watched: what its readers see, and what leaving them means."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import grpc
import grpc.aio
import pytest

from agentmesh.client import AsyncMeshClient, MeshClient
from agentmesh.jsonvalues import JsonObject
from agentmesh.transport import from_struct
from agentmesh.v1 import orchestrator_service_pb2 as pb
from agentmesh.v1 import run_event_pb2, run_pb2
from tests.e2e.errors import refusal_of
from tests.e2e.mesh import Mesh, minds, running_mesh
from tests.e2e.probe import Probe
from tests.fakes.planner import FixedPlanner
from tests.fakes.synthesizer import FixedSynthesizer

WAIT: JsonObject = {"id": "w", "skill": "probe_agent__wait"}
ECHO: JsonObject = {"id": "e", "skill": "probe_agent__echo", "arguments": {"text": "hello"}}
CANCEL_SECONDS = 10.0
"""For a cancellation to arrive; 250 ms are promised, and the machine may be busy."""


@pytest.fixture
async def waiting(probe: Probe) -> AsyncIterator[Mesh]:
    """A mesh that answers every question with a skill that waits, beside one that does not."""
    model = FixedSynthesizer(["all ", "is ", "well"])
    async with running_mesh(probe.agent(), minds=minds(FixedPlanner([WAIT, ECHO]), model)) as mesh:
        yield mesh


def stream(mesh: Mesh, **ask: object) -> grpc.aio.UnaryStreamCall[pb.AskStreamRequest, pb.AskStreamResponse]:
    request = pb.AskRequest(query="?", **ask)  # type: ignore[arg-type]  # fields of the request
    return mesh.orchestrator.AskStream(pb.AskStreamRequest(ask=request))


def watch(mesh: Mesh, run_id: str, after: int = 0) -> grpc.aio.UnaryStreamCall[pb.WatchRunRequest, pb.WatchRunResponse]:
    return mesh.orchestrator.WatchRun(pb.WatchRunRequest(run_id=run_id, after_sequence=after))


def kinds(events: list[run_event_pb2.RunEvent]) -> list[str]:
    return [str(event.WhichOneof("event")) for event in events]


async def test_the_events_of_a_run_in_order_and_its_answer(waiting: Mesh, probe: Probe) -> None:
    probe.release.set()
    events = [message.event async for message in stream(waiting, include_results=True)]
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    assert sorted(kinds(events)[2:6]) == ["step_finished", "step_finished", "step_started", "step_started"]
    assert kinds(events)[:2] + kinds(events)[6:] == [
        "accepted",
        "planned",
        "answer_token",
        "answer_token",
        "answer_token",
        "finished",
    ]
    planned, finished = events[1].planned, events[-1].finished
    assert [step.id for step in planned.plan.steps] == ["w", "e"]
    assert (planned.planner, finished.answer) == ("fixed-model", "all is well")
    assert finished.run_id == events[0].accepted.run_id
    assert from_struct(finished.steps[1].result)["text"] == "hello"
    started = next(e.step_started for e in events if e.WhichOneof("event") == "step_started")
    assert (started.attempt, started.HasField("item_index")) == (1, False)
    assert started.endpoint.startswith("127.0.0.1:")
    ended = {e.step_finished.step.step_id: e.step_finished.step for e in events if e.HasField("step_finished")}
    assert {step.outcome for step in ended.values()} == {run_pb2.STEP_OUTCOME_SUCCEEDED}
    assert not ended["e"].HasField("result")
    times = [event.at.ToNanoseconds() for event in events]
    assert times == sorted(times)


async def test_a_run_that_fails_ends_its_stream_with_the_status_that_ask_has(probe: Probe) -> None:
    fails: JsonObject = {"id": "f", "skill": "probe_agent__fail", "arguments": {"how": "not_found"}}
    async with running_mesh(probe.agent(), minds=minds(FixedPlanner([fails]))) as mesh:
        with pytest.raises(grpc.aio.AioRpcError) as asked:
            await mesh.orchestrator.Ask(pb.AskRequest(query="?"))
        call = stream(mesh)
        messages = aiter(call)
        events = [(await anext(messages)).event for _ in range(4)]
        with pytest.raises(grpc.aio.AioRpcError) as streamed:
            await anext(messages)
        trailing = dict(await call.trailing_metadata())
    assert kinds(events) == ["accepted", "planned", "step_started", "step_finished"]
    one, other = refusal_of(asked.value), refusal_of(streamed.value)
    assert (one.code, one.reason, one.message) == (other.code, other.reason, other.message)
    assert trailing["agentmesh-run-id"] == events[0].accepted.run_id


async def test_a_reader_comes_back_to_what_it_has_not_seen(waiting: Mesh, probe: Probe) -> None:
    asking = stream(waiting, keep_running=True)
    run_id = (await anext(aiter(asking))).event.accepted.run_id
    await probe.started.wait()
    asking.cancel()
    probe.release.set()
    seen = [message.event async for message in watch(waiting, run_id, after=2)]
    assert [event.sequence for event in seen] == list(range(3, 3 + len(seen)))
    assert seen[-1].finished.answer == "all is well"
    again = [message.event async for message in watch(waiting, run_id)]
    assert kinds(again)[0] == "accepted"
    assert [event.sequence for event in again][2:] == [event.sequence for event in seen]


async def test_watching_a_run_that_is_not_there(waiting: Mesh) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await anext(aiter(watch(waiting, "0" * 32)))
    assert refusal_of(caught.value).reason == "RUN_NOT_FOUND"


async def test_a_cancelled_run_ends_every_stream_of_it(waiting: Mesh, probe: Probe) -> None:
    asking = stream(waiting)
    run_id = (await anext(aiter(asking))).event.accepted.run_id
    watching = watch(waiting, run_id)
    await anext(aiter(watching))
    await probe.started.wait()
    response = await waiting.orchestrator.CancelRun(pb.CancelRunRequest(run_id=run_id))
    assert response.state == run_pb2.RUN_STATE_CANCELLED
    for reader in (asking, watching):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            async for _ in reader:
                pass
        assert refusal_of(caught.value).reason == "RUN_CANCELLED"
    async with asyncio.timeout(CANCEL_SECONDS):
        await probe.cancelled.wait()
    run = (await waiting.orchestrator.GetRun(pb.GetRunRequest(run_id=run_id))).run
    assert run.state == run_pb2.RUN_STATE_CANCELLED
    assert (await waiting.orchestrator.CancelRun(pb.CancelRunRequest(run_id=run_id))).state == run.state


async def test_breaking_out_of_the_clients_iterator_cancels_the_skill_at_the_agent(waiting: Mesh, probe: Probe) -> None:
    async with AsyncMeshClient(waiting.address) as client:
        async for _ in client.ask_stream("?"):
            if probe.started.is_set():
                break
        async with asyncio.timeout(CANCEL_SECONDS):
            await probe.cancelled.wait()


async def test_so_does_breaking_out_of_the_one_for_threads(waiting: Mesh, probe: Probe) -> None:
    def read_until_it_waits() -> None:
        with MeshClient(waiting.address) as client:
            for _ in client.ask_stream("?"):
                if probe.started.is_set():
                    break

    await asyncio.to_thread(read_until_it_waits)
    async with asyncio.timeout(CANCEL_SECONDS):
        await probe.cancelled.wait()
