"""Meshes for end-to-end tests."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.e2e.mesh import Mesh, minds, running_mesh
from tests.e2e.probe import Probe
from tests.fakes.planner import FixedPlanner


@pytest.fixture
async def probe() -> Probe:
    return Probe()


@pytest.fixture
async def mesh(probe: Probe) -> AsyncIterator[Mesh]:
    """An orchestrator with one agent; its planner finds no skill for anything."""
    async with running_mesh(probe.agent(), minds=minds(FixedPlanner([]))) as running:
        yield running
