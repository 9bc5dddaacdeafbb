"""Reading YAML, TOML and JSON: what becomes of values, and one sentence with a line for what cannot be read."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_svcs.config_agent.directory import Format
from agent_svcs.config_agent.parsing import MAX_DEPTH, Malformed, parse
from agentmesh.jsonvalues import JsonObject, check_limits

SAME: JsonObject = {"name": "a", "flag": True, "list": [1, 2.5, None], "inner": {"x": "y"}}


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("yaml", "name: a\nflag: true\nlist: [1, 2.5, null]\ninner: {x: y}\n"),
        ("json", '{"name": "a", "flag": true, "list": [1, 2.5, null], "inner": {"x": "y"}}'),
        ("yaml", '\ufeff{"name": "a", "flag": true, "list": [1, 2.5, null], "inner": {"x": "y"}}'),
    ],
)
def test_the_formats_say_the_same(kind: Format, text: str) -> None:
    assert parse(text.encode(), kind) == SAME


def test_toml_is_read() -> None:
    text = 'name = "a"\nlist = [1, 2.5]\n[inner]\nx = "y"\n[[items]]\nn = 1\n'
    assert parse(text.encode(), "toml") == {"name": "a", "list": [1, 2.5], "inner": {"x": "y"}, "items": [{"n": 1}]}


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "null\n"])
def test_an_empty_yaml_file_is_an_empty_configuration(text: str) -> None:
    assert parse(text.encode(), "yaml") == {}


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("yaml", "a: 2026-11-22", "2026-11-22"),
        ("yaml", "a: 2026-11-22T10:00:00Z", "2026-11-22T10:00:00+00:00"),
        ("toml", "a = 10:00:00", "10:00:00"),
        ("yaml", "a: .inf", "inf"),
        ("yaml", "a: .nan", "nan"),
        ("toml", "a = -inf", "-inf"),
        ("json", '{"a": NaN}', "nan"),
        ("json", '{"a": 1e999}', "inf"),
        ("yaml", f"a: {2**53}", 2**53),
        ("yaml", f"a: {2**53 + 1}", str(2**53 + 1)),
        ("json", f'{{"a": {-(2**80)}}}', str(-(2**80))),
        ("yaml", "a: !!binary aGVsbG8=", "aGVsbG8="),
        ("yaml", "a: !!set {x, y}", ["x", "y"]),
        ("json", '{"a": "\\ud83d"}', "\ufffd"),
        ("json", '{"a": "\\ud83d\\ude00"}', "\U0001f600"),
        ("yaml", "a: &x [1]\nb: *x", [1]),
        ("yaml", "base: &x {p: 1, q: 2}\na: {<<: *x, q: 3}", {"p": 1, "q": 3}),
    ],
)
def test_values_that_json_between_languages_cannot_carry_become_text(kind: Format, text: str, expected: object) -> None:
    found = parse(text.encode(), kind)["a"]
    assert (sorted(found, key=str) if isinstance(found, list) else found) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("7: a\ntrue: b\nnull: c\n2.5: d", {"7": "a", "true": "b", "null": "c", "2.5": "d"}),
        ("2026-11-22: a", {"2026-11-22": "a"}),
    ],
)
def test_keys_become_text(text: str, expected: JsonObject) -> None:
    assert parse(text.encode(), "yaml") == expected


@pytest.mark.parametrize(
    ("kind", "text", "line", "message"),
    [
        ("yaml", "a: 1\nb: [1, 2\nc: 3\n", 3, "expected"),
        ("yaml", "a: 1\n\tb: 2\n", 2, "cannot start any token"),
        ("yaml", "a: 1\nb: 2\na: 3\n", 3, "a key occurs twice"),
        ("yaml", "a: 1\n1: b\ntrue: c\n", 3, "a key occurs twice"),
        ("yaml", "a: 1\n--- \nb: 2\n", 2, "expected a single document"),
        ("yaml", "a: *missing\n", 1, "undefined alias"),
        ("yaml", "a: 1\nb: !!python/object/apply:os.system [id]\n", 2, "could not determine a constructor"),
        ("yaml", "a: !!map text\n", 1, "expected a mapping node"),
        ("yaml", "a: 2026-99-99\n", None, "does not exist"),
        ("yaml", "a: 1\nb: \x07\n", 2, "character #x0007"),
        ("yaml", "? [a, b]\n: c\n", 1, "unhashable"),
        ("yaml", "1: a\n'1': b\n", None, "the same as text"),
        ("toml", "a = 1\nb = \n", 2, "Invalid value"),
        ("toml", "a = 1\na = 2\n", 2, "Cannot overwrite a value"),
        ("toml", "a = [1", None, "Unclosed array"),
        ("json", '{"a": 1,\n "b": }', 2, "Expecting value"),
        ("json", '{"a": 1, "a": 2}', None, "a key occurs twice"),
        ("json", "", 1, "Expecting value"),
        ("json", '{"a": ' + "9" * 5000 + "}", None, "too many digits"),
        ("json", "[1]", None, "a list and no mapping"),
        ("yaml", "just text", None, "a single value and no mapping"),
    ],
)
def test_what_is_wrong_is_one_sentence_with_its_line(kind: Format, text: str, line: int | None, message: str) -> None:
    with pytest.raises(Malformed, match=message) as raised:
        parse(text.encode(), kind)
    assert raised.value.line == line
    assert "\n" not in raised.value.message


def test_bytes_that_are_no_text_are_told_with_their_line() -> None:
    with pytest.raises(Malformed, match="not UTF-8") as raised:
        parse(b"a: 1\nb: \xff\xfe\n", "yaml")
    assert raised.value.line == 2


@pytest.mark.parametrize("kind", ["yaml", "json", "toml"])
@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 1000, 60_000])
def test_deep_nesting_is_refused(kind: Format, depth: int) -> None:
    text = "[" * depth + "]" * depth
    with pytest.raises(Malformed, match=r"nested (deeper|too deeply)"):
        parse({"yaml": f"a: {text}", "json": f'{{"a": {text}}}', "toml": f"a = {text}"}[kind].encode(), kind)


def test_aliases_that_grow_without_end_are_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
    with pytest.raises(Malformed, match="grows beyond"):
        parse("\n".join(lines).encode(), "yaml")
    with pytest.raises(Malformed, match=r"nested (deeper|too deeply)"):
        parse(b"a: &a [*a]", "yaml")


@given(st.sampled_from(["yaml", "toml", "json"]), st.binary(max_size=120) | st.text(max_size=120).map(str.encode))
def test_any_bytes_are_a_configuration_that_can_be_sent_or_malformed(kind: Format, data: bytes) -> None:
    try:
        config = parse(data, kind)
    except Malformed:
        return
    assert check_limits(config) > 0


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**53), 2**53)
        | st.text()
        | st.floats(allow_nan=False, allow_infinity=False),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=10,
    )
)
def test_json_is_read_as_it_is(value: object) -> None:
    assert parse(json.dumps({"a": value}).encode(), "json") == {"a": value}
