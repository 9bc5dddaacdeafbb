"""The table of errors is total, survives the wire, fits the trailers, and reads the statuses of others."""

import asyncio
import inspect
import re
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2
from hypothesis import given
from hypothesis import strategies as st

from agentmesh import errors
from agentmesh.errors import Code, MeshError, Reason, Violation, ViolationReason
from agentmesh.reasons import TABLE, code_of, reason_of
from agentmesh.transport import from_rpc_error, from_status, open_channel, to_status
from agentmesh.transport.details import MAX_TRAILER_BYTES, STATUS_KEY, trailer_bytes
from agentmesh.v1 import agent_service_pb2 as pb
from agentmesh.v1 import agent_service_pb2_grpc as pb_grpc
from agentmesh.v1 import errors_pb2
from tests.transport.support import Context, call, served

ROOT = Path(__file__).resolve().parents[2]
CLASSES = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, MeshError)]
LEAVES = [kind for kind in CLASSES if not kind.__subclasses__()]
OWN_CODE = (errors.AllStepsFailed, errors.RemoteError)

VIOLATIONS = (
    Violation("steps[2].arguments.component", ViolationReason.ARGUMENT_MISSING, "component is required"),
    Violation("", ViolationReason.RULE, "the whole"),
)
LIMITS = (
    Violation("budget.llm_calls", ViolationReason.LIMIT, "2 of 2 are spent"),
    Violation("", ViolationReason.LIMIT, "the whole"),
)


def made(kind: type[MeshError], **extra: Any) -> MeshError:  # noqa: ANN401 - any argument of any of the classes
    common: dict[str, Any] = {
        "violations": LIMITS if TABLE[kind][0] is Code.RESOURCE_EXHAUSTED else VIOLATIONS,
        "retry_after_seconds": 1.5,
        "metadata": {"run_id": "f" * 32, "step_id": "scan"},
    }
    if issubclass(kind, OWN_CODE):
        common["code"] = Code.UNAVAILABLE
    return kind("what went wrong", **{**common, **extra})


def facts(error: MeshError) -> tuple[Any, ...]:
    return (
        type(error),
        error.message,
        error.violations,
        error.retry_after_seconds,
        dict(error.metadata),
        error.transient,
        getattr(error, "code", None),
        getattr(error, "remote_reason", None),
    )


def test_every_class_of_the_tree_has_its_code_and_reason() -> None:
    assert set(TABLE) == set(CLASSES)
    assert {reason for _, reason in TABLE.values()} == set(Reason)


def test_no_two_classes_that_are_raised_share_code_and_reason() -> None:
    entries = [TABLE[kind] for kind in LEAVES]
    assert len(entries) == len(set(entries))


def test_the_enums_of_the_library_are_those_of_the_contract() -> None:
    prefix = "ERROR_REASON_"
    assert {prefix + r for r in Reason} == set(errors_pb2.ErrorReason.keys()) - {f"{prefix}UNSPECIFIED"}
    prefix = "VIOLATION_REASON_"
    assert {prefix + r for r in ViolationReason} == set(errors_pb2.ViolationReason.keys()) - {f"{prefix}UNSPECIFIED"}
    assert {c.name: c.value for c in Code} == dict(code_pb2.Code.items())
    assert {c.name: c.value for c in Code} == {status.name: status.value[0] for status in grpc.StatusCode}


def test_each_code_is_the_one_that_the_contract_documents() -> None:
    comment_and_value = re.compile(r"  // ([A-Z_]+):[^\n]*\n(?:  //[^\n]*\n)*  ERROR_REASON_([A-Z_]+) =")
    documented = comment_and_value.findall((ROOT / "protos/agentmesh/v1/errors.proto").read_text())
    assert len(documented) > 20
    for code, reason in documented:
        assert [TABLE[kind][0].name for kind in LEAVES if TABLE[kind][1] == reason] == [code], reason


@pytest.mark.parametrize("kind", LEAVES, ids=lambda kind: kind.__name__)
async def test_the_client_gets_the_exception_that_the_handler_raised(kind: type[MeshError]) -> None:
    raised = made(kind)

    async def execute(request: pb.ExecuteRequest, context: Context) -> pb.ExecuteResponse:
        raise raised

    async with served(execute) as agent:
        with pytest.raises(kind) as caught:
            await agent.stub.Execute(call(), timeout=10)
        assert facts(caught.value) == facts(raised)
        with pytest.raises(grpc.aio.AioRpcError) as bare:
            await agent.bare_stub.Execute(call(), timeout=10)
    assert bare.value.code().name == code_of(raised).name
    assert bare.value.details() == raised.message


@pytest.mark.parametrize("code", [code for code in Code if code is not Code.OK])
@pytest.mark.parametrize("kind", OWN_CODE)
def test_an_error_with_its_own_code_keeps_it(kind: type[MeshError], code: Code) -> None:
    raised = made(kind, code=code, violations=LIMITS if code is Code.RESOURCE_EXHAUSTED else VIOLATIONS)
    assert code_of(raised) is code
    assert facts(from_status(to_status(raised), "the agent")) == facts(raised)


def test_a_remote_error_is_transient_where_its_code_or_a_delay_says_so() -> None:
    assert errors.RemoteError("x", code=Code.UNAVAILABLE).transient
    assert errors.RemoteError("x", code=Code.RESOURCE_EXHAUSTED, retry_after_seconds=1).transient
    assert not errors.RemoteError("x", code=Code.RESOURCE_EXHAUSTED).transient


def test_a_class_of_somebody_else_is_sent_as_its_nearest_ancestor() -> None:
    class OutOfStock(errors.NotFound):
        pass

    assert (code_of(OutOfStock("none left")), reason_of(OutOfStock("none left"))) == TABLE[errors.NotFound]
    assert type(from_status(to_status(OutOfStock("none left")), "the agent")) is errors.NotFound


def detail(status: status_pb2.Status, kind: type[Message]) -> Message | None:
    return next((kind.FromString(d.value) for d in status.details if d.TypeName() == kind.DESCRIPTOR.full_name), None)


@pytest.mark.parametrize("kind", LEAVES, ids=lambda kind: kind.__name__)
def test_violations_are_a_quota_failure_where_something_is_exhausted_and_else_a_bad_request(
    kind: type[MeshError],
) -> None:
    status = to_status(made(kind))
    quota = detail(status, error_details_pb2.QuotaFailure)
    bad_request = detail(status, error_details_pb2.BadRequest)
    if code_of(made(kind)) is Code.RESOURCE_EXHAUSTED:
        assert bad_request is None
        assert quota == error_details_pb2.QuotaFailure(
            violations=[{"subject": v.path, "description": v.message} for v in LIMITS]
        )
    else:
        assert quota is None
        assert bad_request == error_details_pb2.BadRequest(
            field_violations=[{"field": v.path, "description": v.message, "reason": v.reason} for v in VIOLATIONS]
        )


@given(
    code=st.sampled_from([Code.UNAVAILABLE, Code.RESOURCE_EXHAUSTED]),
    message=st.text(st.characters(), max_size=3000),
    violations=st.lists(
        st.builds(
            Violation,
            path=st.text(st.characters(), max_size=400),
            reason=st.sampled_from(ViolationReason),
            message=st.text(st.characters(), max_size=800),
        ),
        max_size=60,
    ),
    metadata=st.dictionaries(st.text(max_size=100), st.text(max_size=300), max_size=20),
    retry=st.none() | st.floats(-1, 1e12),
)
def test_whatever_an_error_holds_its_status_fits_the_trailers(
    code: Code, message: str, violations: list[Violation], metadata: dict[str, str], retry: float | None
) -> None:
    raised = errors.AllStepsFailed(
        message, code=code, violations=violations, metadata=metadata, retry_after_seconds=retry
    )
    status = to_status(raised)
    assert trailer_bytes(status) <= MAX_TRAILER_BYTES
    rebuilt = from_status(status, "the agent")
    kept = [v for v in rebuilt.violations if not re.fullmatch(r"and \d+ more", v.message)]
    left_out = sum(int(v.message.split()[1]) for v in rebuilt.violations[len(kept) :])
    assert len(kept) + left_out == len(violations)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [(errors.PlanInvalid, ViolationReason.SKILL_UNKNOWN), (errors.BudgetExceeded, ViolationReason.LIMIT)],
)
async def test_of_a_thousand_violations_as_many_arrive_as_fit_and_the_last_says_how_many_more(
    kind: type[MeshError], reason: ViolationReason
) -> None:
    many = [
        Violation(f"steps[{n}].skill", reason, "no such skill; nearest: data_agent__get_report") for n in range(1000)
    ]

    async def execute(request: pb.ExecuteRequest, context: Context) -> pb.ExecuteResponse:
        raise kind("1000 violations", violations=many)

    async with served(execute) as agent:
        with pytest.raises(kind) as caught:
            await agent.stub.Execute(call(), timeout=10)
    arrived = caught.value.violations
    assert 30 < len(arrived) < 1000
    assert list(arrived[:-1]) == many[: len(arrived) - 1]
    assert arrived[-1].message == f"and {1000 - len(arrived) + 1} more"


async def test_the_largest_status_arrives_whole_with_trailers_of_the_handler_beside_it() -> None:
    many = [Violation("p" * 300, ViolationReason.RULE, "\u20ac" * 600)] * 50

    async def execute(request: pb.ExecuteRequest, context: Context) -> pb.ExecuteResponse:
        context.set_trailing_metadata((("agentmesh-usage-bin", b"\x00" * 100),))
        raise errors.PlanInvalid("\u20ac" * 5000, violations=many)

    async with served(execute) as agent:
        with pytest.raises(errors.PlanInvalid) as caught:
            await agent.stub.Execute(call(), timeout=10)
    assert caught.value.message.endswith("...")
    assert caught.value.violations
    cause = caught.value.__cause__
    assert isinstance(cause, grpc.aio.AioRpcError)
    assert dict(cause.trailing_metadata())["agentmesh-usage-bin"] == b"\x00" * 100


def foreign(code: grpc.StatusCode, text: str, *details: Message) -> status_pb2.Status:
    status = status_pb2.Status(code=code.value[0], message=text)
    for detail in details:
        status.details.add().Pack(detail)
    return status


class ForeignAgent(pb_grpc.AgentServicer):
    """Served without our interceptor: ends every call as it is told."""

    def __init__(self, code: grpc.StatusCode, text: str, details: bytes | None) -> None:
        self._status = (code, text, ((STATUS_KEY, details),) if details is not None else ())

    async def Execute(self, request: pb.ExecuteRequest, context: Context) -> pb.ExecuteResponse:
        del request
        await context.abort(*self._status)
        raise AssertionError


async def answered(code: grpc.StatusCode, text: str, details: bytes | None = None) -> MeshError:
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    pb_grpc.add_AgentServicer_to_server(ForeignAgent(code, text, details), server)  # type: ignore[abstract]
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            await pb_grpc.AgentStub(channel).Execute(call(), timeout=10)
    except grpc.aio.AioRpcError as error:
        return from_rpc_error(error, "agent go_agent")
    finally:
        await server.stop(None)
    raise AssertionError


@pytest.mark.parametrize(
    ("code", "text", "kind", "message"),
    [
        (grpc.StatusCode.NOT_FOUND, "no such city", errors.RemoteError, "no such city"),
        (grpc.StatusCode.UNKNOWN, "", errors.RemoteError, "agent go_agent answered UNKNOWN without a message"),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "quota", errors.RemoteError, "quota"),
        (grpc.StatusCode.UNAVAILABLE, "restarting", errors.Unreachable, "agent go_agent is unavailable: restarting"),
        (
            grpc.StatusCode.CANCELLED,
            "CANCELLED",
            errors.Unreachable,
            "agent go_agent is unavailable: it dropped the call",
        ),
        (grpc.StatusCode.CANCELLED, "x", errors.RunCancelled, "agent go_agent cancelled the call"),
        (grpc.StatusCode.DEADLINE_EXCEEDED, "x", errors.DeadlineExceeded, "agent go_agent did not answer in time"),
        (
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            "grpc: received message larger than max (9 vs. 4)",
            errors.RequestInvalid,
            "the request to agent go_agent has 9 bytes, at most 4 are taken",
        ),
    ],
)
async def test_a_status_without_details_keeps_its_code_and_message(
    code: grpc.StatusCode, text: str, kind: type[MeshError], message: str
) -> None:
    error = await answered(code, text)
    assert type(error) is kind
    assert error.message == message
    if kind is not errors.RequestInvalid and text != "CANCELLED":
        assert code_of(error).name == code.name


@pytest.mark.parametrize("details", [b"\xff\xff", b"", foreign(grpc.StatusCode.ABORTED, "other").SerializeToString()])
async def test_details_that_do_not_parse_or_tell_another_code_are_left_aside(details: bytes) -> None:
    error = await answered(grpc.StatusCode.NOT_FOUND, "no such city", details)
    assert type(error) is errors.RemoteError
    assert (error.code, error.message, error.remote_reason) == (Code.NOT_FOUND, "no such city", "")


async def test_the_reason_of_another_domain_is_kept_with_violations_and_delay() -> None:
    status = foreign(
        grpc.StatusCode.FAILED_PRECONDITION,
        "sold out",
        error_details_pb2.ErrorInfo(domain="shop.example", reason="SOLD_OUT", metadata={"sku": "7"}),
        error_details_pb2.RetryInfo(retry_delay=duration_pb2.Duration(seconds=2)),
        error_details_pb2.BadRequest(field_violations=[{"field": "sku", "description": "gone", "reason": "NEWER"}]),
    )
    error = await answered(grpc.StatusCode.FAILED_PRECONDITION, "sold out", status.SerializeToString())
    assert type(error) is errors.RemoteError
    assert (error.code, error.message, error.remote_reason) == (Code.FAILED_PRECONDITION, "sold out", "SOLD_OUT")
    assert dict(error.metadata) == {"sku": "7", "remote_domain": "shop.example"}
    assert error.violations == (Violation("sku", ViolationReason.RULE, "gone"),)
    assert error.retry_after_seconds == 2
    passed_on = from_status(to_status(error), "the orchestrator")
    assert facts(passed_on) == facts(error)


async def test_limits_that_another_make_of_server_names_are_kept() -> None:
    quota = error_details_pb2.QuotaFailure(violations=[{"subject": "project:7", "description": "10 a minute"}])
    status = foreign(grpc.StatusCode.RESOURCE_EXHAUSTED, "slower", quota)
    error = await answered(grpc.StatusCode.RESOURCE_EXHAUSTED, "slower", status.SerializeToString())
    assert type(error) is errors.RemoteError
    assert error.violations == (Violation("project:7", ViolationReason.LIMIT, "10 a minute"),)
    passed_on = from_status(to_status(error), "the orchestrator")
    assert facts(passed_on) == facts(error)


async def test_an_agent_in_another_language_can_use_our_reasons() -> None:
    info = error_details_pb2.ErrorInfo(domain="agentmesh", reason="SKILL_CHANGED")
    status = foreign(grpc.StatusCode.FAILED_PRECONDITION, "other schemas", info)
    error = await answered(grpc.StatusCode.FAILED_PRECONDITION, "other schemas", status.SerializeToString())
    assert type(error) is errors.SkillChanged


@pytest.mark.parametrize("reason", ["NOT_INVENTED_YET", "SKILL_NOT_FOUND"])
async def test_a_reason_of_a_newer_version_or_with_another_code_is_kept_as_remote(reason: str) -> None:
    info = error_details_pb2.ErrorInfo(domain="agentmesh", reason=reason)
    status = foreign(grpc.StatusCode.ABORTED, "x", info)
    error = await answered(grpc.StatusCode.ABORTED, "x", status.SerializeToString())
    assert type(error) is errors.RemoteError
    assert (error.code, error.remote_reason) == (Code.ABORTED, reason)


def test_a_detail_that_does_not_parse_is_left_out() -> None:
    status = foreign(grpc.StatusCode.NOT_FOUND, "x")
    status.details.append(any_pb2.Any(type_url="type.googleapis.com/google.rpc.ErrorInfo", value=b"\xff"))
    assert type(from_status(status, "the agent")) is errors.RemoteError


@pytest.mark.parametrize("code", [0, 99, -1])
def test_a_code_that_is_none_counts_as_unknown(code: int) -> None:
    error = from_status(status_pb2.Status(code=code, message="x"), "the agent")
    assert code_of(error) is Code.UNKNOWN


async def test_a_server_that_is_not_there_is_unreachable() -> None:
    async with served() as agent:
        await agent.server.stop()
        with pytest.raises(errors.Unreachable) as caught:
            await agent.stub.Execute(call(), timeout=10)
        assert caught.value.message == "the agent is unavailable: nothing listens there"
        assert caught.value.transient


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("127.0.0.1:1", "nothing listens there"),
        ("unix:/no/such.sock", "there is no such socket"),
    ],
)
async def test_why_there_is_no_connection_is_said_in_our_words(address: str, why: str) -> None:
    async with open_channel(address, peer="the agent") as channel:
        with pytest.raises(errors.Unreachable) as caught:
            await pb_grpc.AgentStub(channel).Execute(call(), timeout=10)
    assert caught.value.message == f"the agent is unavailable: {why}"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("Socket closed", "the connection broke"),
        ("Stream removed (Socket closed)", "the connection broke"),
        ("GOAWAY received; Error code: 2; Debug Text: Cancelling all calls", "the connection broke"),
        ("failed to connect to all addresses; last error: connection attempt timed out", "it does not answer"),
        ("errors resolving x: [field:hostname lookup error:...]", "there is no such name"),
        ("Failed to create XdsClient: no bootstrap", "no connection could be made"),
        ("the database said: Connection refused", "the database said: Connection refused"),
        ("", "no reason given"),
    ],
)
def test_what_the_core_says_of_a_connection_is_not_passed_on_and_what_a_peer_says_is(text: str, why: str) -> None:
    status = status_pb2.Status(code=Code.UNAVAILABLE, message=text)
    assert from_status(status, "the agent").message == f"the agent is unavailable: {why}"


async def test_a_server_that_dies_under_a_call_is_unreachable() -> None:
    started = asyncio.Event()

    async def execute(request: pb.ExecuteRequest, context: Context) -> pb.ExecuteResponse:
        started.set()
        await asyncio.Event().wait()
        raise AssertionError

    async with served(execute) as agent:
        waiting = asyncio.ensure_future(agent.stub.Execute(call(), timeout=30))
        await started.wait()
        await agent.server.stop()
        with pytest.raises(errors.Unreachable):
            await waiting
