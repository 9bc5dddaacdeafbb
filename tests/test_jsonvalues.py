"""JSON values: limits that name the place, one canonical text."""

import json
import math
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentmesh import errors
from agentmesh.jsonvalues import MAX_DEPTH, MAX_INTEGER, Json, canonical, check_limits, digest, integral

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-MAX_INTEGER, MAX_INTEGER),
    st.floats(allow_nan=False, allow_infinity=False),
    TEXT,
)
VALUES: st.SearchStrategy[Json] = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4), max_leaves=20
)


def nested(depth: int) -> Json:
    value: Json = {}
    for _ in range(depth - 1):
        value = {"a": value}
    return value


@given(VALUES)
def test_the_size_is_that_of_compact_json(value: Json) -> None:
    size = check_limits(value)
    assert size == len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())


def test_a_value_of_exactly_the_allowed_size_passes_and_one_byte_more_does_not() -> None:
    value: Json = {"a": "\u20ac" * 10}
    assert check_limits(value, max_bytes=38) == 38
    with pytest.raises(errors.ResultTooLarge, match=r"38 bytes.*at most 37.*`a` alone has 32"):
        check_limits(value, max_bytes=37)


def test_depth_24_passes_and_25_does_not() -> None:
    assert check_limits(nested(MAX_DEPTH)) > 0
    with pytest.raises(errors.ResultTooDeep, match=r"deeper than 24 at `a(\.a){23}`"):
        check_limits(nested(MAX_DEPTH + 1))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"rows": [{"at": math.nan}]}, "`rows[0].at` is nan"),
        ([1, math.inf], "`[1]` is inf"),
        ({"n": {"x y": 2**53 + 1}}, '`n["x y"]` is an integer beyond 2^53'),
        ({"n": -(2**53) - 1}, "`n` is an integer beyond 2^53"),
        ({"a": {1: 2}}, "`a` has a key of type int"),
        ({"a": (1,)}, "`a` is of type tuple"),
        (b"", "the value itself is of type bytes"),
        ({"a": "\ud800"}, "`a` has text with half of a surrogate pair"),
        ({"\ud800": 1}, "half of a surrogate pair"),
        ({"{}": {"b": object()}}, '`["{}"].b` is of type object'),
    ],
)
def test_what_json_cannot_carry_is_refused_with_its_path(value: Any, text: str) -> None:  # noqa: ANN401
    with pytest.raises(errors.ResultNotJson) as caught:
        check_limits(value)
    assert text in caught.value.message


def test_a_path_through_an_endless_key_is_cut() -> None:
    with pytest.raises(errors.ResultNotJson) as caught:
        check_limits({"k" * 100_000: math.nan})
    assert len(caught.value.message) < 300


def test_a_value_that_contains_itself_is_too_deep() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(errors.ResultTooDeep):
        check_limits(endless)


def test_a_small_object_that_unfolds_to_10_to_the_20_is_given_up_early() -> None:
    bomb: Json = [1]
    for _ in range(20):
        bomb = [bomb] * 10
    with pytest.raises(errors.ResultTooLarge):
        check_limits(bomb)
    with pytest.raises(errors.ResultTooLarge):
        check_limits(["x" * 600_000] * 1_000_000)


@given(VALUES)
def test_equal_values_have_one_canonical_text(value: Json) -> None:
    text = canonical(value)
    assert canonical(json.loads(text)) == text
    assert canonical(json.loads(json.dumps(value))) == text
    assert digest(value) == digest(json.loads(text))


def test_the_canonical_text_has_sorted_keys_no_spaces_and_integers_where_a_double_is_one() -> None:
    assert canonical({"b": [1.0, 1.5, -0.0, 2.0**53, 1e300, True], "a": "\u20ac"}) == (
        '{"a":"\u20ac","b":[1,1.5,0,9007199254740992,1e+300,true]}'.encode()
    )


def test_a_canonical_text_needs_finite_numbers() -> None:
    with pytest.raises(ValueError, match="JSON"):
        canonical([math.nan])


def test_the_digest_is_the_same_in_processes_with_other_hash_seeds() -> None:
    program = "from agentmesh.jsonvalues import digest; print(digest({k: 1.0 for k in set('qwertyuiop')}))"
    seen = {
        subprocess.run(
            [sys.executable, "-c", program], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("0", "1", "2")
    }
    assert seen == {digest(dict.fromkeys("qwertyuiop", 1)) + "\n"}


def test_integral_keeps_what_is_no_double() -> None:
    assert repr(integral({"a": [True, 1.0, 1.5, "1.0", None, 1e300]})) == "{'a': [True, 1, 1.5, '1.0', None, 1e+300]}"
