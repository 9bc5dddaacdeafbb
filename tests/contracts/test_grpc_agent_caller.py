"""What only the caller over gRPC can meet: endpoints that come and go, and agents that are not made with our SDK."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import count
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
from agentmesh.v1 import agent_service_pb2_grpc
from orchestrator_svc.adapters.grpc_agent_caller import GrpcAgentCaller
from orchestrator_svc.app.ledger import NOTHING_SPENT
from orchestrator_svc.app.ports.agent_caller import AgentReply, CallFailed
from orchestrator_svc.app.ports.agent_store import Endpoint
from orchestrator_svc.core.catalog import Skill
from tests.contracts.test_agent_caller import (
    PATIENCE_SECONDS,
    Happened,
    agent_call,
    agent_of,
    skills_of,
)

Execute = Callable[[pb.ExecuteRequest, "grpc.aio.ServicerContext[Any, Any]"], Awaitable[pb.ExecuteResponse]]


class Book:
    """Who is listed where, and a caller that looks there."""

    def __init__(self) -> None:
        self._endpoints: dict[str, Endpoint] = {}
        self._leases = count(1)
        self.caller = GrpcAgentCaller(self._endpoints.get, lambda: frozenset(self._endpoints.values()))

    def register(self, agent: str, address: str) -> None:
        """List the agent there, under a new lease, and nowhere else."""
        self._endpoints[agent] = Endpoint(address, f"{next(self._leases):032x}")

    async def call(self, skill: Skill, arguments: JsonObject | None = None) -> AgentReply:
        return await self.caller.call(agent_call(skill, arguments or {}), Deadline.after(PATIENCE_SECONDS))

    async def failure(self, skill: Skill, arguments: JsonObject | None = None) -> CallFailed:
        with pytest.raises(CallFailed) as caught:
            await self.call(skill, arguments)
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


@asynccontextmanager
async def foreign(execute: Execute) -> AsyncIterator[str]:
    """An agent whose server is plain grpc.aio; gives its address."""

    class Foreign(agent_service_pb2_grpc.AgentServicer):
        async def Execute(
            self, request: pb.ExecuteRequest, context: grpc.aio.ServicerContext[Any, Any]
        ) -> pb.ExecuteResponse:
            return await execute(request, context)

    server = grpc.aio.server()
    agent_service_pb2_grpc.add_AgentServicer_to_server(Foreign(), server)  # type: ignore[abstract]
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


WORK = Skill("foreign_agent", "work", "", Effect.SIDE_EFFECT)


async def foreign_failure(book: Book, execute: Execute) -> CallFailed:
    async with foreign(execute) as address:
        book.register("foreign_agent", address)
        return await book.failure(WORK)


async def test_an_agent_that_moved_is_called_where_it_is_now(
    book: Book, probes: tuple[RunningAgent, RunningAgent, Happened]
) -> None:
    one, two, happened = probes
    echo = skills_of(agent_of(happened))["echo"]
    for running in (one, two, one):
        book.register("probe_agent", running.address)
        assert (await book.call(echo)).endpoint == running.address


async def test_many_first_calls_at_once_to_an_agent_that_moved_all_arrive(
    book: Book, probes: tuple[RunningAgent, RunningAgent, Happened]
) -> None:
    one, two, happened = probes
    echo = skills_of(agent_of(happened))["echo"]
    book.register("probe_agent", one.address)
    await book.call(echo)
    book.register("probe_agent", two.address)
    replies = await asyncio.gather(*(book.call(echo, {"value": number}) for number in range(10)))
    assert [reply.result for reply in replies] == [{"value": number} for number in range(10)]
    assert {reply.endpoint for reply in replies} == {two.address}


async def test_an_agent_that_comes_back_at_its_address_is_called_at_once(book: Book) -> None:
    """Its channel has failed often by then, and would wait before it tries again."""
    happened = Happened()
    echo = skills_of(agent_of(happened))["echo"]
    async with await agent_of(happened).start() as gone:
        address = gone.address
    book.register("probe_agent", address)
    for _ in range(20):
        assert isinstance((await book.failure(echo)).error, errors.Unreachable)
    async with await agent_of(happened).start(address):
        book.register("probe_agent", address)
        assert (await book.call(echo)).endpoint == address


async def test_a_call_in_flight_outlives_the_listing_of_its_endpoint(
    book: Book, probes: tuple[RunningAgent, RunningAgent, Happened]
) -> None:
    one, two, happened = probes
    skills = skills_of(agent_of(happened))
    book.register("probe_agent", one.address)
    waiting = asyncio.create_task(book.call(skills["wait"]))
    await happened.until(lambda: happened.waiting == 1)
    book.register("probe_agent", two.address)
    assert (await book.call(skills["echo"])).endpoint == two.address
    happened.release.set()
    assert (await waiting).endpoint == one.address


async def test_closing_the_caller_ends_what_is_in_flight_as_unreachable(
    book: Book, probes: tuple[RunningAgent, RunningAgent, Happened]
) -> None:
    one, _, happened = probes
    book.register("probe_agent", one.address)
    waiting = asyncio.create_task(book.failure(skills_of(agent_of(happened))["wait"]))
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
        book.register("large_agent", running.address)
        skill = skills_of(agent)["blob"]
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
        book.register("broken_agent", running.address)
        failure = await book.failure(skills_of(agent)["work"])
    assert isinstance(failure.error, errors.Internal)
    assert (failure.code, failure.agent_reason) == (Code.INTERNAL, "INTERNAL")
    assert "marker-91c2" not in failure.error.message


async def test_an_agent_that_was_changed_is_not_asked_under_the_old_contract(book: Book) -> None:
    async with await agent_of(Happened()).start() as running:
        book.register("probe_agent", running.address)
        failure = await book.failure(Skill("probe_agent", "echo", "", Effect.SIDE_EFFECT))
    assert isinstance(failure.error, errors.SkillChanged)
    assert (failure.code, failure.agent_reason) == (Code.FAILED_PRECONDITION, "SKILL_CHANGED")


async def test_an_answer_without_a_result_is_a_reply_without_one(book: Book) -> None:
    async def nothing(request: pb.ExecuteRequest, context: object) -> pb.ExecuteResponse:
        return pb.ExecuteResponse()

    async with foreign(nothing) as address:
        book.register("foreign_agent", address)
        reply = await book.call(WORK)
    assert (reply.result, reply.endpoint, reply.spending) == (None, address, NOTHING_SPENT)


async def test_a_result_that_is_no_json_comes_as_it_is(book: Book) -> None:
    """Whoever asked checks it; see `core.results.accept`."""

    async def not_a_number(request: pb.ExecuteRequest, context: object) -> pb.ExecuteResponse:
        response = pb.ExecuteResponse()
        response.result.fields["x"].number_value = math.nan
        return response

    async with foreign(not_a_number) as address:
        book.register("foreign_agent", address)
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
