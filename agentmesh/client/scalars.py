"""Enums, times and durations between the contract and the values of the client."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import TypeVar

from google.protobuf.descriptor import EnumDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

_Kind = TypeVar("_Kind", bound=StrEnum)


def member_of(kind: type[_Kind], declared: EnumDescriptor, number: int) -> _Kind:
    """Return the member of the same name; UNKNOWN for one that is unspecified or newer than this client."""
    value = declared.values_by_number.get(number)
    name = "" if value is None else value.name.removeprefix(prefix_of(declared))
    return kind(name) if name in kind.__members__ else kind("UNKNOWN")


def prefix_of(declared: EnumDescriptor) -> str:
    """Return what the names of an enum's values begin with, as `RUN_STATE_`."""
    return declared.values[0].name.removesuffix("UNSPECIFIED")


def moment_of(message: Timestamp) -> datetime:
    return message.ToDatetime(tzinfo=UTC)


def seconds_of(message: Duration) -> float:
    return message.ToNanoseconds() / 1e9
