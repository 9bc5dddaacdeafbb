"""Hundreds of questions at once that end in every way: each span ends, each has its parent, nobody works for nobody.

What each caller does is drawn at random, from a seed: it waits for the answer, sets a deadline, or leaves.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind

from agentmesh.agent import Agent, progress
from agentmesh.deadline import Deadline
from agentmesh.errors import MeshError
from agentmesh.jsonvalues import Json
from agentmesh.telemetry import names
from agentmesh.transport import open_channel, reading
from agentmesh.v1 import orchestrator_service_pb2 as pb
from agentmesh.v1 import orchestrator_service_pb2_grpc
from orchestrator_svc.app.ledger import Ledger
from orchestrator_svc.app.ports.planner import PlanSource, Question, Routing
from orchestrator_svc.core.catalog import Catalog
from tests.e2e.mesh import minds, running_mesh
from tests.telemetry.recording import Spans
from tests.telemetry.span_tree import attributes_of, context_of

CALLS = 300
SEED = 20260
CANCEL_SECONDS = 0.25
"""For a cancellation to reach the skill, beside what the machine takes for two rpcs that do nothing."""
HOPS = 2
TICK_SECONDS = 0.02
MAX_WORK_SECONDS = 3.0
SETTINGS = {"AGENTMESH_MAX_CONCURRENT_ASKS": str(CALLS)}


@dataclass
class Leaf:
    """An agent whose skills work for as long as they are told, and note when they began and were cancelled."""

    began: dict[int, float] = field(default_factory=dict)
    cancelled: dict[int, float] = field(default_factory=dict)
    working: int = 0

    def agent(self) -> Agent:
        leaf = Agent("leaf_agent", version="1.0.0", description="Works.")

        @leaf.skill(effect="READ_ONLY", reports_progress=True)
        async def work(number: int, seconds: float) -> dict[str, int]:
            """Work for so long."""
            loop = asyncio.get_running_loop()
            done = asyncio.Event()
            self.began[number] = loop.time()
            self.working += 1
            timer = loop.call_later(seconds, done.set)
            try:
                await progress(0.5)
                await done.wait()
            except asyncio.CancelledError:
                self.cancelled[number] = loop.time()
                raise
            finally:
                timer.cancel()
                self.working -= 1
            return {"number": number}

        return leaf


class Lateness:
    """What the machine and the other calls took, moment for moment: how long an rpc took that does nothing.

    It goes the way of a cancellation, by the threads of gRPC as well as by the event loop: on a busy machine those may
    wait for their turn although the loop is idle.
    """

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub: Any = health_pb2_grpc.HealthStub(channel)
        self._took: list[tuple[float, float]] = []
        self._asking = asyncio.create_task(self._ask())

    async def _ask(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            begin = loop.time()
            await self._stub.Check(health_pb2.HealthCheckRequest())
            self._took.append((begin, loop.time()))
            await asyncio.sleep(TICK_SECONDS)  # what measures is not to be the load

    def between(self, begin: float, end: float) -> float:
        """The longest that was under way at that time."""
        return max((ended - begun for begun, ended in self._took if begun <= end and ended >= begin), default=0.0)

    async def stop(self) -> None:
        self._asking.cancel()
        await asyncio.wait({self._asking})


@dataclass
class TwoSteps:
    """Implements `Planner`: two steps side by side that work as the question says."""

    identity: str | None = None

    async def route(self, question: Question, catalog: Catalog, ledger: Ledger, deadline: Deadline) -> Routing:
        works = json.loads(question.query)
        steps: list[Json] = [
            {"id": f"w{n}", "skill": "leaf_agent__work", "arguments": work} for n, work in enumerate(works)
        ]
        return Routing({"steps": steps}, PlanSource.LLM, "fixed-model")


@dataclass
class Caller:
    """One question, and what becomes of who asked it."""

    number: int
    stream: bool
    works: list[dict[str, Any]]
    deadline_seconds: float | None = None
    leaves_after_seconds: float | None = None
    gone_at: float | None = None
    """When it left, or its deadline passed."""

    @classmethod
    def drawn(cls, number: int, chance: random.Random) -> Caller:
        works = [{"number": 2 * number + n, "seconds": chance.uniform(0, MAX_WORK_SECONDS)} for n in range(2)]
        caller = cls(number, stream=chance.random() < 0.5, works=works)
        moment = chance.uniform(0.05, MAX_WORK_SECONDS)
        does = chance.choice(["stays", "sets a deadline", "leaves", "leaves"])
        if does == "sets a deadline":
            caller.deadline_seconds = moment
        elif does == "leaves":
            caller.leaves_after_seconds = moment
        return caller

    async def ask(self, orchestrator: orchestrator_service_pb2_grpc.OrchestratorAsyncStub) -> None:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        asking = asyncio.create_task(self._asked(orchestrator))
        if self.leaves_after_seconds is not None:
            loop.call_later(self.leaves_after_seconds, self._leave, asking)
        elif self.deadline_seconds is not None:
            self.gone_at = begun + self.deadline_seconds
        with suppress(MeshError, asyncio.CancelledError):
            await asking

    def _leave(self, asking: asyncio.Task[None]) -> None:
        if asking.cancel():
            self.gone_at = asyncio.get_running_loop().time()

    async def _asked(self, orchestrator: orchestrator_service_pb2_grpc.OrchestratorAsyncStub) -> None:
        ask = pb.AskRequest(query=json.dumps(self.works), answer_format=pb.ANSWER_FORMAT_RAW)
        if not self.stream:
            await orchestrator.Ask(ask, timeout=self.deadline_seconds)
            return
        call = orchestrator.AskStream(pb.AskStreamRequest(ask=ask), timeout=self.deadline_seconds)
        async with reading(call) as events:
            async for _ in events:
                pass


@pytest.fixture
async def callers() -> list[Caller]:
    chance = random.Random(SEED)  # noqa: S311 - not for secrets
    return [Caller.drawn(number, chance) for number in range(CALLS)]


async def test_every_span_ends_has_its_parent_and_no_skill_outlives_its_caller(
    callers: list[Caller], spans: Spans, caplog: pytest.LogCaptureFixture
) -> None:
    leaf = Leaf()
    caplog.set_level(logging.DEBUG, "opentelemetry")
    async with (
        running_mesh(leaf.agent(), minds=minds(TwoSteps()), settings=SETTINGS) as mesh,
        open_channel(mesh.address, peer="the mesh") as channel,
    ):
        await spans.all_ended()
        spans.clear()
        lateness = Lateness(mesh.channel)
        orchestrator = orchestrator_service_pb2_grpc.OrchestratorStub(channel)
        await asyncio.gather(*(caller.ask(orchestrator) for caller in callers))
        recorded = await spans.all_ended()
        await lateness.stop()
    assert leaf.working == 0
    assert [record.getMessage() for record in caplog.records if record.name.startswith("opentelemetry")] == []
    _check_parents(recorded)
    _check_cancellations(callers, leaf, lateness)


def _check_parents(recorded: Sequence[ReadableSpan]) -> None:
    """Every span is beneath its parent; at the top of each trace is one caller."""
    by_id = {context_of(span).span_id: span for span in recorded}
    roots = [span for span in recorded if span.parent is None]
    assert {(root.kind, root.name.rpartition("/")[2]) for root in roots} == {
        (SpanKind.CLIENT, "Ask"),
        (SpanKind.CLIENT, "AskStream"),
    }
    assert len(roots) == len({context_of(root).trace_id for root in roots}) == CALLS
    for span in recorded:
        if span.parent is not None:
            above = by_id[span.parent.span_id]
            assert context_of(above).trace_id == context_of(span).trace_id
            assert (above.start_time or 0) <= (span.start_time or 0)
    codes = Counter(attributes_of(root)[names.RPC_STATUS_CODE] for root in roots)
    assert {"OK", "CANCELLED", "DEADLINE_EXCEEDED"} <= codes.keys(), codes


def _check_cancellations(callers: list[Caller], leaf: Leaf, lateness: Lateness) -> None:
    late: list[str] = []
    reached = 0
    for caller in callers:
        for work in caller.works:
            number = work["number"]
            if caller.gone_at is None or number not in leaf.cancelled:
                continue
            reached += 1
            took = leaf.cancelled[number] - caller.gone_at
            busy = lateness.between(caller.gone_at, leaf.cancelled[number])
            if took > CANCEL_SECONDS + HOPS * busy:
                late.append(f"{number}: {took:.3f} s, while an rpc that does nothing took {busy:.3f} s")
    assert reached >= CALLS // 10, "too few were cancelled at work to show anything"
    assert late == []
