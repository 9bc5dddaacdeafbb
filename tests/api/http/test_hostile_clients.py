"""Clients that do what they should not: the server answers or closes in time, in bounded memory, and gRPC goes on."""

from __future__ import annotations

import asyncio
import gc
from contextlib import AsyncExitStack, suppress
from dataclasses import replace

import psutil
import pytest

from agentmesh import errors
from agentmesh.http.connections import Bounds
from agentmesh.transport.options import MAX_MESSAGE_BYTES
from tests.api.http.client import CONNECT_STREAM, JSON, connected, error_in, events_in, framed, get, post, request
from tests.api.http.support import CALL, EXECUTE, EXECUTE_STREAM, two_doors
from tests.transport.support import call

SHORT = Bounds(head_seconds=0.2, body_seconds=0.2, between_seconds=1, after_seconds=0.2)
HEAD = b"POST " + EXECUTE.encode() + b" HTTP/1.1\r\nhost: mesh\r\ncontent-type: application/json\r\n"

pytestmark = pytest.mark.timeout(30)


@pytest.mark.parametrize("path", [EXECUTE, EXECUTE_STREAM])
async def test_a_body_far_over_the_limit_is_refused_before_it_was_read(path: str) -> None:
    """Refused as the gRPC core refuses it: without details. The rest is not kept, and not waited for."""
    async with two_doors(bounds=SHORT) as doors, connected(doors.http) as connection:
        await connection.send(request(path, b"")[:-4].replace(b"content-length: 0", b"content-length: 999999999999"))
        await connection.send(b"\r\n\r\n" + b" " * (MAX_MESSAGE_BYTES + 1))
        if path == EXECUTE:
            answer = await connection.answer()
            assert (answer.status, answer.json["code"]) == (429, "resource_exhausted")
        else:
            ((name, error),) = events_in((await connection.answer()).body)
            assert (name, error["code"]) == ("error", "resource_exhausted")
        assert await connection.ends()


async def test_a_body_that_never_ends_takes_no_memory() -> None:
    async with two_doors(bounds=SHORT) as doors, connected(doors.http) as connection:
        await connection.send(HEAD + b"transfer-encoding: chunked\r\n\r\n")
        gc.collect()
        before = psutil.Process().memory_info().rss
        chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
        with suppress(ConnectionError):
            while True:
                await connection.send(chunk)
        assert psutil.Process().memory_info().rss - before < 8 * MAX_MESSAGE_BYTES


async def test_garbage_behind_a_request_that_was_refused_ends_the_connection(caplog: pytest.LogCaptureFixture) -> None:
    async with two_doors(bounds=replace(SHORT, after_seconds=20)) as doors, connected(doors.http) as connection:
        await connection.send(HEAD.replace(b"json", b"xml") + b"transfer-encoding: chunked\r\n\r\n1\r\n{\r\n")
        assert (await connection.answer()).status == 415
        await connection.send(b"no chunk\r\n")
        assert await connection.ends()
    assert caplog.records == []


async def test_a_body_that_comes_too_slowly_is_given_up() -> None:
    async with two_doors(bounds=SHORT) as doors, connected(doors.http) as connection:
        await connection.send(HEAD + b"content-length: 100\r\n\r\n{")
        answer = await connection.answer()
        assert answer.status == 504
        assert type(answer.error) is errors.DeadlineExceeded
        assert await connection.ends()
        async with connected(doors.http) as other:
            await other.send(request(EXECUTE_STREAM, b"", JSON).replace(b"length: 0", b"length: 100"))
            ((_, error),) = events_in((await other.answer()).body)
            assert type(error_in(error)) is errors.DeadlineExceeded


@pytest.mark.parametrize("sent", [b"", b"P", HEAD], ids=["nothing", "a letter", "half of the headers"])
async def test_a_connection_without_a_request_is_closed_in_time(sent: bytes) -> None:
    async with two_doors(bounds=SHORT) as doors, connected(doors.http) as connection:
        await connection.send(sent)
        assert await connection.ends()


async def test_a_connection_is_kept_between_requests_and_closed_when_none_comes() -> None:
    async with two_doors(bounds=SHORT) as doors, connected(doors.http) as connection:
        for _ in range(3):
            assert (await connection.call(EXECUTE, CALL)).status == 200
        await connection.send(b"P")  # half a request is no request
        assert await connection.ends()


async def test_requests_may_be_sent_ahead_and_are_answered_in_order() -> None:
    async with two_doors() as doors, connected(doors.http) as connection:
        await connection.send(request(EXECUTE, CALL) + request("/healthz", b"", {}, "GET") + request(EXECUTE, {}))
        assert [(await connection.answer()).status for _ in range(3)] == [200, 200, 400]


async def test_http_1_0_is_answered_and_the_connection_closed() -> None:
    async with two_doors() as doors, connected(doors.http) as connection:
        await connection.send(request(EXECUTE, CALL).replace(b"HTTP/1.1", b"HTTP/1.0"))
        answer = await connection.answer()
        assert answer.status == 200
        assert await connection.ends()


@pytest.mark.parametrize(
    "raw",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET\r\n\r\n",
        HEAD + b"content-length: -1\r\n\r\n",
        HEAD + b"content-length: 1\r\ncontent-length: 2\r\n\r\n",
        HEAD + b"x: " + b"y" * 100_000 + b"\r\n\r\n",
        HEAD + b"transfer-encoding: chunked\r\n\r\nZZ\r\n",
    ],
    ids=["TLS", "HTTP/2", "no path", "negative length", "two lengths", "headers of 100 kB", "a bad chunk"],
)
async def test_what_is_no_http_is_refused_and_the_connection_closed(raw: bytes) -> None:
    async with two_doors(bounds=SHORT) as doors, connected(doors.http) as connection:
        await connection.send(raw)
        assert await connection.ends()
        assert (await doors.execute()).status == 200


async def test_an_upgrade_to_a_websocket_is_no_upgrade() -> None:
    upgrade = {"connection": "upgrade", "upgrade": "websocket", "sec-websocket-version": "13", "sec-websocket-key": "a"}
    async with two_doors() as doors:
        assert (await get(doors.http, EXECUTE, **{n.replace("-", "_"): v for n, v in upgrade.items()})).status == 405


@pytest.mark.parametrize("body", [b"", b"\0", framed({})[:-1], b"\x01" + framed({})[1:], framed({}) + framed({})])
async def test_frames_that_are_none_are_refused(body: bytes) -> None:
    async with two_doors() as doors, connected(doors.http) as connection:
        answer = await connection.call(EXECUTE_STREAM, body, CONNECT_STREAM)
    assert answer.status == 200
    assert b'"error"' in answer.body
    assert b"Traceback" not in answer.body


async def test_a_compressed_body_is_refused_and_not_unpacked() -> None:
    async with two_doors() as doors:
        answer = await post(doors.http, EXECUTE, b"\x1f\x8b", content_encoding="gzip")
    assert (answer.status, answer.json["code"]) == (501, "unimplemented")


async def test_of_very_many_idle_connections_some_are_kept_and_grpc_does_not_notice() -> None:
    bounds = Bounds(connections=50)
    async with two_doors(bounds=bounds) as doors, AsyncExitStack() as stack:
        idle = [await stack.enter_async_context(connected(doors.http)) for _ in range(1000)]
        assert all(await asyncio.gather(*(connection.ends() for connection in idle[bounds.connections :])))
        await doors.stub.Execute(call(), timeout=10)
        assert (await idle[0].call(EXECUTE, CALL)).status == 200
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await doors.execute()


async def test_idle_connections_make_room_in_time() -> None:
    async with two_doors(bounds=replace(SHORT, connections=5)) as doors, AsyncExitStack() as stack:
        idle = [await stack.enter_async_context(connected(doors.http)) for _ in range(5)]
        assert all(await asyncio.gather(*(connection.ends() for connection in idle)))
        assert (await doors.execute()).status == 200
