"""Puts the comparison together: processes, the scripted model, the arms, and Asks a second."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from openai import AsyncOpenAI

from agentmesh.client import AsyncMeshClient, Listing
from benchmarks.loop.agents import Agents
from benchmarks.loop.arms import Arm, LoopArm, MeshArm, Mismatch
from benchmarks.loop.comparison import Row, compare
from benchmarks.loop.loops import Loop, Style
from benchmarks.loop.model import ScriptedModel
from benchmarks.loop.processes import echo_agent, local_mesh
from benchmarks.loop.questions import LIGHT, QUESTIONS
from benchmarks.loop.throughput import Rate, measure, measure_agent
from orchestrator_svc.adapters.pricing import Price
from tests.fakes.scripted_llm import ScriptedLlm

MODEL: Final = "scripted-model"
MESH: Final = "mesh"
MESH_RAW: Final = "mesh, RAW"
STYLES: Final = (
    Style("loop, reflecting", parallel=False, reflects=True),
    Style("loop, one tool a turn", parallel=False, reflects=False),
    Style("loop, parallel tools", parallel=True, reflects=False),
)


@dataclass(frozen=True, slots=True)
class Settings:
    """What can be chosen."""

    delay_seconds: float = 0.3
    """Before each reply of the model."""
    rounds: int = 4
    price: Price = Price(input_per_million=0.40, output_per_million=1.60)  # noqa: RUF009 - frozen
    result_cap_bytes: int = 16_384
    """Most of one result that the model gets, in every arm; the default of the mesh."""
    concurrency: int = 16
    throughput_seconds: float = 3.0
    """For each way of asking; 0 leaves Asks a second out."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Everything that was measured."""

    settings: Settings
    rows: Sequence[Row]
    rates: Sequence[Rate]


@dataclass(frozen=True, slots=True)
class Ground:
    """What all arms share."""

    llm: ScriptedLlm
    model: ScriptedModel
    address: str
    """Of the orchestrator."""
    mesh: AsyncMeshClient
    listing: Listing


async def run(settings: Settings, environment: Mapping[str, str], progress: Callable[[str], None]) -> Measured:
    """Start everything, measure, stop everything.

    Args:
        settings: What was chosen.
        environment: Of this process, for those that are started.
        progress: Is told what happens now.

    Raises:
        Mismatch: The arms do not agree, or an account is not that of the model: then there is nothing to compare.
        MeshDidNotStart: A process of the mesh did not come up.
    """
    progress("starting an orchestrator and three agents")
    async with _ground(settings, environment) as ground:
        async with _arms(settings, ground) as arms:
            await compare(QUESTIONS, arms, 1, lambda _: progress("warming up"))
            ground.llm.delay_seconds = settings.delay_seconds
            rows = await compare(QUESTIONS, arms, settings.rounds, progress)
            ground.llm.delay_seconds = 0.0
        rates = await _rates(settings, ground, environment, progress) if settings.throughput_seconds > 0 else []
    return Measured(settings, rows, rates)


@asynccontextmanager
async def _ground(settings: Settings, environment: Mapping[str, str]) -> AsyncIterator[Ground]:
    model = ScriptedModel((*QUESTIONS, LIGHT))
    price = {
        "input_per_million": settings.price.input_per_million,
        "output_per_million": settings.price.output_per_million,
    }
    async with ScriptedLlm(script=model, max_completions=None) as llm:
        llm_settings = {
            "LLM_BASE_URL": llm.base_url,
            "LLM_MODELS": MODEL,
            "LLM_PRICES": json.dumps({MODEL: price}),
            "LLM_RESULT_CAP_BYTES": str(settings.result_cap_bytes),
        }
        async with local_mesh(environment, **llm_settings) as address, AsyncMeshClient(address) as mesh:
            yield Ground(llm, model, address, mesh, await mesh.list_agents())


@asynccontextmanager
async def _arms(settings: Settings, ground: Ground) -> AsyncIterator[list[Arm]]:
    async with (
        Agents(ground.listing) as called,
        AsyncOpenAI(base_url=ground.llm.base_url, api_key="none", max_retries=0) as client,
    ):
        loops: list[Arm] = [
            LoopArm(
                style.name, Loop(style, client, called, MODEL, settings.result_cap_bytes), ground.model, settings.price
            )
            for style in STYLES
        ]
        yield [
            *loops,
            MeshArm(MESH, ground.mesh, ground.model, raw=False),
            MeshArm(MESH_RAW, ground.mesh, ground.model, raw=True),
        ]


async def _rates(
    settings: Settings, ground: Ground, environment: Mapping[str, str], progress: Callable[[str], None]
) -> list[Rate]:
    concurrency, seconds = settings.concurrency, settings.throughput_seconds

    async def rate(way: str, mesh: AsyncMeshClient, *, raw: bool) -> Rate:
        progress(f"asks a second: {way}")
        ground.llm.requests.clear()
        ground.model.accounts.clear()
        measured = await measure(way, mesh, LIGHT, raw=raw, concurrency=concurrency, seconds=seconds)
        counted = sum(len(account.completions) for account in ground.model.accounts.values())
        if counted != measured.llm_calls * (measured.asks + 1):  # one came before the measuring
            raise Mismatch(f"{way}: the model counted {counted} completions for {measured.asks} Asks")
        return measured

    async with echo_agent(environment, ground.address):
        with_model = [
            await rate("model without delay", ground.mesh, raw=False),
            await rate("model without delay, RAW", ground.mesh, raw=True),
        ]
    async with (
        local_mesh(environment) as address,
        echo_agent(environment, address),
        AsyncMeshClient(address) as offline,
        Agents(await offline.list_agents()) as called,
    ):
        without = [await rate("offline", offline, raw=False), await rate("offline, RAW", offline, raw=True)]
        direct = await measure_agent("(agent called directly)", called, LIGHT, concurrency=concurrency, seconds=seconds)
    return [*with_model, *without, direct]
