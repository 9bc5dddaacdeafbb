from collections.abc import AsyncIterator

import pytest

from tests.cli.scripted_mesh import ScriptedMesh, scripted_mesh


@pytest.fixture
async def mesh() -> AsyncIterator[ScriptedMesh]:
    async with scripted_mesh() as running:
        yield running
