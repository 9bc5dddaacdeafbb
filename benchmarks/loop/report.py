"""What was measured, as plain text or as JSON. Sentences follow from the numbers, whatever they are."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Final

from agentmesh.jsonvalues import JsonObject
from benchmarks.loop.benchmark import MESH, STYLES, Measured
from benchmarks.loop.comparison import Row
from benchmarks.loop.model import ANSWER_TOKENS, BYTES_A_TOKEN, CALL_TOKENS, REFLECTION_TOKENS
from benchmarks.loop.throughput import Rate

_LOOPS: Final = tuple(style.name for style in STYLES)


def text(measured: Measured) -> str:
    """A table a question, and what each says."""
    lines = list(_head(measured))
    for _, rows in groupby(measured.rows, key=lambda row: row.question.text):
        lines += ["", *_question(list(rows))]
    if measured.rates:
        lines += ["", *_throughput(measured.rates)]
    return "\n".join(lines)


def _head(measured: Measured) -> Iterator[str]:
    settings = measured.settings
    price = settings.price
    yield "The mesh beside agentic loops: the same agents, questions and model in every arm"
    yield ""
    yield (
        f"model    scripted, not a real one: it decides by fixed rules from the conversation and waits"
        f" {settings.delay_seconds:g} s a call,"
    )
    yield "         however much it reads or writes; so more calls cost time here, and longer prompts do not"
    yield (
        f"tokens   in: bytes of each HTTP request / {BYTES_A_TOKEN}, as it was sent; out, scripted: {CALL_TOKENS} a"
        " tool call, a plan by"
    )
    yield f"         its bytes, {REFLECTION_TOKENS} a reflection, {ANSWER_TOKENS} an answer"
    yield (
        f"price    USD {price.input_per_million:g} a million tokens in, {price.output_per_million:g} out; no discount"
        " for cached prompts, which loops and mesh would both get"
    )
    yield "agents   data_agent, analytics_agent and config_agent as processes over gRPC; real calls in every arm"
    yield "loops    ours, over HTTP: the whole conversation each turn, tools without the schemas of their results"
    yield f"runs     {settings.rounds} of each, in turns; wall time is the median, with the least and the most"
    yield "         the last two columns divide by those of the mesh; RAW gives the results and no text"
    yield f"machine  {machine()}; client, model and mesh share it"


def machine() -> str:
    """Cores, Python, system."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{cores} cores, Python {platform.python_version()}, {platform.system()} {platform.machine()}"


def _question(rows: Sequence[Row]) -> Iterator[str]:
    question = rows[0].question
    yield f'"{question.text}"'
    yield f"  needs {question.shape}"
    yield f"  every arm found: {', '.join(f'{name} {fact}' for name, fact in _short(rows[0]))}"
    yield (
        f"  {'':<24}{'LLM calls':>10}{'agent calls':>12}{'wall s':>9}{'(range)':>16}{'tokens in':>11}{'out':>6}"
        f"{'USD':>11}{'time':>8}{'USD':>7}"
    )
    mesh = next(row for row in rows if row.arm == MESH)
    for row in rows:
        spread = f"({min(row.seconds):.2f} to {max(row.seconds):.2f})"
        yield (
            f"  {row.arm:<24}{row.llm_calls:>10}{row.agent_calls:>12}{row.median_seconds:>9.2f}{spread:>16}"
            f"{row.input_tokens:>11}{row.output_tokens:>6}{row.cost_usd:>11.6f}"
            f"{row.median_seconds / mesh.median_seconds:>7.2f}x{row.cost_usd / mesh.cost_usd:>6.2f}x"
        )
    yield from _verdict(rows, mesh)


def _short(row: Row) -> Iterator[tuple[str, str]]:
    for name, fact in row.facts.items():
        yield name, str(fact)[:12] if name.endswith("sha256") else str(fact)


def _verdict(rows: Sequence[Row], mesh: Row) -> Iterator[str]:
    """Which loops need no more completions than the mesh, and what they cost beside it."""
    loops = [row for row in rows if row.arm in _LOOPS]
    as_few = [_beside(row, mesh) for row in loops if row.llm_calls <= mesh.llm_calls]
    more = [f"{row.arm} +{row.llm_calls - mesh.llm_calls}" for row in loops if row.llm_calls > mesh.llm_calls]
    yield f"  as few LLM calls as the mesh: {'; '.join(as_few) or 'no loop'}"
    yield f"  more LLM calls: {'; '.join(more) or 'no loop'}"


def _beside(row: Row, mesh: Row) -> str:
    time, cost = row.median_seconds / mesh.median_seconds, row.cost_usd / mesh.cost_usd
    return f"{row.arm} ({time:.2f}x time, {cost:.2f}x USD)"


def _throughput(rates: Sequence[Rate]) -> Iterator[str]:
    yield f"Asks a second, {rates[0].concurrency} in flight, one call each of an agent that does nothing"
    yield f"  {'':<26}{'a second':>9}{'LLM calls':>11}{'p50 ms':>9}{'p95 ms':>9}{'mesh itself ms':>16}"
    for rate in rates:
        overhead = "" if rate.overhead_seconds is None else f"{rate.overhead_seconds * 1000:.1f}"
        yield (
            f"  {rate.way:<26}{rate.asks_a_second:>9.0f}{rate.llm_calls:>11}{rate.median_seconds * 1000:>9.1f}"
            f"{rate.p95_seconds * 1000:>9.1f}{overhead:>16}"
        )
    yield "  One orchestrator process. The scripted model runs in the client's process and takes CPU from it."


def as_json(measured: Measured) -> JsonObject:
    """The same numbers for programs; seconds of every run."""
    settings = measured.settings
    return {
        "settings": {
            "delay_seconds": settings.delay_seconds,
            "rounds": settings.rounds,
            "usd_per_million_input_tokens": settings.price.input_per_million,
            "usd_per_million_output_tokens": settings.price.output_per_million,
            "result_cap_bytes": settings.result_cap_bytes,
            "machine": machine(),
        },
        "rows": [_row_json(row) for row in measured.rows],
        "asks_a_second": [_rate_json(rate) for rate in measured.rates],
    }


def _row_json(row: Row) -> JsonObject:
    return {
        "question": row.question.text,
        "arm": row.arm,
        "llm_calls": row.llm_calls,
        "agent_calls": row.agent_calls,
        "median_seconds": statistics.median(row.seconds),
        "seconds": list(row.seconds),
        "input_tokens": row.input_tokens,
        "output_tokens": row.output_tokens,
        "cost_usd": row.cost_usd,
        "facts": row.facts,
    }


def _rate_json(rate: Rate) -> JsonObject:
    return {
        "way": rate.way,
        "asks_a_second": rate.asks_a_second,
        "asks": rate.asks,
        "seconds": rate.seconds,
        "concurrency": rate.concurrency,
        "llm_calls": rate.llm_calls,
        "p50_seconds": rate.median_seconds,
        "p95_seconds": rate.p95_seconds,
        "overhead_seconds": rate.overhead_seconds,
    }
