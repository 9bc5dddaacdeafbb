"""Commands about agents: the list, one agent, who comes and goes, and `register`."""

import asyncio
import json
import signal
from dataclasses import dataclass
from pathlib import Path

import pytest

from agentmesh import errors
from agentmesh.v1 import registry_service_pb2 as pb
from tests.cli import samples
from tests.cli.command import Ended, golden, in_terminal, run, start
from tests.cli.scripted_mesh import ScriptedMesh

LEASE = "0123456789abcdef" * 2
CARD = {
    "name": "data_agent",
    "version": "0.1.0",
    "skills": [{"name": "get_report", "description": "The latest.", "effect": "EFFECT_READ_ONLY"}],
}


def snapshot(*addresses: str) -> pb.WatchAgentsResponse:
    listing = samples.listing()
    agent = listing.agents[0]
    first = agent.endpoints.pop()
    for address in addresses or (first.address,):
        first.address = address
        agent.endpoints.append(first)
    return pb.WatchAgentsResponse(snapshot=listing)


REMOVED = pb.WatchAgentsResponse(removed=pb.RemovedAgent(name="data_agent", card_digest="cd" * 32))


async def test_show_has_everything_about_an_agent(mesh: ScriptedMesh) -> None:
    mesh.answer = samples.listing()
    ended = await run("agents", "show", "data_agent", "--address", mesh.address)
    assert (ended.out, ended.code, ended.err) == (golden("agents_show.txt"), 0, "")


async def test_what_show_writes_as_json_register_takes(mesh: ScriptedMesh, tmp_path: Path) -> None:
    mesh.answer = samples.listing()
    ended = await run("agents", "show", "data_agent", "--json", "--address", mesh.address)
    (agent,) = json.loads(ended.out)["agents"]
    (tmp_path / "card.json").write_text(json.dumps(agent))
    mesh.answer = pb.RegisterResponse(lease_id=LEASE)
    ended = await register(mesh, str(tmp_path / "card.json"), "--once")
    assert ended.code == 0, ended.err
    sent = mesh.requests[-1]
    assert isinstance(sent, pb.RegisterRequest)
    assert sent.card == samples.listing().agents[0].card


async def test_an_agent_that_is_not_there_is_a_mistake_and_others_are_named(mesh: ScriptedMesh) -> None:
    mesh.answer = samples.listing()
    ended = await run("agents", "show", "other_agent", "--address", mesh.address)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == "error: no agent `other_agent` is in the mesh now\nwhat to do: there are: data_agent\n"


@pytest.mark.parametrize("arguments", [["--watch", "--skills"], ["--json", "show", "data_agent"]])
async def test_options_that_say_nothing_together_are_refused(arguments: list[str]) -> None:
    assert (await run("agents", *arguments, "--address", "127.0.0.1:1")).code == 2


async def test_a_watch_in_a_pipe_writes_a_line_for_each_change(mesh: ScriptedMesh) -> None:
    changed = pb.WatchAgentsResponse(changed=snapshot("127.0.0.1:1", "127.0.0.1:2").snapshot.agents[0])
    mesh.script = [snapshot(), changed, REMOVED, errors.ShuttingDown("leaving")]
    ended = await run("agents", "--watch", "--address", mesh.address)
    digest = "cd" * 32
    assert ended.out.splitlines() == [
        f"listed   data_agent  0.1.0  {digest}  127.0.0.1:4001",
        f"changed  data_agent  0.1.0  {digest}  127.0.0.1:1 127.0.0.1:2",
        f"removed  data_agent  {digest}",
    ]
    assert (ended.code, ended.err.splitlines()[0]) == (5, "error: leaving (UNAVAILABLE, SHUTTING_DOWN)")
    assert mesh.requests == [pb.WatchAgentsRequest()]


async def test_a_watch_for_programs_writes_an_object_for_each_change_when_it_happens(mesh: ScriptedMesh) -> None:
    more = asyncio.Event()
    mesh.script = [snapshot(), more, REMOVED, asyncio.Event()]
    process = await start("agents", "--watch", "--json", "--address", mesh.address)
    assert process.stdout is not None
    first = json.loads(await process.stdout.readline())
    assert first["snapshot"]["agents"][0]["card"]["name"] == "data_agent"
    more.set()
    second = json.loads(await process.stdout.readline())
    assert second == {"removed": {"name": "data_agent", "cardDigest": "cd" * 32}}
    process.send_signal(signal.SIGINT)
    _, err = await process.communicate()
    assert (process.returncode, err) == (130, b"")
    await mesh.left.wait()


async def test_in_a_terminal_the_table_follows(mesh: ScriptedMesh) -> None:
    busy = snapshot().snapshot.agents[0].endpoints[0]
    busy.state, busy.calls_in_flight = pb.ENDPOINT_STATE_EJECTED, 7
    steps = [asyncio.Event() for _ in range(3)]
    report = pb.WatchAgentsResponse(report=pb.EndpointReport(endpoints=[busy]))
    mesh.script = [snapshot(), steps[0], report, steps[1], REMOVED, steps[2], errors.ShuttingDown("it is leaving")]
    async with in_terminal("agents", "--watch", "--address", mesh.address) as terminal:
        head, row, *_ = await terminal.until("Ctrl-C leaves")
        assert head.split() == ["agent", "version", "skills", "endpoint", "state", "heartbeat", "in", "flight"]
        assert row.split()[:5] == ["data_agent", "0.1.0", "2", "127.0.0.1:4001", "SERVING"]
        assert row.split()[-1] == "2"
        steps[0].set()
        _, row, *_ = await terminal.until("EJECTED")
        assert row.split()[-1] == "7"
        steps[1].set()
        assert "0 agents, 0 endpoints, 0 skills; Ctrl-C leaves" in await terminal.until("0 agents")
        mesh.script = [snapshot("127.0.0.1:2"), asyncio.Event()]
        steps[2].set()
        await terminal.until("it is leaving; trying again")
        await terminal.until("127.0.0.1:2")
        terminal.process.send_signal(signal.SIGINT)
        assert (await terminal.ended()).code == 130
    request = mesh.requests[0]
    assert isinstance(request, pb.WatchAgentsRequest)
    assert request.report_interval.ToMilliseconds() == 1000


async def test_what_was_never_reached_is_an_error_in_a_terminal_too() -> None:
    async with in_terminal("agents", "--watch", "--address", "127.0.0.1:1") as terminal:
        ended = await terminal.ended()
    assert ended.code == 5
    assert "nothing listens there" in ended.out


async def register(mesh: ScriptedMesh, *arguments: str, stdin: bytes = b"") -> Ended:
    card, *more = arguments
    orchestrator = ["--orchestrator", mesh.address]
    return await run("register", "--card", card, "--address", "127.0.0.1:4001", *orchestrator, *more, stdin=stdin)


def response(heartbeat_seconds: float = 5) -> pb.RegisterResponse:
    answer = pb.RegisterResponse(lease_id=LEASE)
    answer.ttl.FromSeconds(15)
    answer.heartbeat_interval.FromMilliseconds(round(heartbeat_seconds * 1000))
    return answer


async def test_register_once_shows_the_lease_and_leaves(mesh: ScriptedMesh) -> None:
    mesh.answer = response()
    ended = await register(mesh, "-", "--once", "--ttl", "15", stdin=json.dumps(CARD).encode())
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.splitlines() == [
        f"lease     {LEASE}", "address   127.0.0.1:4001", "ttl       15 s", "heartbeat every 5 s",
    ]  # fmt: skip
    (sent,) = mesh.requests
    assert isinstance(sent, pb.RegisterRequest)
    assert (sent.card.name, sent.address, sent.ttl.seconds) == ("data_agent", "127.0.0.1:4001", 15)


async def test_a_card_may_be_yaml_and_the_lease_json(mesh: ScriptedMesh, tmp_path: Path) -> None:
    mesh.answer = response()
    (tmp_path / "card.yaml").write_text(
        "name: data_agent\nversion: 0.1.0\nskills:\n"
        "- {name: get_report, description: The latest., effect: EFFECT_READ_ONLY}\n"
    )
    ended = await register(mesh, str(tmp_path / "card.yaml"), "--once", "--json")
    assert json.loads(ended.out) == {"leaseId": LEASE, "ttl": "15s", "heartbeatInterval": "5s"}


@dataclass(frozen=True)
class _Wrong:
    content: str
    said: str


@pytest.mark.parametrize(
    "wrong",
    [
        _Wrong("[]", "standard input holds no card"),
        _Wrong("{", "standard input does not parse"),
        _Wrong('{"name": "a", "colour": 1}', 'card: SHAPE: Message type "agentmesh.v1.AgentCard" has no field'),
        _Wrong('{"name": 5}', "card: SHAPE: "),
        _Wrong('{"skills": [{"input_schema": ' + '{"a":' * 200 + "1" + "}" * 200 + "}]}", "card: SHAPE: "),
    ],
    ids=lambda wrong: wrong.content[:12],
)
async def test_what_is_no_card_is_refused_before_it_is_sent(mesh: ScriptedMesh, wrong: _Wrong) -> None:
    ended = await register(mesh, "-", "--once", stdin=wrong.content.encode())
    assert (ended.code, mesh.requests) == (2, [])
    assert wrong.said in ended.err
    assert "Traceback" not in ended.err


async def test_a_refusal_is_told_with_its_reason(mesh: ScriptedMesh) -> None:
    mesh.answer = errors.AddressUnreachable("no agent answers there")
    ended = await register(mesh, "-", stdin=json.dumps(CARD).encode())
    assert (ended.code, ended.out) == (5, "")
    assert ended.err.startswith("error: no agent answers there (UNAVAILABLE, ADDRESS_UNREACHABLE)")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_register_sends_heartbeats_until_a_signal_and_then_deregisters(
    mesh: ScriptedMesh, tmp_path: Path, number: signal.Signals
) -> None:
    (tmp_path / "card.json").write_text(json.dumps(CARD))
    again = response(3600)
    again.lease_id = LEASE[::-1]
    gone, still_gone = errors.LeaseNotFound("no such lease"), errors.LeaseNotFound("still")
    mesh.answers.extend([response(0.01), pb.HeartbeatResponse(), errors.Overloaded("busy"), gone])
    mesh.answers.extend([errors.ShuttingDown("leaving"), still_gone, again])
    mesh.answer = pb.DeregisterResponse()
    process = await start(
        "register", "--card", str(tmp_path / "card.json"), "--address", "127.0.0.1:4001", "--orchestrator", mesh.address
    )
    assert process.stdout is not None
    while again.lease_id.encode() not in await process.stdout.readline():
        pass
    process.send_signal(number)
    out, err = await process.communicate()
    assert (process.returncode, out.splitlines()[-1]) == (0, b"deregistered")
    assert err.decode().splitlines() == [
        f"warning: {why}; trying again" for why in ("busy", "no such lease", "leaving", "still")
    ]
    lease = [request.lease_id for request in mesh.requests if not isinstance(request, pb.RegisterRequest)]  # type: ignore[attr-defined]
    assert lease == [*[LEASE] * 4, again.lease_id]
    assert isinstance(mesh.requests[-1], pb.DeregisterRequest)
