from collections.abc import Iterator

import pytest

from agentmesh.traces.reader import TraceReader
from agentmesh.traces.serving import Served, serving_traces


@pytest.fixture
def served() -> Iterator[Served]:
    with serving_traces() as running:
        yield running


@pytest.fixture
def reader(served: Served) -> TraceReader:
    return TraceReader(served.url)
