"""JSON through a google.protobuf.Struct and back."""

import asyncio
import math
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from google.protobuf.struct_pb2 import Struct, Value
from hypothesis import given
from hypothesis import strategies as st

from agentmesh import errors
from agentmesh.jsonvalues import Json, JsonObject, check_limits, integral
from agentmesh.transport import (
    from_struct,
    from_struct_off_loop,
    from_value,
    to_struct,
    to_struct_off_loop,
    to_value,
)
from tests.test_jsonvalues import TEXT, VALUES, nested

OBJECTS = st.dictionaries(TEXT, VALUES, max_size=5)


@given(OBJECTS)
def test_an_object_survives_the_wire_but_for_integral_doubles(value: JsonObject) -> None:
    struct = Struct.FromString(to_struct(value).SerializeToString())
    assert from_struct(struct) == integral(value)
    assert from_struct(to_struct(from_struct(struct))) == from_struct(struct)


@given(OBJECTS)
def test_it_reads_what_the_library_reads(value: JsonObject) -> None:
    assert from_struct(to_struct(value)) == MessageToDict(to_struct(value))


@given(VALUES)
def test_any_value_survives(value: Json) -> None:
    assert from_value(to_value(value)) == integral(value)


def test_numbers_come_out_as_integers_where_they_are_and_booleans_stay_booleans() -> None:
    value = from_struct(to_struct({"n": 60.0, "i": 60, "x": 0.5, "t": True, "big": 2.0**60}))
    assert {key: type(member) for key, member in value.items()} == {
        "n": int,
        "i": int,
        "x": float,
        "t": bool,
        "big": float,
    }


def test_keys_come_out_sorted_so_that_the_text_is_the_same_in_every_process() -> None:
    assert list(from_struct(to_struct(dict.fromkeys("zxcvbnmasdf")))) == sorted("zxcvbnmasdf")


def test_empty_objects_and_lists_stay_what_they_are() -> None:
    value: JsonObject = {"o": {}, "l": [], "deep": [{}, []]}
    assert from_struct(to_struct(value)) == value


def test_a_value_of_which_nothing_is_set_is_null() -> None:
    assert from_value(Value()) is None


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_number_that_json_does_not_have_is_refused_with_its_path(number: float) -> None:
    with pytest.raises(errors.ResultNotJson, match=r"`rows\[1\]\.at` is "):
        to_struct({"rows": [1, {"at": number}]})
    with pytest.raises(errors.ResultNotJson):
        to_value(number)


@pytest.mark.parametrize(
    "value", [{"a": 2**53 + 1}, {"a": {1: 2}}, {"a": b"x"}, {"a": (1,)}, {"a": "\ud800"}, {"\ud800": 1}, {1: 1}]
)
def test_what_is_no_json_is_refused(value: Any) -> None:  # noqa: ANN401
    with pytest.raises(errors.ResultNotJson):
        to_struct(value)


def test_depth_24_passes_and_parses_again_and_25_is_refused() -> None:
    deep = nested(24)
    assert isinstance(deep, dict)
    assert from_struct(Struct.FromString(to_struct(deep).SerializeToString())) == deep
    with pytest.raises(errors.ResultTooDeep):
        to_struct({"a": deep})
    assert to_struct({"a": deep}, max_depth=25)
    lists: Json = []
    for _ in range(24):
        lists = [lists]
    with pytest.raises(errors.ResultTooDeep):
        to_value(lists)


def test_nan_from_a_foreign_peer_comes_out_and_the_limits_find_it() -> None:
    struct = Struct()
    struct.fields["at"].number_value = math.nan
    value = from_struct(struct)
    with pytest.raises(errors.ResultNotJson, match="`at` is nan"):
        check_limits(value)


@pytest.mark.parametrize("rows", [1, 20_000])
async def test_large_values_are_converted_beside_the_event_loop_with_the_same_result(rows: int) -> None:
    value: JsonObject = {"rows": [{"at": n, "x": n / 3} for n in range(rows)]}
    size = check_limits(value)
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    other = asyncio.create_task(others())
    struct = await to_struct_off_loop(value, size)
    assert await from_struct_off_loop(struct) == value
    assert (turns > 0) == (rows > 1)
    other.cancel()
