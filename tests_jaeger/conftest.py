"""One mesh and one Jaeger for all tests: what they recorded is read when the mesh has stopped."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.go_tools import find_go_tool
from tests_jaeger.backend import backend_name, running_backend
from tests_jaeger.recorded import Recorded
from tests_jaeger.story import tell

pytest_plugins = ["tests.conftest"]
collect_ignore = [] if find_go_tool("jaeger") else ["test_metrics.py"]  # the receiver takes none; the summary says so


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what the traces were read from, also where the output is short."""
    terminalreporter.write_line(f"traces were kept by, and read from: {backend_name()}")


@pytest.fixture(scope="session")
def recorded() -> Iterator[Recorded]:
    with running_backend() as backend:
        exporting = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": backend.otlp_endpoint,
            "OTEL_METRICS_EXPORTER": "otlp" if backend.jaeger else "none",
        }
        ids = tell(exporting)
        yield Recorded(backend.reader, ids, backend.jaeger.metrics() if backend.jaeger else "")
