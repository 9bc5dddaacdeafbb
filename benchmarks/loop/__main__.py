"""Compares the mesh with agentic loops: `python -m benchmarks.loop [--json]`, about a minute and a half by default."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from typing import Final

from benchmarks.loop.arms import Mismatch
from benchmarks.loop.benchmark import Measured, Settings, run
from benchmarks.loop.report import as_json, text
from orchestrator_svc.adapters.pricing import Price
from orchestrator_svc.commands.mesh import MeshDidNotStart

LIMIT_SECONDS: Final = 600.0
"""Of the whole benchmark, whatever was chosen."""
_DEFAULT: Final = Settings()


def main() -> int:
    """0 with the table; 1 with the reason why there is none."""
    arguments = _arguments()
    try:
        measured = asyncio.run(_bounded(_settings(arguments)))
    except Mismatch as problem:
        print(f"no comparison: {problem}", file=sys.stderr)
        return 1
    except MeshDidNotStart as problem:
        print("\n".join([f"no comparison: {problem}", *problem.lines]), file=sys.stderr)
        return 1
    except TimeoutError:
        print(f"no comparison: it did not get ready or took more than {LIMIT_SECONDS:g} s", file=sys.stderr)
        return 1
    print(json.dumps(as_json(measured), indent=2) if arguments.json else text(measured))
    return 0


async def _bounded(settings: Settings) -> Measured:
    async with asyncio.timeout(LIMIT_SECONDS):
        return await run(settings, os.environ, lambda line: print(f"  {line} ...", file=sys.stderr))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.loop", description=__doc__)
    default = _DEFAULT
    parser.add_argument("--delay", type=float, default=default.delay_seconds, help="seconds a model call (%(default)s)")
    parser.add_argument("--rounds", type=_count, default=default.rounds, help="runs of each (%(default)s)")
    parser.add_argument(
        "--price",
        type=float,
        nargs=2,
        default=(default.price.input_per_million, default.price.output_per_million),
        metavar=("IN", "OUT"),
        help="USD a million tokens (0.4 1.6)",
    )
    parser.add_argument("--concurrency", type=_count, default=default.concurrency, help="Asks in flight (%(default)s)")
    parser.add_argument(
        "--seconds", type=float, default=default.throughput_seconds, help="of each Asks-a-second run; 0: none"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    return parser.parse_args()


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def _settings(arguments: argparse.Namespace) -> Settings:
    return Settings(
        delay_seconds=arguments.delay,
        rounds=arguments.rounds,
        price=Price(*arguments.price),
        concurrency=arguments.concurrency,
        throughput_seconds=arguments.seconds,
    )


if __name__ == "__main__":
    sys.exit(main())
