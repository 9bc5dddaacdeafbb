"""What only the caller over gRPC can meet: endpoints that come and go, and agents that are not made with our SDK."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import grpc
import pytest

from agentmesh import errors
from agentmesh.agent import Agent, RunningAgent
from agentmesh.cards import Effect
from agentmesh.deadline import Deadline
from agentmesh.errors import Code
from agentmesh.jsonvalues import JsonObject
from agentmesh.metadata import AGENT_USAGE
from agentmesh.v1 import agent_service_pb2 as pb
from agentmesh.v1 import agent_service_pb2_grpc, usage_pb2
from orchestrator_svc.adapters.grpc_agent_caller import GrpcAgentCaller
from orchestrator_svc.adapters.memory_agent_store import MemoryAgentStore
from orchestrator_svc.adapters.system_clock import SystemClock
from orchestrator_svc.app.endpoints import Endpoints
from orchestrator_svc.app.ledger import NOTHING_SPENT, AgentSpending
from orchestrator_svc.app.ports.agent_caller import AgentReply, CallFailed
from orchestrator_svc.app.ports.agent_store import Endpoint
from orchestrator_svc.core.card import Card
from orchestrator_svc.core.catalog import Skill
from tests.app.listed import list_endpoint, unlist
from tests.contracts.test_agent_caller import (
    PATIENCE_SECONDS,
    Happened,
    agent_call,
    agent_of,
    skills_of,
)
from tests.fakes.agent_caller import RecordingWatcher

Execute = Callable[[pb.ExecuteRequest, "grpc.aio.ServicerContext[Any, Any]"], Awaitable[pb.ExecuteResponse]]
Messages = AsyncIterator[pb.ExecuteStreamResponse]
Stream = Callable[[pb.ExecuteStreamRequest, Any], Messages]


class Book:
    """Who is listed where, and a caller that looks there."""

    def __init__(self) -> None:
        self._clock = SystemClock()
        self._store = MemoryAgentStore(self._clock)
        self.endpoints = Endpoints(self._store, self._clock)
        self.caller = GrpcAgentCaller(self.endpoints, wait_seconds=PATIENCE_SECONDS / 2)

    async def add(self, address: str, *skills: Skill) -> Endpoint:
        """List an endpoint of the agent whose skills these are, under a new lease."""
        return await list_endpoint(self._store, self._clock, address, card_of(*skills))

    async def register(self, address: str, *skills: Skill) -> Endpoint:
        """List the agent there, and nowhere else."""
        for listed in self._store.listing().registrations:
            if listed.card.name == skills[0].agent:
                await unlist(self._store, listed.endpoint)
        return await self.add(address, *skills)

    async def remove(self, endpoint: Endpoint) -> None:
        await unlist(self._store, endpoint)

    async def clear(self) -> None:
        """List nobody."""
        for listed in self._store.listing().registrations:
            await unlist(self._store, listed.endpoint)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until what is known of the endpoints is so."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not condition():
                await self.endpoints.changed(self.endpoints.revision)

    async def call(
        self,
        skill: Skill,
        arguments: JsonObject | None = None,
        watcher: RecordingWatcher | None = None,
        tried: Iterable[str] = (),
    ) -> AgentReply:
        call = replace(agent_call(skill, arguments or {}), tried=frozenset(tried))
        return await self.caller.call(call, Deadline.after(PATIENCE_SECONDS), watcher or RecordingWatcher())

    async def failure(
        self,
        skill: Skill,
        arguments: JsonObject | None = None,
        watcher: RecordingWatcher | None = None,
        tried: Iterable[str] = (),
    ) -> CallFailed:
        with pytest.raises(CallFailed) as caught:
            await self.call(skill, arguments, watcher, tried)
        return caught.value


@pytest.fixture
async def book() -> AsyncIterator[Book]:
    made = Book()
    yield made
    await made.caller.close()


@pytest.fixture
async def probes() -> AsyncIterator[tuple[RunningAgent, RunningAgent, Happened]]:
    """Two endpoints of one agent."""
    happened = Happened()
    async with await agent_of(happened).start() as one, await agent_of(happened).start() as two:
        yield one, two, happened


def card_of(*skills: Skill) -> Card:
    """A card with these skills, and no other than them in its digest."""
    source: JsonObject = {"skills": [[skill.id, skill.digest, skill.agent_version] for skill in skills]}
    return Card(skills[0].agent, skills[0].agent_version, "", skills, source)


async def unexpected(request: pb.ExecuteRequest, context: object) -> pb.ExecuteResponse:
    raise AssertionError("nobody was to call Execute")


@asynccontextmanager
async def foreign(execute: Execute = unexpected, stream: Stream | None = None) -> AsyncIterator[str]:
    """An agent whose server is plain grpc.aio, without ExecuteStream unless it is given; gives its address."""

    class Foreign(agent_service_pb2_grpc.AgentServicer):
        async def Execute(
            self, request: pb.ExecuteRequest, context: grpc.aio.ServicerContext[Any, Any]
        ) -> pb.ExecuteResponse:
            return await execute(request, context)

    class Streaming(Foreign):
        async def ExecuteStream(self, request: pb.ExecuteStreamRequest, context: Any) -> Messages:  # noqa: ANN401
            assert stream is not None
            async for message in stream(request, context):
                yield message

    servicer = Foreign() if stream is None else Streaming()  # type: ignore[abstract]
    server = grpc.aio.server()
    agent_service_pb2_grpc.add_AgentServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


WORK = Skill("foreign_agent", "work", "", Effect.SIDE_EFFECT)
LONG_WORK = Skill("foreign_agent", "long_work", "", Effect.SIDE_EFFECT, reports_progress=True)


def told(fraction: float | None, message: str) -> pb.ExecuteStreamResponse:
    return pb.ExecuteStreamResponse(progress=pb.Progress(fraction=fraction, message=message))


def done() -> pb.ExecuteResponse:
    response = pb.ExecuteResponse(usage=usage_pb2.AgentUsage(llm_calls=3))
    response.result["done"] = True
    return response


async def foreign_failure(book: Book, execute: Execute) -> CallFailed:
    async with foreign(execute) as address:
        await book.register(address, WORK, LONG_WORK)
        return await book.failure(WORK)


async def test_an_agent_that_moved_is_called_where_it_is_now(
    book: Book, probes: tuple[RunningAgent, RunningAgent, Happened]
) -> None:
    one, two, happened = probes
    echo = skills_of(agent_of(happened))["echo"]
    for running in (one, two, one):
        await book.register(running.address, echo)
        assert (await book.call(echo)).endpoint == running.address


async def test_many_first_calls_at_once_to_an_agent_that_moved_all_arrive(
    book: Book, probes: tuple[RunningAgent, RunningAgent, Happened]
) -> None:
    one, two, happened = probes
    echo = skills_of(agent_of(happened))["echo"]
    await book.register(one.address, echo)
    await book.call(echo)
    await book.register(two.address, echo)
    replies = await asyncio.gather(*(book.call(echo, {"value": number}) for number in range(10)))
    assert [reply.result for reply in replies] == [{"value": number} for number in range(10)]
    assert {reply.endpoint for reply in replies} == {two.address}


async def test_an_agent_that_comes_back_at_its_address_is_called_at_once(book: Book) -> None:
    """Its channel has failed often by then, and would wait before it tries again."""
    happened = Happened()
    echo = skills_of(agent_of(happened))["echo"]
    async with await agent_of(happened).start() as gone:
        address = gone.address
    gone_endpoint = await book.register(address, echo)
    assert isinstance((await book.failure(echo)).error, errors.Unreachable)
    await book.until(lambda: not book.endpoints.is_healthy(gone_endpoint))
    async with await agent_of(happened).start(address):
        await book.register(address, echo)
        assert (await book.call(echo)).endpoint == address


async def test_a_call_in_flight_outlives_the_listing_of_its_endpoint(
    book: Book, probes: tuple[RunningAgent, RunningAgent, Happened]
) -> None:
    one, two, happened = probes
    skills = skills_of(agent_of(happened))
    await book.register(one.address, *skills.values())
    waiting = asyncio.create_task(book.call(skills["wait"]))
    await happened.until(lambda: happened.waiting == 1)
    await book.register(two.address, *skills.values())
    assert (await book.call(skills["echo"])).endpoint == two.address
    happened.release.set()
    assert (await waiting).endpoint == one.address


async def test_closing_the_caller_ends_what_is_in_flight_as_unreachable(
    book: Book, probes: tuple[RunningAgent, RunningAgent, Happened]
) -> None:
    one, _, happened = probes
    skill = skills_of(agent_of(happened))["wait"]
    await book.register(one.address, skill)
    waiting = asyncio.create_task(book.failure(skill))
    await happened.until(lambda: happened.waiting == 1)
    await book.caller.close()
    failure = await waiting
    assert isinstance(failure.error, errors.Unreachable)
    assert failure.sent
    await happened.until(lambda: happened.cancelled == 1)


async def test_a_large_result_arrives_and_one_over_the_limit_is_named(book: Book) -> None:
    agent = Agent("large_agent", version="1.0.0", description="Returns much.")

    @agent.skill(effect="READ_ONLY")
    def blob(kilobytes: int) -> dict[str, Any]:
        """Return so much."""
        return {"blob": ["x" * 1024] * kilobytes}

    async with await agent.start() as running:
        skill = skills_of(agent)["blob"]
        await book.register(running.address, skill)
        reply = await book.call(skill, {"kilobytes": 500})
        assert reply.result == {"blob": ["x" * 1024] * 500}
        failure = await book.failure(skill, {"kilobytes": 1100})
    assert isinstance(failure.error, errors.ResultTooLarge)
    assert failure.agent_reason == "RESULT_TOO_LARGE"


async def test_what_a_skill_raises_by_mistake_stays_in_the_agent(book: Book) -> None:
    agent = Agent("broken_agent", version="1.0.0", description="Is broken.")

    @agent.skill(effect="READ_ONLY")
    async def work() -> dict[str, Any]:
        """Break."""
        raise ValueError("marker-91c2")

    async with await agent.start() as running:
        skill = skills_of(agent)["work"]
        await book.register(running.address, skill)
        failure = await book.failure(skill)
    assert isinstance(failure.error, errors.Internal)
    assert (failure.code, failure.agent_reason) == (Code.INTERNAL, "INTERNAL")
    assert "marker-91c2" not in failure.error.message


async def test_an_agent_that_was_changed_is_not_asked_under_the_old_contract(book: Book) -> None:
    async with await agent_of(Happened()).start() as running:
        before = Skill("probe_agent", "echo", "", Effect.SIDE_EFFECT)
        await book.register(running.address, before)
        failure = await book.failure(before)
    assert isinstance(failure.error, errors.SkillChanged)
    assert (failure.code, failure.agent_reason) == (Code.FAILED_PRECONDITION, "SKILL_CHANGED")


async def test_an_answer_without_a_result_is_a_reply_without_one(book: Book) -> None:
    async def nothing(request: pb.ExecuteRequest, context: object) -> pb.ExecuteResponse:
        return pb.ExecuteResponse()

    async with foreign(nothing) as address:
        await book.register(address, WORK, LONG_WORK)
        reply = await book.call(WORK)
    assert (reply.result, reply.endpoint, reply.spending) == (None, address, NOTHING_SPENT)


async def test_a_result_that_is_no_json_comes_as_it_is(book: Book) -> None:
    """Whoever asked checks it; see `core.results.accept`."""

    async def not_a_number(request: pb.ExecuteRequest, context: object) -> pb.ExecuteResponse:
        response = pb.ExecuteResponse()
        response.result.fields["x"].number_value = math.nan
        return response

    async with foreign(not_a_number) as address:
        await book.register(address, WORK, LONG_WORK)
        result = (await book.call(WORK)).result
    assert result is not None
    assert isinstance(result["x"], float)
    assert math.isnan(result["x"])


async def test_a_status_without_a_reason_has_none(book: Book) -> None:
    async def conflict(request: pb.ExecuteRequest, context: Any) -> pb.ExecuteResponse:  # noqa: ANN401
        await context.abort(grpc.StatusCode.ABORTED, "somebody else was faster")
        raise AssertionError("unreachable")

    failure = await foreign_failure(book, conflict)
    assert isinstance(failure.error, errors.RemoteError)
    assert failure.error.message == "somebody else was faster"
    assert (failure.code, failure.agent_reason, failure.sent) == (Code.ABORTED, "", True)


async def test_an_agent_that_could_not_connect_further_down_was_reached_itself(book: Book) -> None:
    async def no_database(request: pb.ExecuteRequest, context: Any) -> pb.ExecuteResponse:  # noqa: ANN401
        await context.abort(grpc.StatusCode.UNAVAILABLE, "the order is stored; failed to connect to the mail server")
        raise AssertionError("unreachable")

    failure = await foreign_failure(book, no_database)
    assert isinstance(failure.error, errors.Unreachable)
    assert failure.sent, "it may have done half of its work"


async def test_a_report_of_spending_that_does_not_parse_is_none(book: Book) -> None:
    async def garbage(request: pb.ExecuteRequest, context: Any) -> pb.ExecuteResponse:  # noqa: ANN401
        context.set_trailing_metadata(((AGENT_USAGE, b"\xff\xff\xff"),))
        await context.abort(grpc.StatusCode.INTERNAL, "broken")
        raise AssertionError("unreachable")

    failure = await foreign_failure(book, garbage)
    assert (failure.code, failure.spending) == (Code.INTERNAL, NOTHING_SPENT)


class Counted:
    """A foreign agent that counts, and whose stream is UNIMPLEMENTED."""

    def __init__(self) -> None:
        self.executed = 0
        self.streamed = 0

    async def execute(self, request: pb.ExecuteRequest, context: object) -> pb.ExecuteResponse:
        self.executed += 1
        return done()

    async def stream(self, request: pb.ExecuteStreamRequest, context: Any) -> Messages:  # noqa: ANN401
        self.streamed += 1
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "no such method")
        yield told(0, "unreachable")


async def test_an_agent_without_streams_is_asked_for_one_once_for_as_long_as_it_is_listed(book: Book) -> None:
    agent, watcher = Counted(), RecordingWatcher(wants_progress=True)
    async with foreign(agent.execute, agent.stream) as address:
        await book.register(address, WORK, LONG_WORK)
        for _ in range(3):
            assert (await book.call(LONG_WORK, watcher=watcher)).result == {"done": True}
        assert (agent.streamed, agent.executed) == (1, 3)
        await book.register(address, WORK, LONG_WORK)
        await book.call(LONG_WORK, watcher=watcher)
    assert (agent.streamed, agent.executed) == (2, 4), "another process may run there, with streams"
    assert watcher.heard == [address] * 4


async def test_an_agent_whose_server_does_not_know_the_rpc_is_called_without_progress(book: Book) -> None:
    watcher = RecordingWatcher(wants_progress=True)
    async with foreign(Counted().execute) as address:
        await book.register(address, WORK, LONG_WORK)
        assert (await book.call(LONG_WORK, watcher=watcher)).result == {"done": True}
    assert watcher.heard == [address]


async def test_what_a_skill_does_not_implement_after_progress_is_its_own_and_not_run_again(book: Book) -> None:
    async def half(request: pb.ExecuteStreamRequest, context: Any) -> Messages:  # noqa: ANN401
        yield told(0.5, "the letter is sent")
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "parcels are not built yet")

    async with foreign(stream=half) as address:
        await book.register(address, WORK, LONG_WORK)
        failure = await book.failure(LONG_WORK, watcher=RecordingWatcher(wants_progress=True))
    assert failure.code is Code.UNIMPLEMENTED
    assert failure.error.message == "parcels are not built yet"
    assert failure.sent


async def test_a_stream_that_ends_without_a_result_is_a_reply_without_one(book: Book) -> None:
    async def forgetful(request: pb.ExecuteStreamRequest, context: object) -> Messages:
        yield told(1, "done")

    watcher = RecordingWatcher(wants_progress=True)
    async with foreign(stream=forgetful) as address:
        await book.register(address, WORK, LONG_WORK)
        reply = await book.call(LONG_WORK, watcher=watcher)
    assert (reply.result, reply.endpoint, reply.spending) == (None, address, NOTHING_SPENT)
    assert watcher.heard == [address, (1, "done")]


async def test_the_result_of_a_stream_is_the_last_that_is_read_of_it(book: Book) -> None:
    over = asyncio.Event()

    async def talkative(request: pb.ExecuteStreamRequest, context: Any) -> Messages:  # noqa: ANN401
        context.add_done_callback(lambda _: over.set())
        yield pb.ExecuteStreamResponse(result=done())
        yield told(0.1, "once more")
        yield pb.ExecuteStreamResponse(result=pb.ExecuteResponse())
        await asyncio.Event().wait()

    watcher = RecordingWatcher(wants_progress=True)
    async with foreign(stream=talkative) as address, asyncio.timeout(PATIENCE_SECONDS):
        await book.register(address, WORK, LONG_WORK)
        reply = await book.call(LONG_WORK, watcher=watcher)
        await over.wait()
    assert (reply.result, reply.spending) == ({"done": True}, AgentSpending(llm_calls=3))
    assert watcher.heard == [address]


async def test_a_stream_that_does_not_end_after_its_result_keeps_nobody_waiting(book: Book) -> None:
    async def lingering(request: pb.ExecuteStreamRequest, context: object) -> Messages:
        yield pb.ExecuteStreamResponse(result=done())
        await asyncio.Event().wait()

    async with foreign(stream=lingering) as address, asyncio.timeout(PATIENCE_SECONDS / 2):
        await book.register(address, WORK, LONG_WORK)
        reply = await book.call(LONG_WORK, watcher=RecordingWatcher(wants_progress=True))
    assert reply.result == {"done": True}


async def test_a_stream_that_fails_after_its_result_has_answered(book: Book) -> None:
    async def stumbling(request: pb.ExecuteStreamRequest, context: Any) -> Messages:  # noqa: ANN401
        yield pb.ExecuteStreamResponse(result=done())
        await context.abort(grpc.StatusCode.INTERNAL, "could not say goodbye")

    async with foreign(stream=stumbling) as address:
        await book.register(address, WORK, LONG_WORK)
        reply = await book.call(LONG_WORK, watcher=RecordingWatcher(wants_progress=True))
    assert reply.result == {"done": True}


async def test_a_stream_is_left_to_end_by_itself(book: Book) -> None:
    ended = asyncio.Event()

    async def tidy(request: pb.ExecuteStreamRequest, context: object) -> Messages:
        yield pb.ExecuteStreamResponse(result=done())
        for _ in range(100):  # time enough for a cancellation to arrive, were there one
            await asyncio.sleep(0)
        ended.set()

    async with foreign(stream=tidy) as address:
        await book.register(address, WORK, LONG_WORK)
        await book.call(LONG_WORK, watcher=RecordingWatcher(wants_progress=True))
        assert ended.is_set()


async def test_what_a_stream_that_fails_has_spent_comes_with_its_failure(book: Book) -> None:
    async def in_vain(request: pb.ExecuteStreamRequest, context: Any) -> Messages:  # noqa: ANN401
        yield told(None, "asking a model")
        context.set_trailing_metadata(((AGENT_USAGE, usage_pb2.AgentUsage(llm_calls=2).SerializeToString()),))
        await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "no more words today")

    async with foreign(stream=in_vain) as address:
        await book.register(address, WORK, LONG_WORK)
        failure = await book.failure(LONG_WORK, watcher=RecordingWatcher(wants_progress=True))
    assert (failure.code, failure.spending) == (Code.RESOURCE_EXHAUSTED, AgentSpending(llm_calls=2))


async def test_progress_that_breaks_the_contract_is_passed_on_within_it(book: Book) -> None:
    async def boastful(request: pb.ExecuteStreamRequest, context: object) -> Messages:
        for fraction in (math.nan, math.inf, -0.5, 17.0, 0.0, 1.0):
            yield told(fraction, "")
        yield told(0.5, "ü" * 3000)
        yield pb.ExecuteStreamResponse()
        yield pb.ExecuteStreamResponse(result=done())

    watcher = RecordingWatcher(wants_progress=True)
    async with foreign(stream=boastful) as address:
        await book.register(address, WORK, LONG_WORK)
        await book.call(LONG_WORK, watcher=watcher)
    *small, long = watcher.heard[1:]
    assert small == [(fraction, "") for fraction in (None, None, None, None, 0.0, 1.0)]
    assert long == (0.5, "ü" * 510 + "...")


async def test_a_stream_whose_agent_goes_away_was_sent_and_is_unreachable(book: Book) -> None:
    watcher = RecordingWatcher(wants_progress=True)

    async def hangs(request: pb.ExecuteStreamRequest, context: object) -> Messages:
        yield told(None, "begun")
        await asyncio.Event().wait()

    async with foreign(stream=hangs) as address:
        await book.register(address, WORK, LONG_WORK)
        calling = asyncio.create_task(book.failure(LONG_WORK, watcher=watcher))
        await watcher.progressed.wait()
    failure = await calling
    assert isinstance(failure.error, errors.Unreachable)
    assert (failure.code, failure.sent) == (Code.UNAVAILABLE, True)


async def test_closing_the_caller_ends_a_stream_in_flight_as_unreachable(book: Book) -> None:
    watcher, over = RecordingWatcher(wants_progress=True), asyncio.Event()

    async def hangs(request: pb.ExecuteStreamRequest, context: Any) -> Messages:  # noqa: ANN401
        context.add_done_callback(lambda _: over.set())
        yield told(None, "begun")
        await asyncio.Event().wait()

    async with foreign(stream=hangs) as address:
        await book.register(address, WORK, LONG_WORK)
        calling = asyncio.create_task(book.failure(LONG_WORK, watcher=watcher))
        await watcher.progressed.wait()
        await book.caller.close()
        failure = await calling
        await over.wait()
    assert isinstance(failure.error, errors.Unreachable)
    assert failure.sent
