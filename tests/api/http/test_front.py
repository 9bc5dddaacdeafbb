"""What is answered before a call begins: health, wrong paths and methods and contents, pages of other origins."""

from __future__ import annotations

import json
import socket
import stat
from pathlib import Path

import pytest

from agentmesh.listen import CannotListen, ListenAddress
from agentmesh.metadata import RUN_ID
from tests.api.http.client import JSON, connected, get, post, request
from tests.api.http.support import CALL, EXECUTE, EXECUTE_STREAM, two_doors
from tests.transport.support import SERVICE

PAGE = "https://console.example"


async def test_healthz_says_that_the_process_is_up_and_readyz_what_health_says() -> None:
    async with two_doors() as doors:
        ready = await get(doors.http, "/readyz")
        await doors.server.set_not_serving(SERVICE)
        not_ready, up = await get(doors.http, "/readyz"), await get(doors.http, "/healthz")
    assert (ready.status, ready.json) == (200, {"status": "SERVING"})
    assert (not_ready.status, not_ready.json) == (503, {"status": "NOT_SERVING", "reason": "CATALOG_EMPTY"})
    assert (up.status, up.json) == (200, {"status": "SERVING"})


async def test_a_probe_may_ask_for_the_head_alone() -> None:
    async with two_doors() as doors, connected(doors.http) as connection:
        assert (await connection.call("/healthz", b"", {}, "HEAD")).status == 200
        assert (await connection.call("/healthz", b"", {}, "HEAD")).status == 200
        assert (await connection.call("/healthz", b"", {}, "POST")).status == 405


async def test_an_unknown_path_is_404() -> None:
    async with two_doors() as doors:
        for path in ("/", "/agentmesh.v1.Agent", f"/{SERVICE}/Nothing", f"{EXECUTE}/", "/healthz/"):
            answer = await post(doors.http, path, CALL)
            assert (answer.status, answer.json["code"]) == (404, "unimplemented")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD", "OPTIONS"])
async def test_an_rpc_is_called_with_post(method: str) -> None:
    async with two_doors() as doors, connected(doors.http) as connection:
        answer = await connection.call(EXECUTE, b"", {}, method)
    assert (answer.status, answer.headers["allow"]) == (405, "POST")


@pytest.mark.parametrize("content_type", ["", "text/plain", "application/x-www-form-urlencoded", "application/grpc"])
@pytest.mark.parametrize("path", [EXECUTE, EXECUTE_STREAM])
async def test_another_content_is_refused_and_the_right_ones_are_named(path: str, content_type: str) -> None:
    async with two_doors() as doors:
        answer = await post(doors.http, path, CALL, content_type=content_type)
    assert answer.status == 415
    assert "application/json" in answer.headers["accept-post"]
    assert "application/json" in answer.json["message"]


async def test_parameters_of_the_content_type_do_not_matter() -> None:
    async with two_doors() as doors:
        assert (await post(doors.http, EXECUTE, CALL, content_type="Application/JSON; charset=utf-8")).status == 200


async def test_by_default_no_web_page_may_call_not_even_without_a_preflight() -> None:
    async with two_doors() as doors, connected(doors.http) as connection:
        for method, path in (("POST", EXECUTE), ("OPTIONS", EXECUTE), ("GET", "/healthz")):
            answer = await connection.call(path, CALL, {**JSON, "origin": PAGE}, method)
            assert (answer.status, answer.json["code"]) == (403, "permission_denied")
            assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("allowed", [PAGE, "*"])
async def test_a_page_of_an_allowed_origin_may_call_and_read_the_answer(allowed: str) -> None:
    async with two_doors(origins=[allowed]) as doors, connected(doors.http) as connection:
        asked = {"origin": PAGE, "access-control-request-method": "POST"}
        preflight = await connection.call(EXECUTE, b"", asked, "OPTIONS")
        answer = await connection.call(EXECUTE, CALL, {**JSON, "origin": PAGE})
        failed = await connection.call(EXECUTE, {}, {**JSON, "origin": PAGE})
    assert preflight.status == 204
    named = set(preflight.headers["access-control-allow-headers"].split(", "))
    assert {"content-type", "authorization", "connect-protocol-version", "connect-timeout-ms"} <= named
    assert "POST" in preflight.headers["access-control-allow-methods"]
    assert (answer.status, failed.status) == (200, 400)
    for one in (preflight, answer, failed):
        assert (one.headers["access-control-allow-origin"], one.headers["vary"]) == (PAGE, "origin")
    assert RUN_ID in answer.headers["access-control-expose-headers"]


async def test_a_page_of_another_origin_than_the_allowed_one_is_refused() -> None:
    async with two_doors(origins=[PAGE]) as doors:
        assert (await post(doors.http, EXECUTE, CALL, origin="https://other.example")).status == 403


async def test_headers_that_are_no_text_are_refused() -> None:
    async with two_doors() as doors, connected(doors.http) as connection:
        raw = request(EXECUTE, CALL, {**JSON, "authorization": "Bearer ?"})
        await connection.send(raw.replace(b"?", b"\xff"))
        answer = await connection.answer()
    assert answer.status == 400


async def test_it_listens_on_a_unix_socket_and_removes_it(tmp_path: Path) -> None:
    path = tmp_path / "http.sock"
    async with two_doors(listen=f"unix:{path}") as doors:
        assert doors.http == f"unix:{path}"
        assert stat.S_ISSOCK(path.stat().st_mode)
        assert json.loads((await doors.execute()).body) is not None
    assert not path.exists()


@pytest.mark.parametrize("listen", ["0.0.0.0:0", "nonsense", "203.0.113.7:80"])
async def test_an_address_that_it_may_not_or_cannot_take_is_told(listen: str) -> None:
    with pytest.raises(CannotListen, match="cannot listen on"):
        async with two_doors(listen=listen):
            raise AssertionError


async def test_an_address_that_is_taken_is_told() -> None:
    async with two_doors() as doors:
        with pytest.raises(CannotListen, match=f"cannot listen on {doors.http}: Address already in use"):
            async with two_doors(listen=doors.http):
                raise AssertionError


async def test_small_packets_leave_at_once() -> None:
    """asyncio turns Nagle's algorithm off on sockets that say they are TCP: else answers wait for acknowledgements."""
    with ListenAddress.parse("127.0.0.1:0").bind() as bound:
        assert bound.proto == socket.IPPROTO_TCP
