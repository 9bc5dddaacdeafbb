"""One mesh and one Jaeger for all tests: what they recorded is read when the mesh has stopped."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests_jaeger.backend import backend_name, running_backend
from tests_jaeger.recorded import Recorded
from tests_jaeger.story import tell

pytest_plugins = ["tests.conftest"]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what the traces were read from, also where the output is short."""
    terminalreporter.write_line(f"traces were kept by, and read from: {backend_name()}")


@pytest.fixture(scope="session")
def recorded() -> Iterator[Recorded]:
    with running_backend() as backend:
        ids = tell(backend.otlp_endpoint)
        yield Recorded(backend.reader, ids)
