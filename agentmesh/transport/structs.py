"""JSON to `google.protobuf.Struct` and back, ours because json_format takes 100 to 200 ms a megabyte.

A Struct carries every number as a double and keeps no order of keys. So integral doubles come out as integers, and
objects come out with sorted keys: equal Structs give equal text in every process (the order inside a Struct does not).
"""

from __future__ import annotations

import asyncio
import math
import sys

from google.protobuf import struct_pb2

from agentmesh import errors
from agentmesh.jsonvalues import MAX_DEPTH, MAX_INTEGER, OFF_LOOP_BYTES, Json, JsonObject, check_limits


def to_struct(value: JsonObject, *, max_depth: int = MAX_DEPTH) -> struct_pb2.Struct:
    """Convert an object.

    Raises:
        errors.ResultNotJson: For what `check_limits` refuses: NaN, infinities, integers beyond 2^53, other types.
        errors.ResultTooDeep: For nesting beyond `max_depth`; much deeper ones serialize but parse nowhere.
    """
    struct = struct_pb2.Struct()
    try:
        _fill_fields(struct, value, max_depth)
    except (TypeError, ValueError) as error:
        raise _named(value, max_depth, error) from None
    return struct


def to_value(value: Json, *, max_depth: int = MAX_DEPTH) -> struct_pb2.Value:
    """Convert anything that is JSON; errors as of `to_struct`."""
    message = struct_pb2.Value()
    try:
        _fill(message, value, max_depth)
    except (TypeError, ValueError) as error:
        raise _named(value, max_depth, error) from None
    return message


def from_struct(struct: struct_pb2.Struct) -> JsonObject:
    """Convert back. NaN and infinities, which a foreign peer may send, come out: `check_limits` finds them."""
    fields = struct.fields
    return {key: from_value(fields[key]) for key in sorted(fields)}


def from_value(value: struct_pb2.Value) -> Json:
    """Convert back; a Value of which nothing is set is None."""
    match value.WhichOneof("kind"):
        case "string_value":
            return value.string_value
        case "number_value":
            number = value.number_value
            return int(number) if number.is_integer() and -MAX_INTEGER <= number <= MAX_INTEGER else number
        case "struct_value":
            return from_struct(value.struct_value)
        case "list_value":
            return [from_value(item) for item in value.list_value.values]
        case "bool_value":
            return value.bool_value
        case _:
            return None


async def from_struct_off_loop(struct: struct_pb2.Struct) -> JsonObject:
    """As `from_struct`, in a thread if the Struct is large."""
    if struct.ByteSize() > OFF_LOOP_BYTES:
        return await asyncio.to_thread(from_struct, struct)
    return from_struct(struct)


async def to_struct_off_loop(value: JsonObject, size_bytes: int, *, max_depth: int = MAX_DEPTH) -> struct_pb2.Struct:
    """As `to_struct`, in a thread if `size_bytes` (as `check_limits` returns it) is large."""
    if size_bytes > OFF_LOOP_BYTES:
        return await asyncio.to_thread(to_struct, value, max_depth=max_depth)
    return to_struct(value, max_depth=max_depth)


def _fill_fields(struct: struct_pb2.Struct, value: JsonObject, depth_left: int) -> None:
    if depth_left <= 0:
        raise ValueError
    fields = struct.fields
    for key, member in value.items():
        _fill(fields[key], member, depth_left - 1)


def _fill(message: struct_pb2.Value, value: Json, depth_left: int) -> None:
    if isinstance(value, str):
        message.string_value = value
    elif isinstance(value, bool):
        message.bool_value = value
    elif isinstance(value, int | float):
        if not (math.isfinite(value) if isinstance(value, float) else -MAX_INTEGER <= value <= MAX_INTEGER):
            raise ValueError
        message.number_value = value
    elif isinstance(value, dict):
        struct = message.struct_value
        struct.SetInParent()  # an empty object is an object, too
        _fill_fields(struct, value, depth_left)
    elif isinstance(value, list):
        if depth_left <= 0:
            raise ValueError
        items = message.list_value
        items.SetInParent()
        for item in value:
            _fill(items.values.add(), item, depth_left - 1)
    elif value is None:
        message.null_value = struct_pb2.NULL_VALUE
    else:
        raise TypeError


def _named(value: Json, max_depth: int, error: Exception) -> Exception:
    """Say where and what: conversion is too frequent to carry paths, so the value is walked again."""
    try:
        check_limits(value, max_bytes=sys.maxsize, max_depth=max_depth)
    except errors.ResultError as named:
        return named
    return error
