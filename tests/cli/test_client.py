"""The typed client, in both forms: what goes out, what comes back, what is raised."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from datetime import timedelta
from enum import StrEnum
from typing import Any, TypeAlias

import pytest
from google.protobuf.descriptor import EnumDescriptor
from google.rpc import code_pb2

from agentmesh import client as api
from agentmesh import errors
from agentmesh.client import (
    AsyncMeshClient,
    Budget,
    CacheMode,
    Effect,
    MeshClient,
    Role,
    RunOutcome,
    StepOutcome,
    StepReason,
    Turn,
)
from agentmesh.client.plans import plan_message
from agentmesh.client.wire_json import message_json
from agentmesh.deadline import Deadline, current_deadline
from agentmesh.errors import Code, Violation, ViolationReason
from agentmesh.plan_messages import plan_to_json
from agentmesh.transport.status import to_status
from agentmesh.v1 import card_pb2, plan_pb2, registry_service_pb2, run_pb2
from agentmesh.v1 import orchestrator_service_pb2 as pb
from tests.cli import samples
from tests.cli.command import run
from tests.cli.scripted_mesh import ScriptedMesh

Call: TypeAlias = Callable[..., Awaitable[Any]]


async def _call_async(address: str, method: str, *arguments: object, **options: object) -> Any:  # noqa: ANN401
    async with AsyncMeshClient(address) as client:
        return await getattr(client, method)(*arguments, **options)


async def _call_sync(address: str, method: str, *arguments: object, **options: object) -> Any:  # noqa: ANN401
    def call() -> object:
        with MeshClient(address) as client:
            return getattr(client, method)(*arguments, **options)

    return await asyncio.to_thread(call)


@pytest.fixture(params=[_call_async, _call_sync], ids=["async", "sync"])
def call(request: pytest.FixtureRequest) -> Call:
    chosen: Call = request.param
    return chosen


async def test_ask_sends_every_argument_and_gives_a_frozen_answer(mesh: ScriptedMesh, call: Call) -> None:
    mesh.answer = samples.full_answer()
    answer = await call(
        mesh.address,
        "ask",
        "What is wrong?",
        history=[Turn(Role.USER, "Hello"), Turn(Role.ASSISTANT, "Hello!")],
        raw=True,
        allowed_skills=["a__b"],
        max_effect=Effect.SIDE_EFFECT,
        include_results=True,
        conversation_id="talk",
        request_id="once",
        budget=Budget(llm_calls=2, tokens=5000, cost_usd=0.25, agent_calls=0),
        cache_mode=CacheMode.REFRESH,
        keep_running=True,
        timeout_seconds=20,
    )
    assert mesh.requests == [
        pb.AskRequest(
            query="What is wrong?",
            history=[pb.Turn(role=pb.ROLE_USER, text="Hello"), pb.Turn(role=pb.ROLE_ASSISTANT, text="Hello!")],
            answer_format=pb.ANSWER_FORMAT_RAW,
            allowed_skills=["a__b"],
            max_effect=card_pb2.EFFECT_SIDE_EFFECT,
            include_results=True,
            conversation_id="talk",
            request_id="once",
            budget=pb.Budget(llm_calls=2, tokens=5000, cost_usd=0.25, agent_calls=0),
            cache_mode=pb.CACHE_MODE_REFRESH,
            keep_running=True,
        )
    ]
    assert answer.outcome is RunOutcome.PARTIAL
    assert answer.text.startswith("Two things")
    assert answer.plan == samples.PLAN
    scan, conf, each, mail = answer.steps
    assert scan.result == {"anomalies": [{"component": "checkout", "score": 4}], "count": 1}
    assert isinstance(scan.result["count"], int)
    assert (scan.seconds, scan.started_at, scan.ended_at - scan.started_at) == (
        0.12,
        samples.BEGAN,
        timedelta(milliseconds=120),
    )
    assert (conf.reason, conf.code, conf.agent_reason) == (StepReason.AGENT_ERROR, Code.NOT_FOUND, "NOT_FOUND")
    assert [item.outcome for item in each.items] == [StepOutcome.SUCCEEDED, StepOutcome.TIMED_OUT]
    assert each.items[0].result == {"cpu": 0.5}
    assert (mail.started_at, mail.seconds, mail.because_of) == (None, None, ("conf",))
    assert answer.usage.cost_usd == pytest.approx(0.00124)
    assert answer.timings.overhead == pytest.approx(0.0042)
    with pytest.raises(AttributeError):
        answer.text = "other"


async def test_a_cost_that_is_not_known_is_none(mesh: ScriptedMesh, call: Call) -> None:
    mesh.answer = samples.offline_answer()
    assert (await call(mesh.address, "ask", "q")).usage.cost_usd is None


async def test_plan_gives_the_plan_and_runs_nothing(mesh: ScriptedMesh, call: Call) -> None:
    mesh.answer = samples.routed()
    routed = await call(
        mesh.address,
        "plan",
        "q",
        history=[Turn(Role.USER, "Hello")],
        allowed_skills=["a__b"],
        max_effect=Effect.READ_ONLY,
        cache_mode=CacheMode.BYPASS,
    )
    assert mesh.requests == [
        pb.PlanRequest(
            query="q",
            history=[pb.Turn(role=pb.ROLE_USER, text="Hello")],
            allowed_skills=["a__b"],
            max_effect=card_pb2.EFFECT_READ_ONLY,
            cache_mode=pb.CACHE_MODE_BYPASS,
        )
    ]
    assert routed.plan == samples.PLAN
    assert (routed.mode, routed.planner, routed.usage.llm_calls) == (api.Mode.SEQUENTIAL, "some-model", 1)


async def test_what_plan_gives_execute_plan_takes(mesh: ScriptedMesh, call: Call) -> None:
    mesh.answer = samples.routed()
    plan = (await call(mesh.address, "plan", "q")).plan
    mesh.answer = pb.ExecutePlanResponse(result=samples.raw_answer())
    answer = await call(mesh.address, "execute_plan", plan, query="q", include_results=True)
    assert answer.steps[0].result == {"cpu_percent": 12, "load": [0.5, 1], "name": "host"}
    assert mesh.requests[1] == pb.ExecutePlanRequest(
        plan=samples.routed().plan, query="q", answer_format=pb.ANSWER_FORMAT_TEXT, include_results=True
    )


async def test_a_plan_takes_the_options_of_a_question(mesh: ScriptedMesh, call: Call) -> None:
    mesh.answer = pb.ExecutePlanResponse(result=samples.raw_answer())
    options = {"conversation_id": "talk", "request_id": "once", "budget": Budget(agent_calls=3), "keep_running": True}
    await call(mesh.address, "execute_plan", {"steps": []}, raw=True, **options)
    assert mesh.requests == [
        pb.ExecutePlanRequest(
            plan=plan_pb2.Plan(),
            answer_format=pb.ANSWER_FORMAT_RAW,
            conversation_id="talk",
            request_id="once",
            budget=pb.Budget(agent_calls=3),
            keep_running=True,
        )
    ]


@pytest.mark.parametrize(
    ("method", "argument", "options", "field"),
    [
        ("ask", "q", {"budget": Budget(llm_calls=-1)}, "budget.llm_calls"),
        ("ask", "q", {"budget": Budget(agent_calls=2**32)}, "budget.agent_calls"),
        ("ask", "q", {"request_id": "\udcff"}, "request_id"),
        ("get_run", samples.RUN_ID, {"item_index": -1}, "item_index"),
        ("watch_run", samples.RUN_ID, {"after_sequence": -1}, "after_sequence"),
    ],
    ids=lambda value: value if isinstance(value, str) and "." in value else "",
)
async def test_what_no_message_carries_is_refused_and_named(
    mesh: ScriptedMesh, call: Call, *, method: str, argument: str, options: dict[str, Any], field: str
) -> None:
    with pytest.raises(errors.RequestInvalid, match=field) as caught:
        await call(mesh.address, method, argument, **options)
    assert [violation.path for violation in caught.value.violations] == [field]
    assert mesh.requests == []


async def test_a_token_that_metadata_cannot_carry_is_refused_and_not_repeated(mesh: ScriptedMesh) -> None:
    for client in (AsyncMeshClient, MeshClient):
        for token in ("secret\n", "se cret", "s\u00e9cret"):
            with pytest.raises(errors.RequestInvalid, match="token: must be printable") as caught:
                client(mesh.address, token=token)
            assert token not in str(caught.value.violations)


async def test_every_call_carries_the_token_of_the_caller(mesh: ScriptedMesh) -> None:
    mesh.answer = samples.offline_answer()
    async with AsyncMeshClient(mesh.address, token="correct-horse") as client:
        await client.ask("q")
        assert [type(event) async for event in client.ask_stream("q")] == [api.Finished]
        assert [type(event) async for event in client.watch_run(samples.RUN_ID)] == [api.Finished]

    def ask() -> None:
        with MeshClient(mesh.address, token="correct-horse") as client:
            client.ask("q")
            list(client.ask_stream("q"))
            list(client.watch_run(samples.RUN_ID))

    await asyncio.to_thread(ask)
    assert mesh.authorizations == ["Bearer correct-horse"] * 6


async def test_an_option_that_does_not_exist_is_no_silence(mesh: ScriptedMesh, call: Call) -> None:
    for method in ("ask", "ask_stream"):
        with pytest.raises(TypeError, match="keep_runing"):
            await call(mesh.address, method, "q", keep_runing=True)
    assert mesh.requests == []


async def test_a_plan_of_the_wrong_shape_is_refused_before_it_is_sent(mesh: ScriptedMesh, call: Call) -> None:
    with pytest.raises(errors.PlanInvalid) as caught:
        await call(mesh.address, "execute_plan", {"steps": [{"id": 1}]}, raw=True)
    assert [violation.path for violation in caught.value.violations] == ["steps[0].id"]
    assert mesh.requests == []


async def test_get_run_gives_the_run_and_what_went_wrong(mesh: ScriptedMesh, call: Call) -> None:
    error = errors.AllStepsFailed("nothing worked", code=Code.NOT_FOUND, metadata={"run_id": samples.RUN_ID})
    mesh.answer = pb.GetRunResponse(
        run=run_pb2.Run(
            run_id=samples.RUN_ID,
            state=run_pb2.RUN_STATE_FAILED,
            query="q",
            conversation_id="talk",
            error=to_status(error),
        )
    )
    record = await call(mesh.address, "get_run", samples.RUN_ID, step_id="a", item_index=0)
    assert mesh.requests == [pb.GetRunRequest(run_id=samples.RUN_ID, step_id="a", item_index=0)]
    assert record.state is api.RunState.FAILED
    assert isinstance(record.error, errors.AllStepsFailed)
    assert (record.error.message, record.error.code) == ("nothing worked", Code.NOT_FOUND)
    assert (record.answer, record.started_at, record.conversation_id) == (None, None, "talk")
    assert message_json(record.wire)["error"] == {
        "code": code_pb2.NOT_FOUND,
        "message": "nothing worked",
        "details": [
            {
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": "ALL_STEPS_FAILED",
                "domain": "agentmesh",
                "metadata": {"run_id": samples.RUN_ID},
            }
        ],
    }


@pytest.mark.parametrize(
    ("message", "state"), [(run_pb2.RUN_STATE_CANCELLED, "CANCELLED"), (run_pb2.RUN_STATE_FINISHED, "FINISHED")]
)
async def test_cancel_run_says_how_the_run_ended(
    mesh: ScriptedMesh, call: Call, message: run_pb2.RunState.ValueType, state: str
) -> None:
    mesh.answer = pb.CancelRunResponse(state=message)
    assert await call(mesh.address, "cancel_run", samples.RUN_ID) is api.RunState(state)
    assert mesh.requests == [pb.CancelRunRequest(run_id=samples.RUN_ID)]


async def test_an_answer_says_that_it_is_a_stored_one(mesh: ScriptedMesh, call: Call) -> None:
    mesh.answer = samples.offline_answer()
    mesh.answer.replayed = True
    assert (await call(mesh.address, "ask", "q", request_id="once")).replayed


async def test_list_agents_gives_agents_skills_and_endpoints(mesh: ScriptedMesh, call: Call) -> None:
    mesh.answer = samples.listing()
    listing = await call(mesh.address, "list_agents")
    (agent,) = listing.agents
    assert [skill.id for skill in agent.skills] == ["data_agent__get_report", "data_agent__list_entities"]
    assert agent.skills[0].effect is Effect.READ_ONLY
    assert agent.endpoints[0].last_heartbeat_at == samples.BEGAN + timedelta(seconds=5)


async def test_an_error_is_raised_as_what_the_orchestrator_raised(mesh: ScriptedMesh, call: Call) -> None:
    violation = Violation("steps[0]", ViolationReason.CYCLE, "a -> a")
    mesh.answer = errors.PlanInvalid("no", violations=[violation], metadata={"run_id": samples.RUN_ID})
    with pytest.raises(errors.PlanInvalid) as caught:
        await call(mesh.address, "ask", "q")
    assert caught.value.violations == (violation,)
    assert caught.value.metadata == {"run_id": samples.RUN_ID}


async def test_an_orchestrator_that_is_not_there_is_unreachable(call: Call) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{bound.getsockname()[1]}"
        with pytest.raises(errors.Unreachable, match=f"the orchestrator at {address}"):
            await call(address, "ask", "q", timeout_seconds=20)


async def test_a_timeout_is_raised_and_ends_the_work_in_the_mesh(mesh: ScriptedMesh, call: Call) -> None:
    mesh.answer = None
    with pytest.raises(errors.DeadlineExceeded):
        await call(mesh.address, "ask", "q", timeout_seconds=0.2)
    await mesh.left.wait()


async def test_a_client_inside_a_call_does_not_outlive_it(mesh: ScriptedMesh, call: Call) -> None:
    mesh.answer = None
    current_deadline.set(Deadline.after(0.3))
    with pytest.raises(errors.DeadlineExceeded):
        await call(mesh.address, "ask", "q", timeout_seconds=50)
    await mesh.left.wait()
    current_deadline.set(Deadline.after(0))
    with pytest.raises(errors.DeadlineExceeded, match="no time was left"):
        await call(mesh.address, "ask", "q")
    assert len(mesh.requests) == 1


async def test_a_cancelled_task_ends_the_work_in_the_mesh(mesh: ScriptedMesh) -> None:
    mesh.answer = None
    async with AsyncMeshClient(mesh.address) as client:
        task = asyncio.create_task(client.ask("q"))
        await mesh.asked.wait()
        task.cancel()
        await mesh.left.wait()
        with pytest.raises(asyncio.CancelledError):
            await task


@pytest.mark.parametrize("target", ["127.0.0.1:{}", "localhost:{}", "ipv4:127.0.0.1:{}", "dns:///localhost:{}"])
async def test_a_proxy_of_the_environment_is_not_asked_for_this_machine(mesh: ScriptedMesh, target: str) -> None:
    mesh.answer = samples.listing()
    address = target.format(mesh.address.rpartition(":")[2])
    ended = await run("agents", "--address", address, environment={"no_proxy": "", "NO_PROXY": ""})
    assert (ended.code, ended.err) == (0, "")


async def test_a_large_answer_arrives_whole(mesh: ScriptedMesh, call: Call) -> None:
    answer = samples.raw_answer()
    answer.steps[0].result["rows"] = [{"n": n, "text": "x" * 50} for n in range(20_000)]
    mesh.answer = answer
    steps = (await call(mesh.address, "ask", "q", raw=True)).steps
    assert steps[0].result["rows"][19_999] == {"n": 19_999, "text": "x" * 50}


@pytest.mark.parametrize(
    ("ours", "contract"),
    [
        (api.EndpointState, registry_service_pb2.EndpointState.DESCRIPTOR),
        (api.Mode, plan_pb2.Mode.DESCRIPTOR),
        (api.PlanSource, plan_pb2.PlanSource.DESCRIPTOR),
        (api.RunOutcome, run_pb2.RunOutcome.DESCRIPTOR),
        (api.RunState, run_pb2.RunState.DESCRIPTOR),
        (api.AnswerSource, run_pb2.AnswerSource.DESCRIPTOR),
        (api.StepOutcome, run_pb2.StepOutcome.DESCRIPTOR),
        (api.StepReason, run_pb2.StepReason.DESCRIPTOR),
        (api.Role, pb.Role.DESCRIPTOR),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_an_enum_has_every_value_of_the_contract(ours: type[StrEnum], contract: EnumDescriptor) -> None:
    prefix = contract.values[0].name.removesuffix("UNSPECIFIED")
    assert {member.name for member in ours} - {"UNKNOWN"} == {
        value.name.removeprefix(prefix) for value in contract.values[1:]
    }


async def test_a_value_of_a_later_version_is_unknown_and_no_error(mesh: ScriptedMesh, call: Call) -> None:
    answer = samples.offline_answer()
    for field in ("mode", "outcome", "answer_source", "plan_source"):
        setattr(answer, field, 99)
    answer.steps[0].outcome = answer.steps[0].reason = answer.steps[0].code = 99  # type: ignore[assignment]
    mesh.answer = answer
    read = await call(mesh.address, "ask", "q")
    assert {read.mode, read.outcome, read.answer_source, read.plan_source} == {"UNKNOWN"}
    assert (read.steps[0].outcome, read.steps[0].reason, read.steps[0].code) == ("UNKNOWN", "UNKNOWN", Code.UNKNOWN)
    assert message_json(read.wire)["mode"] == 99


def test_a_plan_survives_the_way_there_and_back() -> None:
    assert plan_to_json(plan_message(samples.PLAN)) == samples.PLAN
    assert plan_to_json(plan_message({"steps": []})) == {"steps": []}
