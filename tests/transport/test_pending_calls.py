"""More calls than a process can take: a bounded number waits in the core, and the others are dropped there."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter

import grpc

from agentmesh.transport.options import DROPS_ALL_PENDING_CALLS, MAX_PENDING_CALLS
from agentmesh.v1 import agent_service_pb2 as pb
from agentmesh.v1 import agent_service_pb2_grpc as pb_grpc
from tests.transport.support import served

CALLS = 2 * DROPS_ALL_PENDING_CALLS
REQUEST = pb.ExecuteRequest(skill="echo")
TAKEN_BEFORE = 10
"""Calls that the process may have taken before it got busy."""
PATIENCE_SECONDS = 30


class Crowd:
    """Calls from threads, all at once."""

    def __init__(self) -> None:
        self.most_are_dropped = threading.Event()
        self._dropped = threading.Semaphore(0)

    def call(self, address: str) -> Counter[grpc.StatusCode]:
        """How many ended with which code."""
        with grpc.insecure_channel(address) as channel:
            stub = pb_grpc.AgentStub(channel)
            calls = [stub.Execute.future(REQUEST, timeout=PATIENCE_SECONDS) for _ in range(CALLS)]
            for call in calls:
                call.add_done_callback(lambda _: self._dropped.release())
            for _ in range(CALLS - DROPS_ALL_PENDING_CALLS - TAKEN_BEFORE):
                self._dropped.acquire()
            self.most_are_dropped.set()
            return Counter(call.code() for call in calls)


async def test_calls_that_pile_up_before_a_busy_process_are_dropped_and_the_others_are_answered() -> None:
    crowd = Crowd()
    async with served() as agent:
        calling = asyncio.create_task(asyncio.to_thread(crowd.call, agent.server.address))
        await asyncio.sleep(0)
        assert crowd.most_are_dropped.wait(PATIENCE_SECONDS)  # the event loop, and with it the server, is busy here
        ended = await calling
        assert await agent.stub.Execute(REQUEST) == pb.ExecuteResponse()
    assert ended.keys() == {grpc.StatusCode.OK, grpc.StatusCode.CANCELLED}
    assert ended[grpc.StatusCode.OK] >= MAX_PENDING_CALLS
