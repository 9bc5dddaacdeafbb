"""What the contract has and this server does not is refused when it is used, and never ignored."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
import grpc.aio
import pytest
from google.protobuf import descriptor, json_format, message
from google.protobuf.descriptor import FieldDescriptor

from agentmesh.v1 import agent_service_pb2, card_pb2, orchestrator_service_pb2, plan_pb2, registry_service_pb2
from orchestrator_svc.api.requests import NOT_SUPPORTED
from tests.e2e.errors import refusal_of
from tests.e2e.mesh import Mesh

FILES = (orchestrator_service_pb2, registry_service_pb2, agent_service_pb2)

RUNS = {"conversation_id", "request_id", "budget", "keep_running"}

WORKS = {
    "Orchestrator/Ask": {
        "query",
        "history",
        "answer_format",
        "allowed_skills",
        "max_effect",
        "include_results",
        "cache_mode",
        *RUNS,
    },
    "Orchestrator/AskStream": {"ask"},
    "Orchestrator/Plan": {"query", "history", "allowed_skills", "max_effect", "cache_mode"},
    "Orchestrator/ExecutePlan": {"plan", "query", "answer_format", "max_effect", "include_results", *RUNS},
    "Orchestrator/GetRun": {"run_id", "step_id", "item_index"},
    "Orchestrator/ListRuns": {
        "page_size",
        "page_token",
        "state",
        "outcome",
        "started_after",
        "started_before",
        "conversation_id",
    },
    "Orchestrator/WatchRun": {"run_id", "after_sequence"},
    "Orchestrator/CancelRun": {"run_id"},
    "Registry/Register": {"card", "address", "ttl"},
    "Registry/Heartbeat": {"lease_id"},
    "Registry/Deregister": {"lease_id"},
    "Registry/ListAgents": {"page_size", "page_token"},
    "Registry/WatchAgents": set[str](),
    "Agent/Describe": set[str](),
    "Agent/Execute": {
        "skill",
        "arguments",
        "run_id",
        "step_id",
        "item_index",
        "attempt",
        "idempotency_key",
        "skill_digest",
    },
    "Agent/ExecuteStream": {"call"},
}
"""Every rpc that is built, and the fields of its request that do something; each has tests of its own."""

VALID: dict[str, message.Message] = {
    "Ask": orchestrator_service_pb2.AskRequest(query="?"),
    "Plan": orchestrator_service_pb2.PlanRequest(query="?"),
    "ExecutePlan": orchestrator_service_pb2.ExecutePlanRequest(
        plan=plan_pb2.Plan(), answer_format=orchestrator_service_pb2.ANSWER_FORMAT_RAW
    ),
}


def methods() -> Iterator[descriptor.MethodDescriptor]:
    for file in FILES:
        for service in file.DESCRIPTOR.services_by_name.values():
            yield from service.methods


def short(method: descriptor.MethodDescriptor) -> str:
    return f"{method.containing_service.name}/{method.name}"


def refused_fields() -> list[tuple[str, str]]:
    return [
        (short(method), field)
        for method in methods()
        if short(method) in WORKS
        for field in NOT_SUPPORTED.get(method.input_type.full_name, ())
    ]


def request_of(method: descriptor.MethodDescriptor) -> message.Message:
    kind = VALID.get(method.name)
    return kind or message_class(method.input_type)()


def message_class(kind: descriptor.Descriptor) -> type[message.Message]:
    for file in FILES:
        if hasattr(file, kind.name):
            found: type[message.Message] = getattr(file, kind.name)
            return found
    raise LookupError(kind.full_name)


def with_field(request: message.Message, name: str) -> message.Message:
    """The request with the field set to something valid that is not its default."""
    field = request.DESCRIPTOR.fields_by_name[name]
    value: object
    if field.message_type is not None:
        value = {}
    elif field.enum_type is not None:
        value = field.enum_type.values[1].name
    elif field.type == FieldDescriptor.TYPE_BOOL:
        value = True
    elif field.type == FieldDescriptor.TYPE_STRING:
        value = "something"
    else:
        value = 1
    changed = type(request)()
    changed.CopyFrom(request)
    json_format.ParseDict({name: value}, changed)
    return changed


async def call(mesh: Mesh, method: descriptor.MethodDescriptor, request: message.Message) -> grpc.aio.AioRpcError:
    path = f"/{method.containing_service.full_name}/{method.name}"
    if method.server_streaming:
        stream = mesh.channel.unary_stream(path, type(request).SerializeToString, bytes)(request)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await anext(aiter(stream))
    else:
        unary = mesh.channel.unary_unary(path, type(request).SerializeToString, bytes)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await unary(request)
    return caught.value


def test_every_request_field_either_does_something_or_is_refused() -> None:
    for method in methods():
        if short(method) in WORKS:
            declared = {field.name for field in method.input_type.fields}
            refused = set(NOT_SUPPORTED.get(method.input_type.full_name, ()))
            assert declared == WORKS[short(method)] | refused, short(method)
            assert not WORKS[short(method)] & refused


async def test_a_field_that_is_not_built_is_named(mesh: Mesh) -> None:
    for rpc, field in refused_fields():
        method = next(method for method in methods() if short(method) == rpc)
        refusal = refusal_of(await call(mesh, method, with_field(request_of(method), field)))
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNIMPLEMENTED, "FIELD_NOT_SUPPORTED")
        assert refusal.fields == {field: "NOT_SUPPORTED"}


async def test_an_rpc_that_is_not_built_says_so(mesh: Mesh) -> None:
    for method in methods():
        if short(method) in WORKS or method.containing_service.name == "Agent":
            continue
        refusal = refusal_of(await call(mesh, method, request_of(method)))
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNIMPLEMENTED, "FIELD_NOT_SUPPORTED")
        assert method.name in refusal.message


async def test_an_effect_of_a_later_version_is_refused(mesh: Mesh) -> None:
    request = orchestrator_service_pb2.AskRequest(query="?")
    request.max_effect = 17  # type: ignore[assignment]  # a later version's
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await mesh.orchestrator.Ask(request)
    assert refusal_of(caught.value).fields == {"max_effect": "RULE"}
    assert card_pb2.EFFECT_SIDE_EFFECT == 3
