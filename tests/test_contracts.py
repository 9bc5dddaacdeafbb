"""What the .proto files promise as a whole: read from their descriptors."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from buf.validate import validate_pb2
from google.protobuf import descriptor

from agentmesh.v1 import agent_service_pb2, orchestrator_service_pb2, registry_service_pb2, run_event_pb2

SERVICES = [
    service
    for file in (orchestrator_service_pb2, registry_service_pb2, agent_service_pb2)
    for service in file.DESCRIPTOR.services_by_name.values()
]
METHODS = [method for service in SERVICES for method in service.methods]
STRUCTS = {"google.protobuf.Struct", "google.protobuf.Value", "google.protobuf.ListValue"}


def fields_within(kind: descriptor.Descriptor) -> Iterator[descriptor.FieldDescriptor]:
    """Every field that a message of this kind can hold, however deep; into a Struct it does not look."""
    seen, waiting = {kind.full_name}, [kind]
    while waiting:
        for field in waiting.pop().fields:
            yield field
            inner = field.message_type
            if inner is not None and inner.full_name not in seen | STRUCTS:
                seen.add(inner.full_name)
                waiting.append(inner)


def kind_of(field: descriptor.FieldDescriptor) -> str:
    return field.message_type.full_name if field.message_type is not None else ""


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.full_name.removeprefix("agentmesh.v1."))
def test_no_struct_of_a_request_is_walked_by_protovalidate(method: descriptor.MethodDescriptor) -> None:
    """It takes a second a megabyte, on the event loop, and finds nothing: a Struct has no rules."""
    walked = [
        field.full_name
        for field in fields_within(method.input_type)
        if kind_of(field) in STRUCTS
        and field.GetOptions().Extensions[validate_pb2.field].ignore != validate_pb2.IGNORE_ALWAYS
    ]
    assert walked == []


@pytest.mark.parametrize("name", ["AskStreamResponse", "WatchRunResponse"])
def test_everything_that_a_stream_of_a_run_sends_has_a_sequence_and_a_time_the_answer_too(name: str) -> None:
    message = orchestrator_service_pb2.DESCRIPTOR.message_types_by_name[name]
    assert [kind_of(field) for field in message.fields] == ["agentmesh.v1.RunEvent"]
    event = run_event_pb2.DESCRIPTOR.message_types_by_name["RunEvent"]
    assert {field.name for field in event.fields if field.containing_oneof is None} == {"sequence", "at"}
    assert kind_of(event.fields_by_name["finished"]) == "agentmesh.v1.AskResponse"
