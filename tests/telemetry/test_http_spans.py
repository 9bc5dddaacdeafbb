"""The span of an rpc that comes in over HTTP, however it ends, unary and streaming: as over gRPC."""

from __future__ import annotations

from typing import Any

import pytest

from agentmesh import errors
from agentmesh.telemetry import names
from tests.api.http.client import JSON, connected, post, request
from tests.api.http.support import CALL, EXECUTE, EXECUTE_STREAM, two_doors
from tests.telemetry.recording import Spans
from tests.telemetry.rpc_ways import Held, ended, methods
from tests.telemetry.span_tree import attributes_of
from tests.transport.support import Context

pytestmark = pytest.mark.parametrize(
    ("path", "body"), [(EXECUTE, CALL), (EXECUTE_STREAM, {"call": CALL})], ids=["unary", "stream"]
)


async def nothing(context: Context) -> None:
    del context


async def refuse(context: Context) -> None:
    raise errors.NotFound("?")


async def fall_over(context: Context) -> None:
    raise ZeroDivisionError


async def test_success(path: str, body: Any, spans: Spans) -> None:  # noqa: ANN401 - JSON
    async with two_doors(*methods(nothing)) as doors:
        await post(doors.http, path, body)
    assert await ended(spans) == {"SERVER": "OK"}
    [served] = spans.ended
    assert attributes_of(served)[names.RPC_SYSTEM] == "connectrpc"


async def test_a_status(path: str, body: Any, spans: Spans) -> None:  # noqa: ANN401 - JSON
    async with two_doors(*methods(refuse)) as doors:
        await post(doors.http, path, body)
    assert await ended(spans) == {"SERVER": "NOT_FOUND"}


async def test_a_bug(path: str, body: Any, spans: Spans) -> None:  # noqa: ANN401 - JSON
    async with two_doors(*methods(fall_over)) as doors:
        await post(doors.http, path, body)
    assert await ended(spans) == {"SERVER": "INTERNAL ERROR INTERNAL"}
    [served] = spans.ended
    assert [event.name for event in served.events] == ["exception"]


async def test_a_deadline(path: str, body: Any, spans: Spans) -> None:  # noqa: ANN401 - JSON
    async with two_doors(*methods(Held())) as doors:
        await post(doors.http, path, body, connect_timeout_ms="200")
    assert await ended(spans) == {"SERVER": "DEADLINE_EXCEEDED ERROR DEADLINE_EXCEEDED"}


async def test_a_caller_who_leaves(path: str, body: Any, spans: Spans) -> None:  # noqa: ANN401 - JSON
    held = Held()
    async with two_doors(*methods(held)) as doors:
        async with connected(doors.http) as connection:
            await connection.send(request(path, body, JSON))
            await held.begun.wait()
        assert await ended(spans) == {"SERVER": "CANCELLED"}
