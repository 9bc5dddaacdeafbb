"""What hostile and careless callers send: a canonical status, the field, no traceback, and nothing is left behind."""

from __future__ import annotations

import re
from math import inf, nan
from pathlib import Path

import grpc
import grpc.aio
import pytest

from agentmesh.jsonvalues import JsonObject
from agentmesh.transport import to_struct
from agentmesh.v1 import orchestrator_service_pb2 as pb
from agentmesh.v1 import plan_pb2, registry_service_pb2
from tests.e2e.card_server import serving_card
from tests.e2e.errors import Refusal, refusal_of
from tests.e2e.mesh import Mesh
from tests.e2e.probe import Probe

ASK = "/agentmesh.v1.Orchestrator/Ask"
INTERNALS = re.compile(r'Traceback|File "|\.py|site-packages|orchestrator_svc|Error\(')


async def refused(mesh: Mesh, request: bytes, method: str = ASK) -> Refusal:
    """Send these very bytes."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await mesh.channel.unary_unary(method, bytes, bytes)(request)
    refusal = refusal_of(caught.value)
    assert not INTERNALS.search(refusal.message + str(refusal.descriptions))
    return refusal


def ask(**fields: object) -> bytes:
    return pb.AskRequest(**fields).SerializeToString()  # type: ignore[arg-type]  # each test names real fields


@pytest.mark.parametrize(
    ("request_bytes", "field"),
    [
        (b"", "query"),
        (ask(query=" \n\t "), "query"),
        (ask(query="\u00a0\u2003"), "query"),
        (ask(query="\0\u202e"), "query"),
        (ask(query="x" * 32_769), "query"),
        (ask(query="ä" * 16_385), "query"),
        (ask(query="?", history=[pb.Turn(role=pb.ROLE_USER, text="")]), "history[0].text"),
        (ask(query="?", history=[pb.Turn(text="hi")]), "history[0].role"),
        (ask(query="?", history=[pb.Turn(role=pb.ROLE_USER, text="x")] * 21), "history"),
        (ask(query="?", history=[pb.Turn(role=pb.ROLE_USER, text="x" * 20_000)] * 2), "history"),
        (ask(query="?", allowed_skills=[""]), "allowed_skills[0]"),
        *((ask(query="?", budget=pb.Budget(cost_usd=cost)), "budget.cost_usd") for cost in (0, -1, nan, inf)),
    ],
    ids=[
        "empty",
        "blank",
        "unicode-blank",
        "controls",
        "over-long",
        "over-long-utf8",
        "empty-turn",
        "no-role",
        "turns",
        "history-bytes",
        "no-name",
        "free",
        "earning",
        "no-amount",
        "endless",
    ],
)
async def test_a_field_that_breaks_its_rule_is_named(mesh: Mesh, request_bytes: bytes, field: str) -> None:
    refusal = await refused(mesh, request_bytes)
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_INVALID")
    assert refusal.fields == {field: "RULE"}


@pytest.mark.parametrize(
    "address",
    [
        "",
        "nowhere",
        "127.0.0.1",
        ":5000",
        "127.0.0.1:0",
        "127.0.0.1:65536",
        "127.0.0.1:99999",
        "http://127.0.0.1:5000",
        "127.0.0.1:5000,127.0.0.1:5001",
        "xds:///agent",
        "a b:5000",
        "::1:5000",
        "unix:",
        "x" * 508 + ":5000",
    ],
)
async def test_an_address_that_is_none_is_refused_where_it_is_registered(mesh: Mesh, address: str) -> None:
    request = registry_service_pb2.RegisterRequest(card=Probe().agent("other_agent").card(), address=address)
    refusal = await refused(mesh, request.SerializeToString(), "/agentmesh.v1.Registry/Register")
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_INVALID")
    assert refusal.fields == {"address": "RULE"}
    assert await mesh.agents() == {"probe_agent"}


@pytest.mark.parametrize(
    ("listen", "form"),
    [
        ("127.0.0.1:0", "127.0.0.1:{}"),
        ("127.0.0.1:0", "ipv4:127.0.0.1:{}"),
        ("127.0.0.1:0", "localhost:{}"),
        ("127.0.0.1:0", "dns:localhost:{}"),
        ("127.0.0.1:0", "dns:///localhost:{}"),
        ("[::1]:0", "[::1]:{}"),
        ("[::1]:0", "ipv6:[::1]:{}"),
        ("unix:", "unix:{}"),
        ("unix:", "unix://{}"),
    ],
)
async def test_every_form_of_an_address_is_taken(mesh: Mesh, listen: str, form: str, tmp_path: Path) -> None:
    card = Probe().agent("other_agent").card()
    path = tmp_path / "agent.sock"
    async with serving_card(card, f"unix:{path}" if listen == "unix:" else listen) as address:
        registered = form.format(path if listen == "unix:" else address.rpartition(":")[2])
        await mesh.registry.Register(registry_service_pb2.RegisterRequest(card=card, address=registered))
        assert await mesh.agents() == {"probe_agent", "other_agent"}


@pytest.mark.parametrize(("levels", "taken"), [(11, True), (12, False), (15, False)])
async def test_a_card_that_is_taken_can_be_listed(mesh: Mesh, levels: int, taken: bool) -> None:  # noqa: FBT001
    schema: JsonObject = {"type": "object"}
    for _ in range(levels):  # each is two levels of JSON
        schema = {"type": "object", "properties": {"inner": schema}}
    card = Probe().agent("deep_agent").card()
    card.skills[0].output_schema.CopyFrom(to_struct(schema, max_depth=40))
    async with serving_card(card) as address:
        request = registry_service_pb2.RegisterRequest(card=card, address=address)
        if taken:
            await mesh.registry.Register(request)
        else:
            refusal = await refused(mesh, request.SerializeToString(), "/agentmesh.v1.Registry/Register")
            assert refusal.reason == "CARD_INVALID"
            assert "nested deeper than 24" in refusal.message
    assert await mesh.agents() == ({"probe_agent", "deep_agent"} if taken else {"probe_agent"})


async def test_the_greatest_query_is_taken(mesh: Mesh) -> None:
    response = await mesh.orchestrator.Ask(pb.AskRequest(query="x" * 32_768))
    assert response.run_id


@pytest.mark.parametrize(
    "request_bytes",
    [b"\xff\xff\xff\xff", b"\x0a\x05ab", b"\x0a\x02\xff\xfe", b"\x0a\x01" + b"\x80" * 3, bytes(range(256))],
    ids=["garbage", "cut", "no-utf8", "broken-varint", "all-bytes"],
)
async def test_bytes_that_are_no_message_are_malformed(mesh: Mesh, request_bytes: bytes) -> None:
    refusal = await refused(mesh, request_bytes)
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_MALFORMED")


async def test_an_unknown_allowed_skill_is_refused_with_the_nearest(mesh: Mesh) -> None:
    refusal = await refused(mesh, ask(query="?", allowed_skills=["probe_agent__ecko"]))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "UNKNOWN_SKILL")
    assert "probe_agent__echo" in refusal.descriptions["allowed_skills"]


async def test_a_plan_that_nests_too_deep_is_refused_before_anything_runs(mesh: Mesh, probe: Probe) -> None:
    arguments: dict[str, object] = {}
    for _ in range(22):
        arguments = {"x": arguments}
    plan = plan_pb2.Plan(
        steps=[plan_pb2.PlanStep(id="a", skill="probe_agent__echo", arguments=to_struct(arguments))]  # type: ignore[arg-type]  # JSON all the way down
    )
    refusal = await refused(
        mesh,
        pb.ExecutePlanRequest(plan=plan, answer_format=pb.ANSWER_FORMAT_RAW).SerializeToString(),
        "/agentmesh.v1.Orchestrator/ExecutePlan",
    )
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "PLAN_INVALID")
    assert probe.calls == []


async def test_a_plan_over_its_limit_is_refused_before_anything_runs(mesh: Mesh, probe: Probe) -> None:
    steps = [
        plan_pb2.PlanStep(id=f"s{number}", skill="probe_agent__echo", arguments=to_struct({"text": "x" * 300_000}))
        for number in range(4)
    ]
    refusal = await refused(
        mesh,
        pb.ExecutePlanRequest(plan=plan_pb2.Plan(steps=steps), answer_format=pb.ANSWER_FORMAT_RAW).SerializeToString(),
        "/agentmesh.v1.Orchestrator/ExecutePlan",
    )
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_INVALID")
    assert refusal.fields == {"plan": "RULE"}
    assert probe.calls == []


async def test_text_needs_a_question_to_answer(mesh: Mesh) -> None:
    refusal = await refused(
        mesh,
        pb.ExecutePlanRequest(plan=plan_pb2.Plan()).SerializeToString(),
        "/agentmesh.v1.Orchestrator/ExecutePlan",
    )
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_INVALID")


async def test_a_run_that_nobody_knows_is_not_found(mesh: Mesh) -> None:
    refusal = await refused(
        mesh, pb.GetRunRequest(run_id="0" * 32).SerializeToString(), "/agentmesh.v1.Orchestrator/GetRun"
    )
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.NOT_FOUND, "RUN_NOT_FOUND")


async def test_a_request_over_the_limit_is_refused(mesh: Mesh) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await mesh.channel.unary_unary(ASK, bytes, bytes)(ask(query="x" * 5_000_000))
    assert caught.value.code() in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.RESOURCE_EXHAUSTED)
