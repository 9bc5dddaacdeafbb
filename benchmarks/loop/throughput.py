"""How many Asks a second the mesh takes when the model takes no time, or when there is none."""

from __future__ import annotations

import asyncio
import statistics
import time
from dataclasses import dataclass

from agentmesh.client import Answer, AsyncMeshClient, RunOutcome
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
    mesh_seconds: float
    """Median of what the mesh itself cost, as `timings.overhead` says."""

    @property
    def asks_a_second(self) -> float:
        return self.asks / self.seconds


async def measure(
    way: str, mesh: AsyncMeshClient, question: Question, *, raw: bool, concurrency: int, seconds: float
) -> Rate:
    """Keep `concurrency` Asks in flight for so many seconds; those that began in time are counted to their end.

    Raises:
        Mismatch: An Ask was not answered by the skills that the question needs.
        MeshError: An Ask failed.
    """
    await _ask(mesh, question, raw=raw)  # connects, and fills what is filled once
    took: list[float] = []
    answers: list[Answer] = []
    began = time.perf_counter()

    async def keep_asking() -> None:
        while (start := time.perf_counter()) < began + seconds:
            answers.append(await _ask(mesh, question, raw=raw))
            took.append(time.perf_counter() - start)

    async with asyncio.TaskGroup() as group:
        for _ in range(concurrency):
            group.create_task(keep_asking())
    whole = time.perf_counter() - began
    return Rate(
        way=way,
        asks=len(took),
        seconds=whole,
        concurrency=concurrency,
        llm_calls=answers[0].usage.llm_calls,
        median_seconds=statistics.median(took),
        p95_seconds=statistics.quantiles(took, n=20)[-1] if len(took) > 1 else took[0],
        mesh_seconds=statistics.median(answer.timings.overhead for answer in answers),
    )


async def _ask(mesh: AsyncMeshClient, question: Question, *, raw: bool) -> Answer:
    answer = await mesh.ask(question.text, raw=raw, timeout_seconds=ASK_TIMEOUT_SECONDS)
    used = [step.skill for step in answer.steps]
    if answer.outcome is not RunOutcome.COMPLETE or used != [use.skill for use in question.uses]:
        raise Mismatch(f"{question.text!r} was answered {answer.outcome} with {used}")
    return answer
