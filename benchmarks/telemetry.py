"""What telemetry costs: CPU of orchestrator and agent for one Ask, with everything exported, sampled out, and off.

    .venv/bin/python -m benchmarks.telemetry [asks a block]

Three meshes of real processes stand side by side, each an orchestrator and an agent, and are asked in turn, one block
after another, so that whatever else the machine does meets all of them. Two kinds of asks: a caller's plan of four
steps, RAW, which is the mesh and nothing else, and so the worst case; and a question that the offline planner routes.
"On" exports all spans and all metrics to a receiver in this process, whose CPU is not counted; "sampled out" makes no
spans and exports metrics. Printed are medians and ranges over the blocks, and of the ratios of neighbouring blocks.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import psutil

from agentmesh.client import AsyncMeshClient
from agentmesh.jsonvalues import JsonObject
from agentmesh.traces.receiver import OtlpReceiver
from agentmesh.traces.store import TraceStore
from benchmarks.overload.agent import NAME as AGENT
from benchmarks.processes import address_in, listed, process

PAIRS: Final = 5
CONCURRENCY: Final = 8
OFF: Final = "off"
SETTINGS: Final[Mapping[str, Mapping[str, str]]] = {
    OFF: {},
    "sampled out": {"OTEL_TRACES_SAMPLER": "always_off"},
    "on": {"OTEL_TRACES_SAMPLER": "always_on"},
}
_ECHO: Final = f"{AGENT}__echo"
_PLAN: Final[JsonObject] = {
    "steps": [
        {"id": "a", "skill": _ECHO, "arguments": {"text": "one"}},
        {"id": "b", "skill": _ECHO, "arguments": {"text": "two"}},
        {"id": "c", "skill": _ECHO, "arguments": {"text": "${a.text}"}, "when": "size(b.text) > 0"},
        {"id": "d", "skill": _ECHO, "arguments": {"text": "${c.text}"}},
    ]
}


@dataclass(frozen=True, slots=True)
class Mesh:
    """One of those that are compared."""

    client: AsyncMeshClient
    processes: tuple[psutil.Process, ...]

    def cpu_seconds(self) -> float:
        times = [process.cpu_times() for process in self.processes]
        return sum(used.user + used.system for used in times)


Ask = Callable[[AsyncMeshClient], Awaitable[object]]


async def run_plan(client: AsyncMeshClient) -> object:
    """Four steps of a caller's plan."""
    return await client.execute_plan(_PLAN, raw=True)


async def ask(client: AsyncMeshClient) -> object:
    """A question, routed without a model."""
    return await client.ask("Echo 'good morning'", raw=True)


@asynccontextmanager
async def running_mesh(logs: Path, variables: Mapping[str, str]) -> AsyncIterator[Mesh]:
    """Start an orchestrator and an agent with these OTEL_* variables."""
    async with AsyncExitStack() as stack:
        own = {"AGENTMESH_LISTEN": "127.0.0.1:0", "AGENTMESH_HTTP_LISTEN": "off", **variables}
        orchestrator = await stack.enter_async_context(process("orchestrator_svc", logs, **own))
        address = await address_in(logs / "orchestrator_svc")
        own = {"AGENTMESH_ORCHESTRATOR_ADDRESS": address, **variables}
        agent = await stack.enter_async_context(process("benchmarks.overload.agent", logs, **own))
        await listed(AGENT, address)
        client = await stack.enter_async_context(AsyncMeshClient(address))
        yield Mesh(client, (psutil.Process(orchestrator.pid), psutil.Process(agent.pid)))


async def milliseconds_an_ask(mesh: Mesh, one: Ask, asks: int) -> float:
    """CPU of the mesh for each of so many asks, a few at a time."""
    left = iter(range(asks))

    async def some() -> None:
        for _ in left:
            await one(mesh.client)

    before = mesh.cpu_seconds()
    async with asyncio.TaskGroup() as group:
        for _ in range(CONCURRENCY):
            group.create_task(some())
    return (mesh.cpu_seconds() - before) / asks * 1000


async def compare(meshes: Mapping[str, Mesh], one: Ask, asks: int) -> Mapping[str, list[float]]:
    """Blocks of asks to each in turn, after one that is not counted; every other round backwards."""
    taken: dict[str, list[float]] = {name: [] for name in meshes}
    for number in range(PAIRS + 1):
        order = list(meshes)[:: 1 if number % 2 else -1]
        for name in order:
            used = await milliseconds_an_ask(meshes[name], one, asks)
            if number:
                taken[name].append(used)
    return taken


def report(title: str, taken: Mapping[str, list[float]]) -> None:
    """Print a table."""
    print(f"\n{title}\n{'':<14}{'CPU ms an ask':<30}times as much as off")
    for name, used in taken.items():
        ratios = [each / off for each, off in zip(used, taken[OFF], strict=True)]
        print(f"{name:<14}{_told(used):<30}{_told(ratios) if name != OFF else ''}")


def _told(values: list[float]) -> str:
    return f"{statistics.median(values):5.2f}  [{min(values):.2f} to {max(values):.2f}]"


async def main(asks: int) -> None:
    """Print both tables."""
    async with AsyncExitStack() as stack:
        receiver = OtlpReceiver(TraceStore())
        await receiver.start()
        stack.push_async_callback(receiver.stop)
        meshes: dict[str, Mesh] = {}
        for name, settings in SETTINGS.items():
            collector = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{receiver.address}"} if settings else {}
            logs = Path(stack.enter_context(TemporaryDirectory()))
            meshes[name] = await stack.enter_async_context(running_mesh(logs, {**collector, **settings}))
        print(f"{PAIRS} blocks of {asks} asks each, {CONCURRENCY} at a time")
        report("a caller's plan of four steps, RAW", await compare(meshes, run_plan, asks))
        report("a question, routed offline, RAW", await compare(meshes, ask, asks))


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 400))
