"""The bound on completions is held where they arrive: these are the ways to break it, and each is caught."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence

import pytest

from agentmesh.jsonvalues import JsonObject
from tests.fakes.llm_replies import Fails, calls, says
from tests.fakes.scripted_llm import BoundBroken, ScriptedLlm

ROUTE: JsonObject = {"messages": ["which?"], "tools": []}
WRITE: JsonObject = {"messages": ["write"]}


async def send(llm: ScriptedLlm, completion: str, body: JsonObject) -> int:
    """One request over a real socket; returns the status."""
    host, _, port = llm.origin.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    content = json.dumps({"model": "m", **body}).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nx-agentmesh-completion: {completion}\r\ncontent-length: {len(content)}"
    )
    writer.write(head.encode() + b"\r\n\r\n" + content)
    status = int((await reader.readline()).split()[1])
    writer.close()
    await writer.wait_closed()
    return status


async def asked(requests: Sequence[tuple[str, JsonObject]], *, reply: object = None, unused: int = 0) -> None:
    async with ScriptedLlm() as llm:
        for completion, body in requests:
            good = calls(("x", {})) if "tools" in body else says("x")
            script = llm.to_route if "tools" in body else llm.to_write
            script(reply if isinstance(reply, Fails) else good)
            await send(llm, completion, body)
        llm.to_write(*[says("never")] * unused)


async def test_routing_and_writing_are_allowed_for_each_run() -> None:
    await asked([("a:1", ROUTE), ("a:2", WRITE), ("b:1", ROUTE), ("b:2", WRITE)])


async def test_requests_that_were_not_answered_well_may_be_repeated() -> None:
    await asked([("a:1", ROUTE)] * 4, reply=Fails(500))


@pytest.mark.parametrize(
    ("requests", "problem"),
    [
        ([("a:1", ROUTE), ("a:2", WRITE), ("a:3", WRITE)], "run a asked for 3 completions, allowed are 2"),
        ([("", ROUTE)], "says of no run"),
        ([(":1", ROUTE)], "says of no run"),
        ([("a:1", ROUTE), ("a:1", ROUTE)], "a:1 was asked for again after a usable reply"),
        ([("a:1", ROUTE), ("a:1", WRITE)], "a:1 stands for two different completions"),
    ],
)
async def test_a_run_that_asks_for_more_fails_its_test(requests: list[tuple[str, JsonObject]], problem: str) -> None:
    with pytest.raises(BoundBroken, match=problem):
        await asked(requests)


async def test_a_request_that_nobody_expected_fails_its_test() -> None:
    with pytest.raises(BoundBroken, match="nothing is scripted"):
        async with ScriptedLlm() as llm:
            assert await send(llm, "a:1", ROUTE) == 418


async def test_a_reply_that_nobody_asked_for_fails_its_test() -> None:
    with pytest.raises(BoundBroken, match="1 replies for writing were never asked for"):
        await asked([("a:1", ROUTE)], unused=1)


async def test_other_clients_are_not_judged() -> None:
    async with ScriptedLlm(script=lambda request: says(request.model), max_completions=None) as llm:
        assert [await send(llm, "", body) for body in (ROUTE, WRITE, ROUTE)] == [200, 200, 200]
