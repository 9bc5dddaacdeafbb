"""Programs of a process of its own: the providers of OpenTelemetry are set once in each."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.telemetry.collectors import PATIENCE_SECONDS

HEAD = """
import json, os, sys, time
from agentmesh.grpc_core_log import silence
silence(os.environ)
from agentmesh.telemetry.logs import configure_logs
from agentmesh.telemetry.setup import read_telemetry_settings, set_up_telemetry

def say(**what):
    print(json.dumps({"event": "said", **what}), flush=True)

configure_logs()
telemetry = set_up_telemetry("testing", read_telemetry_settings(os.environ), service_version="1.2.3")
from opentelemetry import metrics, trace
tracer = trace.get_tracer("tests")
meter = metrics.get_meter("tests")
"""


def run(program: str, **environment: str) -> list[dict[str, Any]]:
    """Lines of the log of a program that has set telemetry up; it writes nothing else, and ends by itself."""
    done = subprocess.run(
        [sys.executable, "-c", HEAD + program],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_SECONDS,
        env={**os.environ, **environment},
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


class Waiting:
    """A program that runs until it is let go on: where it reads a line."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def line(self) -> dict[str, Any]:
        """The next of its log."""
        assert self._process.stdout is not None
        line: dict[str, Any] = json.loads(self._process.stdout.readline())
        return line

    def let_on(self) -> None:
        """Let it go on to where it reads the next line."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def go_on(self) -> list[dict[str, Any]]:
        """Let it come to its end; the rest of its log."""
        rest, errors = self._process.communicate("\n", timeout=PATIENCE_SECONDS)
        assert (self._process.returncode, errors) == (0, "")
        return [json.loads(line) for line in rest.splitlines()]


@contextmanager
def waiting(program: str, **environment: str) -> Iterator[Waiting]:
    """Start a program like those of `run`; it is killed if it was not let go on."""
    with subprocess.Popen(
        [sys.executable, "-c", HEAD + program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    ) as process:
        try:
            yield Waiting(process)
        finally:
            process.kill()


def said(lines: list[dict[str, Any]]) -> dict[str, Any]:
    """What the program said by itself, as one."""
    return {key: value for line in lines if line["event"] == "said" for key, value in line.items() if key != "event"}
