"""What becomes of each thing that a model server can do wrong, over real HTTP: one row a situation."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

import pytest

from agentmesh.errors import LlmRefused, LlmUnavailable, ViolationReason
from agentmesh.jsonvalues import JsonObject
from orchestrator_svc.adapters.prompts import CUT_NOTE
from orchestrator_svc.app.ports.synthesizer import Restart
from orchestrator_svc.core.plan import Mode
from orchestrator_svc.core.tool_calls import PLAN_TOOL
from orchestrator_svc.core.validate import PlanRejected, validate
from tests.adapters.llm import CATALOG, KEY, asking
from tests.fakes.llm_replies import Completion, Fails, Hangs, Reply, Sends, Streams, calls, says
from tests.fakes.scripted_llm import ScriptedLlm

SCAN: JsonObject = {"id": "scan", "skill": "watch__scan", "arguments": {}}
PUT: JsonObject = {"id": "put", "skill": "store__put", "arguments": {}, "depends_on": ["scan"]}
GOOD = calls(("watch__scan", {}))
PLAN: JsonObject = {"steps": [SCAN]}
NONE: JsonObject = {"steps": []}
UNAVAILABLE, REFUSED, REJECTED = LlmUnavailable, LlmRefused, PlanRejected
SILENCE = 0.25
"""For rows in which the server falls silent; the others wait as long as they do by default."""


@dataclass(frozen=True)
class Row:
    """What the server does, and what comes of it."""

    replies: tuple[Reply, ...]
    result: object
    """The plan or the pieces, or the error that is raised."""
    pauses: tuple[float, ...] = ()
    models: tuple[str, ...] = ("model-a",)
    asked: tuple[str, ...] = ("model-a",)
    """The model of each request."""

    @property
    def silence_seconds(self) -> float | None:
        silent = any(isinstance(reply, Hangs) or getattr(reply, "then", "") == "hang" for reply in self.replies)
        return SILENCE if silent else None


def limited(**headers: str) -> Fails:
    return Fails(429, "slow down", headers={name.replace("_", "-"): text for name, text in headers.items()})


def no_choice() -> Sends:
    return Sends(b'{"model": "model-a", "choices": []}')


ONE, TWO, THREE = ("model-a",), ("model-a",) * 2, ("model-a",) * 3
BOTH = ("model-a", "model-b")

EITHER: dict[str, tuple[tuple[Reply, ...], type[Exception] | None, tuple[float, ...], tuple[str, ...], tuple[str, ...]]]
EITHER = {
    # replies before a good one (None) or the error; pauses; configured models; models asked
    "429 with Retry-After in seconds": ((limited(retry_after="2"),), None, (2.0,), ONE, TWO),
    "429 with Retry-After as a date": (
        (limited(retry_after="Tue, 14 Nov 2023 22:13:23 GMT"),), None, (3.0,), ONE, TWO,
    ),
    "429 with Retry-After in milliseconds": ((limited(retry_after_ms="1500"),), None, (1.5,), ONE, TWO),
    "429 with a Retry-After that is none": ((limited(retry_after="soon"),), None, (0.25,), ONE, TWO),
    "429 without Retry-After": ((limited(), limited()), None, (0.25, 0.5), ONE, THREE),
    "429 for ever": ((limited(), limited(), limited()), UNAVAILABLE, (0.25, 0.5), ONE, THREE),
    "429 with a pause longer than the deadline": ((limited(retry_after="31"),), UNAVAILABLE, (), ONE, ONE),
    "429 with a long pause and another model": ((limited(retry_after="20"),), None, (), BOTH, BOTH),
    "429 for want of credit": ((Fails(429, code="insufficient_quota"),), REFUSED, (), ONE, ONE),
    "500": ((Fails(500),), None, (0.25,), ONE, TWO),
    "503 with Retry-After": ((Fails(503, headers={"retry-after": "1"}),), None, (1.0,), ONE, TWO),
    "500 for ever": ((Fails(500),) * 3, UNAVAILABLE, (0.25, 0.5), ONE, THREE),
    "500, then the next model": ((Fails(500),) * 2, None, (0.25,), BOTH, ("model-a", "model-a", "model-b")),
    "two models down": (
        (Fails(500),) * 3, UNAVAILABLE, (0.25,), BOTH, ("model-a", "model-a", "model-b"),
    ),
    "four models, three attempts": (
        (Fails(500),) * 3, UNAVAILABLE, (), (*BOTH, "model-c", "model-d"), (*BOTH, "model-c"),
    ),
    "timeout": ((Hangs(),), None, (0.25,), ONE, TWO),
    "timeout for ever": ((Hangs(),) * 3, UNAVAILABLE, (0.25, 0.5), ONE, THREE),
    "401": ((Fails(401),), REFUSED, (), ONE, ONE),
    "403": ((Fails(403),), REFUSED, (), ONE, ONE),
    "404": ((Fails(404),), REFUSED, (), ONE, ONE),
    "400": ((Fails(400, "context too long"),), REFUSED, (), ONE, ONE),
    "400 about a parameter that is not optional": ((Fails(400, param="messages"),), REFUSED, (), ONE, ONE),
    "a redirect": ((Fails(307, headers={"location": "/v1/elsewhere/chat/completions"}),), REFUSED, (), ONE, ONE),
    "404, then the next model": ((Fails(404),), None, (), BOTH, BOTH),
    "404 twice": ((Fails(404), Fails(404)), REFUSED, (), BOTH, BOTH),
    "500, then a model that does not exist": (
        (Fails(500), Fails(500), Fails(404)), UNAVAILABLE, (0.25,), BOTH, ("model-a", "model-a", "model-b"),
    ),
    "refused temperature": ((Fails(400, param="temperature"),), None, (), ONE, TWO),
    "refused temperature in words": ((Fails(422, "unknown field `temperature`"),), None, (), ONE, TWO),
    "refused temperature for ever": ((Fails(400, param="temperature"),) * 2, REFUSED, (), ONE, TWO),
    "a body that is no JSON": ((Sends(b"<html>", "text/html"),), None, (0.25,), ONE, TWO),
    "a body that is broken JSON": ((Sends(b'{"choices": '),), None, (0.25,), ONE, TWO),
    "JSON of another kind": ((Sends(b'["choices"]'),), None, (0.25,), ONE, TWO),
    "connection cut": ((Streams(()),), None, (0.25,), ONE, TWO),
    "empty choice": ((no_choice(),), None, (0.25,), ONE, TWO),
    "empty choice for ever": ((no_choice(),) * 3, UNAVAILABLE, (0.25, 0.5), ONE, THREE),
    "refusal": ((Completion(refusal="I can't help with that."),), REFUSED, (), BOTH, ONE),
    "filtered content": ((Completion(text="Well", finish="content_filter"),), REFUSED, (), BOTH, ONE),
}  # fmt: skip

ROUTE: dict[str, Row] = {
    "one call": Row((GOOD,), PLAN),
    "no tool call": Row((Completion(),), NONE),
    "refusal in words": Row((says("I am sorry, but I cannot do that."),), NONE),
    "no steps": Row((calls((PLAN_TOOL, {"reason": "nobody can", "steps": []})),), NONE),
    "malformed argument JSON": Row((calls(("watch__scan", '{"entity": ')),), REJECTED),
    "unknown tool": Row((calls(("watch__scam", {})),), REJECTED),
    "a plan": Row((calls((PLAN_TOOL, {"reason": "r", "steps": [SCAN, PUT]})),), {"steps": [SCAN, PUT]}),
    "a plan beside one of its steps": Row(
        (calls((PLAN_TOOL, {"reason": "r", "steps": [SCAN, PUT]}), ("watch__scan", {})),), {"steps": [SCAN, PUT]}
    ),
    "a plan beside another call": Row(
        (calls((PLAN_TOOL, {"reason": "r", "steps": [SCAN]}), ("store__put", {})),), REJECTED
    ),
    "the bare signal beside calls": Row(
        (calls((PLAN_TOOL, {"reason": "r"}), ("watch__scan", {}), ("store__put", {})),), {"steps": [SCAN, PUT]}
    ),
    "the bare signal alone": Row((calls((PLAN_TOOL, {"reason": "r"})),), REJECTED),
    "a tool call without a name": Row((replace(calls(("", {})), usable=False), GOOD), PLAN, (0.25,), asked=TWO),
    "a reply that was cut": Row((Completion(finish="length", usable=False), GOOD), PLAN, (0.25,), asked=TWO),
    "arguments as an object": Row(
        (
            Sends(
                b'{"choices": [{"message": {"tool_calls": [{"function": '
                b'{"name": "watch__scan", "arguments": {}}}]}, "finish_reason": "tool_calls"}]}'
            ),
        ),
        PLAN,
    ),
    "refused parallel_tool_calls": Row(
        (Fails(400, "Unrecognized request argument supplied: parallel_tool_calls"), GOOD), PLAN, asked=TWO
    ),
    "refused two parameters": Row(
        (Fails(400, param="temperature"), Fails(400, param="parallel_tool_calls"), GOOD), PLAN, asked=THREE
    ),
}

HALF, WHOLE = Streams(("All ", "is ")), says("All is well.")
WRITTEN = ("All ", "is ", "well.")
RESTARTED = ("All ", "is ", Restart(), *WRITTEN)

WRITE: dict[str, Row] = {
    "an answer": Row((WHOLE,), WRITTEN),
    "stream cut in the middle": Row((HALF, WHOLE), RESTARTED, (0.25,), asked=TWO),
    "stream cut, then the next model": Row(
        (HALF, HALF, WHOLE),
        ("All ", "is ", Restart(), *RESTARTED),
        (0.25,),
        models=BOTH,
        asked=("model-a", "model-a", "model-b"),
    ),
    "stream cut for ever": Row((HALF,) * 3, UNAVAILABLE, (0.25, 0.5), asked=THREE),
    "stream that ends early": Row((Streams(("All ", "is "), "end"), WHOLE), RESTARTED, (0.25,), asked=TWO),
    "stream that stalls": Row((Streams(("All ", "is "), "hang"), WHOLE), RESTARTED, (0.25,), asked=TWO),
    "stream with an error": Row(
        (Streams(("All ", "is "), "end", error="overloaded"), WHOLE), RESTARTED, (0.25,), asked=TWO
    ),
    "stream cut behind the end": Row((Streams(WRITTEN, finish="stop"),), WRITTEN),
    "empty answer": Row((Completion(usable=False), WHOLE), WRITTEN, (0.25,), asked=TWO),
    "blank answer": Row(
        (Completion(text="\n\n", usable=False), WHOLE), ("\n\n", Restart(), *WRITTEN), (0.25,), asked=TWO
    ),
    "answer at the length limit": Row((Completion(text="All is", finish="length"),), ("All ", "is", CUT_NOTE)),
    "refused stream_options": Row((Fails(400, param="stream_options.include_usage"), WHOLE), WRITTEN, asked=TWO),
}


def _rows(good: Reply, result: object, own: dict[str, Row]) -> list[object]:
    shared = {
        name: Row(replies if error else (*replies, good), error or result, pauses, models, asked)
        for name, (replies, error, pauses, models, asked) in EITHER.items()
    }
    return [pytest.param(row, id=name) for name, row in {**shared, **own}.items()]


@pytest.mark.parametrize("row", _rows(GOOD, PLAN, ROUTE))
async def test_routing(row: Row, llm: ScriptedLlm) -> None:
    llm.to_route(*row.replies)
    async with asking(llm.base_url, models=row.models, silence_seconds=row.silence_seconds) as mesh:
        if isinstance(row.result, type):
            with pytest.raises(row.result) as raised:
                await mesh.route()
            assert_public(raised.value)
        else:
            assert (await mesh.route()).plan == row.result
    assert tuple(mesh.pauses.seconds) == row.pauses
    assert tuple(request.model for request in llm.requests) == row.asked
    assert (mesh.ledger.llm_calls, mesh.ledger.llm_requests) == (1, len(row.asked))


@pytest.mark.parametrize("row", _rows(WHOLE, WRITTEN, WRITE))
async def test_writing(row: Row, llm: ScriptedLlm) -> None:
    llm.to_write(*row.replies)
    async with asking(llm.base_url, models=row.models, silence_seconds=row.silence_seconds) as mesh:
        if isinstance(row.result, type):
            with pytest.raises(row.result) as raised:
                await mesh.write()
            assert_public(raised.value)
        else:
            assert tuple(await mesh.write()) == row.result
    assert tuple(mesh.pauses.seconds) == row.pauses
    assert tuple(request.model for request in llm.requests) == row.asked
    assert (mesh.ledger.llm_calls, mesh.ledger.llm_requests) == (1, len(row.asked))


def assert_public(error: BaseException) -> None:
    """Neither the provider's words nor the key are in what callers are told."""
    assert KEY not in str(error)
    assert all(words not in str(error) for words in ("slow down", "the scripted server fails", "I can't help"))


async def test_a_plan_with_violations_is_given_on_and_does_not_pass_the_validator(llm: ScriptedLlm) -> None:
    steps: list[JsonObject] = [
        {"id": "scan", "skill": "watch__scan", "arguments": {"entyti": 1}},
        {"id": "put", "skill": "store__put", "arguments": {}, "when": "size(skan.x) > 0"},
    ]
    llm.to_route(calls((PLAN_TOOL, json.dumps({"reason": "r", "steps": steps}))))
    async with asking(llm.base_url) as mesh:
        routing = await mesh.route()
    with pytest.raises(PlanRejected) as raised:
        validate(routing.plan, CATALOG)
    assert [violation.reason for violation in raised.value.violations] == [
        ViolationReason.ARGUMENT_UNKNOWN,
        ViolationReason.STEP_UNKNOWN,
    ]


async def test_several_calls_run_side_by_side(llm: ScriptedLlm) -> None:
    llm.to_route(calls(("watch__scan", {"entity": "a"}), ("watch__scan", {"entity": "b"})))
    async with asking(llm.base_url) as mesh:
        assert validate((await mesh.route()).plan, CATALOG).mode is Mode.PARALLEL


async def test_connection_refused() -> None:
    async with ScriptedLlm() as gone:
        address = gone.base_url
    async with asking(address) as mesh:
        with pytest.raises(LlmUnavailable, match="the connection failed"):
            await mesh.route()
        with pytest.raises(LlmUnavailable, match="the connection failed"):
            await mesh.write()
    assert [ledger.llm_requests for ledger in mesh.ledgers] == [3, 3]


async def test_a_server_that_never_answers_costs_no_more_than_the_deadline(llm: ScriptedLlm) -> None:
    llm.to_route(Hangs())
    llm.to_write(Streams(("All ",), "hang"))
    async with asking(llm.base_url) as mesh:
        with pytest.raises(LlmUnavailable):
            await mesh.route(seconds=SILENCE)
        with pytest.raises(LlmUnavailable):
            await mesh.write(seconds=SILENCE)
        with pytest.raises(LlmUnavailable):
            await mesh.route(seconds=0)
    assert [(ledger.llm_calls, ledger.llm_requests) for ledger in mesh.ledgers] == [(1, 1), (1, 1), (0, 0)]
