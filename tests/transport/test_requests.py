"""Requests that are not what they should be, sent as bytes to a real server."""

import math

import grpc
import pytest
from google.protobuf.struct_pb2 import Struct, Value

from agentmesh import errors
from agentmesh.errors import MeshError, Violation, ViolationReason
from agentmesh.transport import from_rpc_error, from_struct
from agentmesh.transport.requests import RequestReader
from agentmesh.v1 import agent_service_pb2 as pb
from agentmesh.v1 import orchestrator_service_pb2 as orchestrator
from agentmesh.v1 import plan_pb2
from tests.transport.support import Context, Options, call, served

RULE = ViolationReason.RULE


async def refusal(request: bytes, method: str = "Execute", options: Options | None = None) -> MeshError:
    """What a server answers to these bytes; none of them reaches the handler."""

    async def execute(request: pb.ExecuteRequest, context: Context) -> pb.ExecuteResponse:
        raise AssertionError(request)

    async with served(execute, **(options or {})) as agent:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await agent.send_bytes(method, request)
    return from_rpc_error(caught.value, "the agent")


@pytest.mark.parametrize(
    "request_bytes",
    [b"\xff\xff\xff\xff", b"\x0a\x05ab", b"\x0a\x02\xff\xfe", b"GET / HTTP/1.1\r\n", b"\x00"],
    ids=["garbage", "cut short", "not UTF-8", "another protocol", "field number 0"],
)
@pytest.mark.parametrize("method", ["Execute", "ExecuteStream"])
async def test_bytes_that_are_no_request_are_malformed_and_the_library_says_nothing(
    request_bytes: bytes, method: str
) -> None:
    if method == "ExecuteStream":
        request_bytes = b"\x0a" + bytes([len(request_bytes)]) + request_bytes
    error = await refusal(request_bytes, method)
    assert type(error) is errors.RequestMalformed
    assert error.message.startswith("the request does not parse: ")
    for internal in ("google", "protobuf", "DecodeError", "ExecuteRequest", "wire", "Traceback"):
        assert internal not in error.message


def nested_request(objects: int) -> pb.ExecuteRequest:
    """Made in place: a Struct that is too deep cannot even be copied."""
    request = pb.ExecuteRequest(skill="work")
    inner = request.arguments
    for _ in range(objects):
        inner = inner.fields["a"].struct_value
    inner.SetInParent()
    return request


async def test_34_nested_objects_serialize_and_are_malformed_on_arrival() -> None:
    assert type(await refusal(nested_request(34).SerializeToString())) is errors.RequestMalformed


async def test_24_nested_objects_arrive() -> None:
    async def execute(request: pb.ExecuteRequest, context: Context) -> pb.ExecuteResponse:
        return pb.ExecuteResponse(result=request.arguments)

    async with served(execute) as agent:
        answer = await agent.stub.Execute(nested_request(24), timeout=10)
    assert answer.result == nested_request(24).arguments


async def test_nan_in_arguments_arrives_as_it_is_for_the_handler_to_refuse() -> None:
    async def execute(request: pb.ExecuteRequest, context: Context) -> pb.ExecuteResponse:
        value = from_struct(request.arguments)["n"]
        assert isinstance(value, float)
        assert math.isnan(value)
        return pb.ExecuteResponse()

    async with served(execute) as agent:
        arguments = Struct(fields={"n": Value(number_value=math.nan)})
        await agent.stub.Execute(pb.ExecuteRequest(skill="work", arguments=arguments), timeout=10)


async def test_every_field_that_breaks_its_rule_is_named() -> None:
    request = pb.ExecuteRequest(skill="", run_id="r" * 129, step_id="s" * 129)
    error = await refusal(request.SerializeToString())
    assert type(error) is errors.RequestInvalid
    assert error.violations == (
        Violation("skill", RULE, "value is required"),
        Violation("run_id", RULE, "must be at most 128 bytes"),
        Violation("step_id", RULE, "must be at most 128 bytes"),
    )
    assert error.message == "skill: value is required (and 2 more)"


async def test_a_field_inside_a_message_is_named_by_its_path() -> None:
    error = await refusal(pb.ExecuteStreamRequest(call=pb.ExecuteRequest()).SerializeToString(), "ExecuteStream")
    assert error.violations == (Violation("call.skill", RULE, "value is required"),)
    assert (await refusal(b"", "ExecuteStream")).violations == (Violation("call", RULE, "value is required"),)


def reader(**not_supported: set[str]) -> RequestReader:
    table = {f"agentmesh.v1.{name}": fields for name, fields in not_supported.items()}
    return RequestReader(max_request_bytes=10_000, not_supported=table)


def test_positions_in_lists_are_part_of_the_path() -> None:
    request = orchestrator.AskRequest(
        query="?",
        history=[orchestrator.Turn(role=orchestrator.ROLE_USER, text="hello"), orchestrator.Turn(text="hello")],
        allowed_skills=["a__b", ""],
    )
    with pytest.raises(errors.RequestInvalid) as caught:
        reader().read(request.SerializeToString(), orchestrator.AskRequest.FromString)
    assert [violation.path for violation in caught.value.violations] == ["history[1].role", "allowed_skills[1]"]


def test_a_rule_of_the_whole_message_has_no_path() -> None:
    request = orchestrator.ExecutePlanRequest(plan=plan_pb2.Plan(), query="")
    with pytest.raises(errors.RequestInvalid) as caught:
        reader().read(request.SerializeToString(), orchestrator.ExecutePlanRequest.FromString)
    text = "query is required unless answer_format is ANSWER_FORMAT_RAW"
    assert Violation("", RULE, text) in caught.value.violations


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({}, []),
        ({"budget": orchestrator.Budget()}, ["ask.budget"]),
        ({"cache_mode": orchestrator.CACHE_MODE_USE}, ["ask.cache_mode"]),
        ({"keep_running": True, "budget": orchestrator.Budget(tokens=0)}, ["ask.budget", "ask.keep_running"]),
        ({"keep_running": False, "cache_mode": orchestrator.CACHE_MODE_UNSPECIFIED}, []),
    ],
)
def test_each_field_that_is_not_built_is_named_when_it_is_used_also_inside_other_messages(
    fields: dict[str, object], named: list[str]
) -> None:
    request = orchestrator.AskStreamRequest(ask=orchestrator.AskRequest(query="?", **fields))  # type: ignore[arg-type]
    gate = reader(AskRequest={"budget", "cache_mode", "keep_running"})
    if not named:
        assert gate.read(request.SerializeToString(), orchestrator.AskStreamRequest.FromString) == request
        return
    with pytest.raises(errors.FieldNotSupported) as caught:
        gate.read(request.SerializeToString(), orchestrator.AskStreamRequest.FromString)
    assert [violation.path for violation in caught.value.violations] == named
    assert {violation.reason for violation in caught.value.violations} == {ViolationReason.NOT_SUPPORTED}


def test_a_field_that_is_not_built_is_found_in_lists() -> None:
    turns = [orchestrator.Turn(role=orchestrator.ROLE_USER, text=text) for text in ("a", "b")]
    request = orchestrator.AskRequest(query="?", history=turns)
    with pytest.raises(errors.FieldNotSupported) as caught:
        reader(Turn={"text"}).read(request.SerializeToString(), orchestrator.AskRequest.FromString)
    assert [violation.path for violation in caught.value.violations] == ["history[0].text", "history[1].text"]


async def test_a_field_that_is_not_built_is_refused_on_the_wire() -> None:
    table = {"agentmesh.v1.ExecuteRequest": {"item_index"}}
    request = pb.ExecuteStreamRequest(call=pb.ExecuteRequest(skill="work", item_index=0))
    error = await refusal(request.SerializeToString(), "ExecuteStream", {"not_supported": table})
    assert type(error) is errors.FieldNotSupported
    assert [violation.path for violation in error.violations] == ["call.item_index"]


def test_a_table_that_names_what_does_not_exist_is_refused_at_start() -> None:
    with pytest.raises(ValueError, match="AskRequest has no field bugdet"):
        reader(AskRequest={"bugdet"})
    with pytest.raises(KeyError):
        reader(AksRequest={"budget"})


async def test_a_method_that_is_not_built_is_refused() -> None:
    async with served() as agent:
        with pytest.raises(errors.FieldNotSupported, match=r"agentmesh\.v1\.Agent/Describe is not supported yet"):
            await agent.stub.Describe(pb.DescribeRequest(), timeout=10)


async def test_a_method_that_the_contract_does_not_have_is_unimplemented() -> None:
    error = await refusal(b"", "Invent")
    assert type(error) is errors.RemoteError
    assert error.code is errors.Code.UNIMPLEMENTED


async def test_a_request_over_our_limit_is_refused_with_both_sizes() -> None:
    request = pb.ExecuteRequest(skill="work", step_id="s" * 2000).SerializeToString()
    error = await refusal(request, options={"max_request_bytes": 1000})
    assert type(error) is errors.RequestInvalid
    assert error.message == f"the request has {len(request)} bytes, at most 1000 are taken"


async def test_a_request_over_the_limit_of_the_core_is_refused_too() -> None:
    error = await refusal(b"x" * (9 * 1024 * 1024))
    assert type(error) is errors.RequestInvalid
    assert "9437184 bytes, at most 8388608" in error.message


async def test_a_response_over_the_limit_of_the_client_is_a_result_too_large() -> None:
    async def execute(request: pb.ExecuteRequest, context: Context) -> pb.ExecuteResponse:
        return pb.ExecuteResponse(result=Struct(fields={"a": Value(string_value="x" * 9_000_000)}))

    async with served(execute) as agent:
        with pytest.raises(errors.ResultTooLarge, match="the response of the agent has 90000"):
            await agent.stub.Execute(call(), timeout=30)
