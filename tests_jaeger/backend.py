"""Where the traces go and are read: Jaeger if `make tools` has built it, else the receiver of `agentmesh up`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from agentmesh.traces.reader import TraceReader
from agentmesh.traces.serving import serving_traces
from tests.go_tools import find_go_tool, pinned_version
from tests_jaeger.jaeger import Jaeger, running_jaeger


@dataclass(frozen=True, slots=True)
class Backend:
    """Something that takes OTLP over gRPC and has Jaeger's HTTP API."""

    otlp_endpoint: str
    reader: TraceReader
    jaeger: Jaeger | None
    """None for the receiver, which takes traces alone."""


@contextmanager
def running_backend() -> Iterator[Backend]:
    program = find_go_tool("jaeger")
    if program is not None:
        with running_jaeger(program) as jaeger:
            yield Backend(f"http://{jaeger.otlp}", TraceReader(f"http://{jaeger.http}"), jaeger)
    else:
        with serving_traces() as served:
            yield Backend(served.otlp_endpoint, TraceReader(served.url), None)


def backend_name() -> str:
    """Which of the two it is here."""
    if find_go_tool("jaeger") is not None:
        return f"Jaeger {pinned_version('jaeger')}"
    return "the receiver of agentmesh, because Jaeger has not been built here (make tools); no metrics were looked at"
