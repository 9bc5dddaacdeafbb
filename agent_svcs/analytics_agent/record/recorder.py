"""From options to a file: a mesh is started, given its load, sampled and ended."""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import signal
import sys
import time
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agent_svcs.analytics_agent.record.load import FAULT, FAULTY, light_load, load_text, too_many_calls
from agent_svcs.analytics_agent.record.processes import NotStarted, RunningMesh, running_mesh
from agent_svcs.analytics_agent.recordings import SHIPPED, write_recording
from agent_svcs.analytics_agent.sampler import Sampler
from agent_svcs.analytics_agent.series import Round
from agent_svcs.instants import iso

_ABOUT: Final = "About five and a half minutes; overwrites the shipped recording."
WARM_UP_SECONDS: Final = 15.0
"""Of load before the first sample: starting up is not what the mesh does all day."""
_LONGEST_SECONDS: Final = 86_400.0
_MOST_CLIENTS: Final = 256


@dataclass(frozen=True, slots=True)
class Options:
    """How long, and what goes wrong."""

    seconds: float
    warm_up_seconds: float
    interval_seconds: float
    fault_seconds: float
    clients: int
    output: Path

    @property
    def fault_from_seconds(self) -> float:
        """After two thirds of the recording."""
        return round(self.seconds * 2.0 / 3.0, 1)


def main(arguments: Sequence[str] | None = None) -> int:
    """Records, writes, says what was written; 1 if a service did not start, 130 after SIGINT or SIGTERM."""
    options = _options(arguments)
    try:
        rounds = asyncio.run(_unless_stopped(record(options)))
    except NotStarted as failed:
        sys.stderr.write(f"{failed}\n")
        return 1
    except asyncio.CancelledError:
        sys.stderr.write(f"interrupted; {options.output} is as it was\n")
        return 130
    with options.output.open("w", encoding="utf-8", newline="") as file:
        write_recording(file, _about(options, rounds), rounds)
    sys.stdout.write(f"{options.output}: {len(rounds)} rounds, {options.output.stat().st_size} bytes\n")
    return 0


def _options(arguments: Sequence[str] | None) -> Options:
    parser = argparse.ArgumentParser(prog="python -m agent_svcs.analytics_agent.record", description=_ABOUT)
    parser.add_argument("--seconds", type=_seconds, default=300.0, help="length of the recording (300)")
    parser.add_argument("--warm-up-seconds", type=_seconds, default=WARM_UP_SECONDS, help="load before it (15)")
    parser.add_argument("--interval-seconds", type=_seconds, default=1.0, help="between two samples (1)")
    parser.add_argument("--fault-seconds", type=_seconds, default=20.0, help="length of the fault (20)")
    parser.add_argument("--clients", type=int, default=16, help="that cause the fault (16)")
    parser.add_argument("--output", type=Path, default=SHIPPED, help="file to write (the shipped recording)")
    options = Options(**vars(parser.parse_args(arguments)))
    problem = _problem(options)
    if problem:
        parser.error(problem)
    return options


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0.0 <= seconds <= _LONGEST_SECONDS:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and {_LONGEST_SECONDS:g}")
    return seconds


def _problem(options: Options) -> str:
    """What would fail minutes later, or record something else than the head of the file says."""
    if not 0.0 < options.interval_seconds <= options.seconds:
        return "--interval-seconds must be more than 0, and at most --seconds"
    if options.fault_from_seconds + options.fault_seconds > options.seconds:
        return f"--fault-seconds: the fault begins after two thirds, so at most {options.seconds / 3.0:.1f} fit"
    if not 1 <= options.clients <= _MOST_CLIENTS:
        return f"--clients must be 1 to {_MOST_CLIENTS}"
    try:
        options.output.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        return f"--output: {options.output.parent}: {error.strerror}"
    if options.output.is_dir() or not os.access(
        options.output if options.output.exists() else options.output.parent, os.W_OK
    ):
        return f"--output: {options.output} cannot be written"
    return ""


async def _unless_stopped(recording: Coroutine[None, None, list[Round]]) -> list[Round]:
    """Cancelled by SIGINT and SIGTERM, also where the shell that started us ignores SIGINT: no service is left."""
    loop, this = asyncio.get_running_loop(), asyncio.current_task()
    assert this is not None
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, this.cancel)
    return await recording


async def record(options: Options) -> list[Round]:
    """The rounds of a mesh that is started for it, and ended."""
    async with running_mesh(os.environ) as mesh:
        sys.stdout.write(f"recording {', '.join(mesh.services)} for {options.seconds:g} s\n")
        sys.stdout.flush()
        load = asyncio.create_task(light_load(mesh))
        recording = asyncio.create_task(_record(mesh, options))
        try:
            await asyncio.wait({load, recording}, return_when=asyncio.FIRST_COMPLETED)
            if not recording.done():
                await load  # raises why it ended
            return await recording
        finally:  # interrupted, too: calls in flight would hold up the end of the mesh
            load.cancel()
            recording.cancel()
            await asyncio.wait({load, recording})


async def _record(mesh: RunningMesh, options: Options) -> list[Round]:
    loop = asyncio.get_running_loop()
    sampler = Sampler(mesh.find)
    await asyncio.sleep(options.warm_up_seconds)
    await asyncio.to_thread(sampler.sample)  # from here on CPU use is known
    started = loop.time()
    rounds: list[Round] = []
    async with asyncio.TaskGroup() as group:
        group.create_task(_fault(mesh, options))
        while (due := started + options.interval_seconds * (len(rounds) + 1)) <= started + options.seconds:
            await asyncio.sleep(due - loop.time())
            rounds.append(await asyncio.to_thread(sampler.sample))
    return rounds


async def _fault(mesh: RunningMesh, options: Options) -> None:
    await asyncio.sleep(options.fault_from_seconds)
    await too_many_calls(mesh, options.clients, options.fault_seconds)


def _about(options: Options, rounds: list[Round]) -> Mapping[str, str]:
    services = dict.fromkeys(component for one in rounds for component, _ in one.readings)
    started = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(rounds[0].at))
    begin, end = options.fault_from_seconds, options.fault_from_seconds + options.fault_seconds
    return {
        "agentmesh recording": "version 1",
        "started": started,
        "duration": f"{options.seconds:g} s, one row every {options.interval_seconds:g} s",
        "ended": iso(rounds[-1].at),
        "commands": f"python -m agent_svcs.analytics_agent.record --seconds {options.seconds:g}"
        f" --fault-seconds {options.fault_seconds:g} --clients {options.clients}",
        "components": ", ".join(services),
        "load": load_text(services),
        "fault": FAULT.format(clients=options.clients),
        "fault component": FAULTY,
        "fault period": f"{begin:g} s to {end:g} s after the start",
        "machine": f"{platform.system()}, {os.cpu_count()} cores, Python {platform.python_version()}",
    }
