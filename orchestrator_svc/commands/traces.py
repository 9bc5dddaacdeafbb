"""Traces of a mesh on this machine: kept in this process, unless somebody has said where telemetry is to go."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Final

from agentmesh.cli.output import Output
from agentmesh.env import Environment
from agentmesh.telemetry.setup import NOTHING, TelemetrySettings
from agentmesh.traces.serving import ANY_PORT, Served, serving_traces

_SAID: Final = ("OTEL_TRACES_EXPORTER", "OTEL_METRICS_EXPORTER")
_DISABLED: Final = "OTEL_SDK_DISABLED"
_BATCH_MILLISECONDS: Final = 200
"""For a trace to be there when somebody has read the answer; by default processes send every 5 s."""


@dataclass(frozen=True, slots=True)
class LocalTraces:
    """What is kept here."""

    url: str = ""
    """Where traces are read; empty where none are kept."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """For the processes of the mesh."""


_NONE: Final = LocalTraces()


@contextmanager
def local_traces(
    environment: Mapping[str, str], telemetry: TelemetrySettings, output: Output, listen: str
) -> Iterator[LocalTraces]:
    """Keep the traces of processes that get this environment, as long as the block runs.

    Args:
        environment: Of this process. If it says where telemetry goes, or that there is none, nothing is kept.
        telemetry: What was read from it.
        output: Is told if the address is another, or nothing can be kept: a mesh does without.
        listen: Where traces are read; if that is taken, a free port is.
    """
    if telemetry != NOTHING or _is_decided(environment):
        yield _NONE
        return
    with ExitStack() as stack:
        served = _started(stack, listen, output)
        yield _NONE if served is None else LocalTraces(served.url, _exporting_to(served))


def _started(stack: ExitStack, listen: str, output: Output) -> Served | None:
    try:
        return stack.enter_context(serving_traces(listen))
    except OSError as error:
        problem = error
    try:
        served = stack.enter_context(serving_traces(ANY_PORT))
    except OSError:
        output.line(("note: ", "yellow"), f"no traces are kept: {problem}")
        return None
    output.line(("note: ", "yellow"), f"something else listens at {listen}, so traces are read at a free port")
    return served


def _is_decided(environment: Mapping[str, str]) -> bool:
    env = Environment(environment)
    return env.flag(_DISABLED) or any(env.text(name) for name in _SAID)


def _exporting_to(served: Served) -> dict[str, str]:
    """Traces alone: metrics would be measured for nothing."""
    return {
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": served.otlp_endpoint,
        "OTEL_BSP_SCHEDULE_DELAY": str(_BATCH_MILLISECONDS),
    }
