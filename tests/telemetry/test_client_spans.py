"""The client without an event loop is in the trace of whoever uses it, as the one with an event loop is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import TypeAlias

import pytest

from agentmesh.client import MeshClient
from agentmesh.errors import MeshError
from agentmesh.jsonvalues import JsonObject
from agentmesh.telemetry.spans import span
from tests.e2e.mesh import Mesh, minds, running_mesh
from tests.e2e.probe import Probe
from tests.fakes.planner import FixedPlanner
from tests.telemetry.recording import Spans
from tests.telemetry.rpc_ways import ended
from tests.telemetry.span_tree import context_of

ECHO: JsonObject = {"id": "e", "skill": "probe_agent__echo"}
NOWHERE = "127.0.0.1:1"
Use: TypeAlias = "Callable[[str], None]"


def ask(address: str) -> None:
    with MeshClient(address) as client:
        client.ask("?")


def read(address: str) -> None:
    with MeshClient(address) as client:
        for _ in client.ask_stream("?"):
            pass


def leave(address: str) -> None:
    with MeshClient(address) as client:
        for _ in client.ask_stream("?"):
            break


def in_a_span(use: Use, address: str) -> None:
    with span("the caller"):
        use(address)


@pytest.fixture
async def mesh(spans: Spans) -> AsyncIterator[Mesh]:
    async with running_mesh(Probe().agent(), minds=minds(FixedPlanner([ECHO]))) as running:
        await spans.all_ended()
        spans.clear()
        yield running


@pytest.mark.parametrize("use", [ask, read, leave])
async def test_the_trace_of_a_thread_goes_on_in_the_mesh(use: Use, mesh: Mesh, spans: Spans) -> None:
    await asyncio.to_thread(in_a_span, use, mesh.address)
    await spans.all_ended()
    caller = spans.only("the caller")
    rpc, served = (
        next(found for found in spans.named("agentmesh.v1.Orchestrator/") if found.kind.name == kind)
        for kind in ("CLIENT", "SERVER")
    )
    assert rpc.parent is not None
    assert served.parent is not None
    assert (rpc.parent.span_id, served.parent.span_id) == (context_of(caller).span_id, context_of(rpc).span_id)
    assert {context_of(found).trace_id for found in spans.ended} == {context_of(caller).trace_id}
    assert rpc.status.is_unset


@pytest.mark.parametrize("use", [ask, read])
async def test_what_is_not_there_is_an_error_of_the_caller(use: Use, spans: Spans) -> None:
    with suppress(MeshError):
        await asyncio.to_thread(use, NOWHERE)
    assert await ended(spans) == {"CLIENT": "UNAVAILABLE ERROR UNREACHABLE"}
