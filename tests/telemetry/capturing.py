"""The fixture `capturing`: content is captured during one test, as a main with AGENTMESH_CAPTURE_CONTENT=1 has it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from agentmesh.telemetry.content import capture_content


@pytest.fixture
def capturing() -> Iterator[None]:
    capture_content(captured=True)
    yield
    capture_content(captured=False)
