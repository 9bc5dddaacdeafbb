"""How many Asks a second the mesh takes when neither the agent nor the model takes any time, or there is no model."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from agentmesh.client import Answer, AsyncMeshClient, RunOutcome
from benchmarks.loop.agents import Agents
from benchmarks.loop.arms import ASK_TIMEOUT_SECONDS, Mismatch
from benchmarks.loop.questions import Question


@dataclass(frozen=True, slots=True)
class Rate:
    """What one way of asking achieved."""

    way: str
    asks: int
    seconds: float
    concurrency: int
    llm_calls: int
    """Of one Ask."""
    median_seconds: float
    """Of one Ask, at that concurrency."""
    p95_seconds: float
    overhead_seconds: float | None
    """Median of what the mesh itself cost, as `timings.overhead` says; None where the mesh was not asked."""

    @property
    def asks_a_second(self) -> float:
        return self.asks / self.seconds


async def measure(
    way: str, mesh: AsyncMeshClient, question: Question, *, raw: bool, concurrency: int, seconds: float
) -> Rate:
    """Ask the mesh.

    Raises:
        Mismatch: An Ask was not answered by the skills that the question needs.
        MeshError: An Ask failed.
    """
    answers: list[Answer] = []

    async def ask() -> None:
        answers.append(await _ask(mesh, question, raw=raw))

    rate = await _keep_up(way, ask, concurrency, seconds)
    overhead = statistics.median(answer.timings.overhead for answer in answers)
    return replace(rate, llm_calls=answers[0].usage.llm_calls, overhead_seconds=overhead)


async def measure_agent(way: str, agents: Agents, question: Question, *, concurrency: int, seconds: float) -> Rate:
    """Call the agent of a question directly: what no mesh can exceed with the same client on this machine."""
    (use,) = question.uses

    async def call() -> None:
        await agents.call(use.skill, use.arguments({}))

    return await _keep_up(way, call, concurrency, seconds)


async def _keep_up(way: str, once: Callable[[], Awaitable[None]], concurrency: int, seconds: float) -> Rate:
    """Keep so many in flight for so long; those that began in time are counted to their end."""
    await once()  # connects, and fills what is filled once
    took: list[float] = []
    began = time.perf_counter()

    async def keep_on() -> None:
        while (start := time.perf_counter()) < began + seconds:
            await once()
            took.append(time.perf_counter() - start)

    async with asyncio.TaskGroup() as group:
        for _ in range(concurrency):
            group.create_task(keep_on())
    return Rate(
        way=way,
        asks=len(took),
        seconds=time.perf_counter() - began,
        concurrency=concurrency,
        llm_calls=0,
        median_seconds=statistics.median(took),
        p95_seconds=statistics.quantiles(took, n=20)[-1] if len(took) > 1 else took[0],
        overhead_seconds=None,
    )


async def _ask(mesh: AsyncMeshClient, question: Question, *, raw: bool) -> Answer:
    answer = await mesh.ask(question.text, raw=raw, timeout_seconds=ASK_TIMEOUT_SECONDS)
    used = [step.skill for step in answer.steps]
    if answer.outcome is not RunOutcome.COMPLETE or used != [use.skill for use in question.uses]:
        raise Mismatch(f"{question.text!r} was answered {answer.outcome} with {used}")
    return answer
