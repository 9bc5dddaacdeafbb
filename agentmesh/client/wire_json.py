"""Messages of the contract as JSON for people and scripts: the protobuf JSON mapping, with four differences.

Every field without presence is there, also with its default, so that scripts need no fallbacks; 64-bit integers and
integral numbers of a Struct are integers; a plan is in the plan language; keys inside a Struct are sorted. Equal
messages give equal text.
"""

from __future__ import annotations

from typing import cast

from google.protobuf import json_format, struct_pb2
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import error_details_pb2, status_pb2

from agentmesh.jsonvalues import Json, JsonObject
from agentmesh.plan_messages import plan_to_json
from agentmesh.transport.structs import from_struct, from_value
from agentmesh.v1.plan_pb2 import Plan

_DETAILS = error_details_pb2.DESCRIPTOR
"""Held so that the import stays: json_format finds the types of a Status's details only if they are loaded."""


def message_json(message: Message) -> JsonObject:
    """Return the JSON form of a message."""
    return {
        field.json_name: _field(cast("FieldDescriptor", field), getattr(message, field.name))
        for field in message.DESCRIPTOR.fields
        if not field.has_presence or message.HasField(field.name)
    }


def _field(field: FieldDescriptor, value: object) -> Json:
    if field.is_repeated:
        return [_single(field, element) for element in cast("list[object]", value)]
    return _single(field, value)


def _single(field: FieldDescriptor, value: object) -> Json:
    match value:
        case Plan():
            return plan_to_json(value)
        case struct_pb2.Struct():
            return from_struct(value)
        case struct_pb2.Value():
            return from_value(value)
        case Timestamp() | Duration():
            return value.ToJsonString()
        case status_pb2.Status():
            return cast("JsonObject", json_format.MessageToDict(value))
        case Message():
            return message_json(value)
        case int() if field.enum_type is not None:
            known = field.enum_type.values_by_number.get(value)
            return value if known is None else known.name
        case bool() | int() | float() | str():
            return value
        case _:
            raise TypeError(f"{field.full_name} is of a type that the contract does not use")
