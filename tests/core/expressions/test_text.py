"""How a value is written inside a longer string, by interpolation and by text() alike."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentmesh.jsonvalues import Json
from orchestrator_svc.core.expressions import Environment, EvaluationFailed, format_text
from tests.core.expressions.conftest import NOW
from tests.core.expressions.test_template import JSON

WRITTEN = [
    ("as it is \n", "as it is \n"),
    ("", ""),
    (True, "true"),
    (False, "false"),
    (12345678, "12345678"),
    (12345678.0, "12345678"),
    (2**53, "9007199254740992"),
    (float(2**53), "9007199254740992"),
    (-(2**53), "-9007199254740992"),
    (0.1, "0.1"),
    (-0.0, "0"),
    (1.5e-7, "1.5e-7"),
    (1e21, "1e21"),
    (1.25e300, "1.25e300"),
    (2.0**53 + 2, "9007199254740994"),
    (1e16, "1e16"),
    ([1.0, "a", None, True], '[1,"a",null,true]'),
    ({"b": 1, "a": {"é": 0.5}}, '{"a":{"é":0.5},"b":1}'),
    ([], "[]"),
    ({}, "{}"),
]


@pytest.mark.parametrize(("value", "text"), WRITTEN)
def test_values_are_written_as_the_table_says(value: Json, text: str) -> None:
    assert format_text(value) == text


@pytest.mark.parametrize(("value", "text"), WRITTEN)
def test_text_writes_the_same_as_interpolation(value: Json, text: str) -> None:
    assert Environment(["s"]).compile("text(s)").evaluate({"s": value}, NOW) == text


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("text(1)", "1"),
        ("text(2u)", "2"),
        ("text(now)", "2025-01-02T03:04:05.678Z"),
        ("text(duration('90s'))", "90s"),
        ("text([1, 2u, 3.5, now])", '[1,2,3.5,"2025-01-02T03:04:05.678Z"]'),
    ],
)
def test_text_takes_every_type_that_has_a_text(source: str, text: str) -> None:
    assert Environment([]).compile(source).evaluate({}, NOW) == text


@pytest.mark.parametrize("source", ["text(null)", "text(b'a')", "text({1: 2})", "text(9007199254740993)"])
def test_text_of_null_and_of_what_json_cannot_carry_fails(source: str) -> None:
    with pytest.raises(EvaluationFailed):
        Environment([]).compile(source).evaluate({}, NOW)


@pytest.mark.parametrize("value", [None, math.inf, math.nan, 2**53 + 1, [math.inf]])
def test_null_and_numbers_that_json_cannot_carry_have_no_text(value: Json) -> None:
    with pytest.raises(EvaluationFailed):
        format_text(value)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_the_text_of_a_number_reads_back_as_the_same_number_and_is_no_longer_than_json(number: float) -> None:
    text = format_text(number)
    assert json.loads(text) == number
    assert len(text) <= len(json.dumps(number))


@given(JSON)
def test_the_text_of_anything_but_a_string_or_null_is_json_for_it(value: Json) -> None:
    if value is None:
        return
    assert format_text(value) == value if isinstance(value, str) else json.loads(format_text(value)) == value
