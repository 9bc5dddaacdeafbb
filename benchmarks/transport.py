"""What the interceptors cost: the same unary call with and without them on each side.

    .venv/bin/python -m benchmarks.transport [rounds]

Client and server share one process and one event loop, so a call costs the CPU of both sides. The variants take turns,
in blocks, so that a busy machine slows all of them. Printed are medians over the blocks and their range, in
milliseconds a call; one call at a time.
"""

from __future__ import annotations

import asyncio
import io
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import grpc

from agentmesh.telemetry.logs import configure_logs
from agentmesh.transport import Service, build_server, open_channel, to_struct
from agentmesh.v1 import agent_service_pb2, agent_service_pb2_grpc

_CALLS_A_BLOCK = 100
_RESPONSE = agent_service_pb2.ExecuteResponse(
    result=to_struct({"entity": "checkout", "metrics": [{"name": f"m{i}", "value": i / 7} for i in range(12)]})
)
_REQUEST = agent_service_pb2.ExecuteRequest(skill="get_report", arguments=to_struct({"entity": "checkout"}))


class _Agent(agent_service_pb2_grpc.AgentServicer):
    async def Execute(  # noqa: N802 - the name of the rpc
        self, request: agent_service_pb2.ExecuteRequest, context: object
    ) -> agent_service_pb2.ExecuteResponse:
        del request, context
        return _RESPONSE


@dataclass(frozen=True)
class _Variant:
    name: str
    stub: agent_service_pb2_grpc.AgentAsyncStub
    timeout: float | None = None


async def _block(variant: _Variant) -> float:
    started = time.perf_counter()
    for _ in range(_CALLS_A_BLOCK):
        await variant.stub.Execute(_REQUEST, timeout=variant.timeout)
    return (time.perf_counter() - started) * 1000 / _CALLS_A_BLOCK


def _stub(channel: grpc.aio.Channel) -> agent_service_pb2_grpc.AgentAsyncStub:
    return agent_service_pb2_grpc.AgentStub(channel)


async def _main(rounds: int) -> None:
    configure_logs(stream=io.StringIO())  # lines are made and thrown away
    agent = _Agent()  # type: ignore[abstract]
    bare_server = grpc.aio.server()
    agent_service_pb2_grpc.add_AgentServicer_to_server(agent, bare_server)
    bare_port = bare_server.add_insecure_port("127.0.0.1:0")
    await bare_server.start()
    add: Callable[..., None] = agent_service_pb2_grpc.add_AgentServicer_to_server
    server = build_server("127.0.0.1:0", [Service("agentmesh.v1.Agent", add, agent)])
    await server.start()
    addresses = {"bare": f"127.0.0.1:{bare_port}", "ours": server.address}
    variants = [
        _Variant("nothing", _stub(grpc.aio.insecure_channel(addresses["bare"]))),
        _Variant("nothing, with a timeout", _stub(grpc.aio.insecure_channel(addresses["bare"])), 30),
        _Variant("server", _stub(grpc.aio.insecure_channel(addresses["ours"])), 30),
        _Variant("client", _stub(open_channel(addresses["bare"])), 30),
        _Variant("client and server", _stub(open_channel(addresses["ours"])), 30),
    ]
    measured: dict[str, list[float]] = {variant.name: [] for variant in variants}
    for number in range(rounds + 1):
        for variant in variants:
            took = await _block(variant)
            if number:  # the first round connects and warms up
                measured[variant.name].append(took)
    print(f"{rounds} blocks of {_CALLS_A_BLOCK} calls, milliseconds a call")
    print(f"{'interceptors':<26}{'median':>8}{'least':>8}{'most':>8}{'more':>8}")
    base = statistics.median(measured["nothing, with a timeout"])
    for name, times in measured.items():
        median = statistics.median(times)
        print(f"{name:<26}{median:8.3f}{min(times):8.3f}{max(times):8.3f}{median - base:+8.3f}")
    await server.stop()
    await bare_server.stop(None)


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1]) if len(sys.argv) > 1 else 20))
