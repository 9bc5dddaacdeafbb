"""The fixture `llm`: a scripted model server that fails the test if a run asked for more than two completions."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.fakes.scripted_llm import ScriptedLlm


@pytest.fixture
async def llm() -> AsyncIterator[ScriptedLlm]:
    async with ScriptedLlm() as server:
        yield server
