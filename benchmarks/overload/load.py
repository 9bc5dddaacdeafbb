"""The load, in a process of its own: asks at a given rate whether or not it is answered (an open loop).

    LOAD_ADDRESS=host:port python -m benchmarks.overload.load

Each line on stdin is an order in JSON, a `Load`; each line on stdout its result, a `Counted`. Bare gRPC without the
typed client, so that one process can ask more than an orchestrator can answer; it says how late its asks were, which
is how one sees whether it could.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable, Coroutine
from dataclasses import asdict, dataclass, field
from typing import Final, TypeAlias

import grpc
import grpc.aio

from agentmesh.v1 import orchestrator_service_pb2, orchestrator_service_pb2_grpc, run_pb2

QUERY: Final = "Echo 'good morning'"
TIMEOUT_SECONDS: Final = 3.0
"""Of one Ask. An answer after that is none."""


@dataclass(frozen=True, slots=True)
class Load:
    """What to do."""

    seconds: float
    rate: float = 0.0
    """Asks a second, evenly spaced."""
    in_flight: int = 0
    """Instead of a rate: so many at a time, each after the answer to the one before (a closed loop)."""


@dataclass(slots=True)
class Counted:
    """What came of it."""

    seconds: float = 0.0
    """Until the last ask was sent."""
    cpu_seconds: float = 0.0
    """Of this process."""
    answered: list[float] = field(default_factory=list)
    """Seconds of each Ask with a complete answer."""
    refused: list[float] = field(default_factory=list)
    """Seconds of each that was RESOURCE_EXHAUSTED."""
    dropped: int = 0
    """How many were CANCELLED: by the core of the server, before it looked at them."""
    failed: dict[str, int] = field(default_factory=dict)
    """How many ended otherwise, by code; DEADLINE_EXCEEDED after TIMEOUT_SECONDS."""
    late: list[float] = field(default_factory=list)
    """How much later than due each ask was sent, in seconds."""


_Ask: TypeAlias = Callable[[], Coroutine[None, None, None]]


class _Asker:
    """Asks, and counts what comes of it."""

    def __init__(self, stub: orchestrator_service_pb2_grpc.OrchestratorAsyncStub) -> None:
        self._stub = stub
        self._request = orchestrator_service_pb2.AskRequest(query=QUERY)
        self.counted = Counted()

    async def ask(self) -> None:
        began = time.perf_counter()
        try:
            response = await self._stub.Ask(self._request, timeout=TIMEOUT_SECONDS)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
                self.counted.refused.append(time.perf_counter() - began)
            elif error.code() is grpc.StatusCode.CANCELLED:
                self.counted.dropped += 1
            else:
                self._failed(error.code().name)
            return
        if response.outcome == run_pb2.RUN_OUTCOME_COMPLETE:
            self.counted.answered.append(time.perf_counter() - began)
        else:
            self._failed(run_pb2.RunOutcome.Name(response.outcome))

    def _failed(self, how: str) -> None:
        self.counted.failed[how] = self.counted.failed.get(how, 0) + 1


async def _at_a_rate(ask: _Ask, load: Load, counted: Counted) -> None:
    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number in range(int(load.rate * load.seconds)):
            due = began + number / load.rate
            wait = due - time.perf_counter()
            if wait > 0:
                await asyncio.sleep(wait)
            elif number % 8 == 0:
                await asyncio.sleep(0)  # one that is late still reads its answers
            counted.late.append(max(0.0, time.perf_counter() - due))
            group.create_task(ask())
        counted.seconds = time.perf_counter() - began


async def _keep_asking(ask: _Ask, load: Load, counted: Counted) -> None:
    began = time.perf_counter()

    async def one_after_the_other() -> None:
        while time.perf_counter() < began + load.seconds:
            await ask()

    async with asyncio.TaskGroup() as group:
        for _ in range(load.in_flight):
            group.create_task(one_after_the_other())
    counted.seconds = time.perf_counter() - began


async def _serve(address: str) -> None:
    loop = asyncio.get_running_loop()
    async with grpc.aio.insecure_channel(address) as channel:
        stub = orchestrator_service_pb2_grpc.OrchestratorStub(channel)
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            load, asker = Load(**json.loads(line)), _Asker(stub)
            cpu = time.process_time()
            await (_keep_asking if load.in_flight else _at_a_rate)(asker.ask, load, asker.counted)
            asker.counted.cpu_seconds = time.process_time() - cpu
            print(json.dumps(asdict(asker.counted)), flush=True)


if __name__ == "__main__":
    asyncio.run(_serve(os.environ["LOAD_ADDRESS"]))
