"""Expressions inside arguments: found, resolved once, and never mistaken for text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentmesh.jsonvalues import Json, JsonObject, integral
from orchestrator_svc.core.expressions import (
    Environment,
    EvaluationFailed,
    Template,
    UnknownName,
    compile_template,
    escape,
    unwrap,
)
from tests.core.expressions.conftest import NOW, RESULTS

ENVIRONMENT = Environment(["scan", "conf"], item=True)


def _template(arguments: JsonObject) -> Template:
    template, problems = compile_template(arguments, ENVIRONMENT)
    assert problems == ()
    assert template is not None
    return template


def _resolved(text: Json) -> Json:
    return _template({"a": text}).resolve(RESULTS, NOW)["a"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${scan.count}", 2),
        ("${ scan.count }", 2),
        ("${scan.anomalies[0]}", {"component": "checkout", "score": 4.5}),
        ("${scan.note}", None),
        ("${scan.ok}", True),
        ("${conf}", {}),
        ("${{'a': {'b': scan.count}}}", {"a": {"b": 2}}),
        ("${now}", "2025-01-02T03:04:05.678Z"),
    ],
)
def test_a_string_that_is_exactly_an_expression_becomes_its_value(text: str, value: Json) -> None:
    result = _resolved(text)
    assert result == value
    assert type(result) is type(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (" ${scan.count}", " 2"),
        ("${scan.count} of ${scan.name}", "2 of nightly"),
        ("${scan.count}${scan.ok}", "2true"),
        ("rows: ${scan.anomalies}", 'rows: [{"component":"checkout","score":4.5},{"component":"cart","score":2}]'),
        ("at ${now - duration('1h')}", "at 2025-01-02T02:04:05.678Z"),
        ("${scan.anomalies.map(a, a.score)}!", "[4.5,2]!"),
    ],
)
def test_an_expression_inside_a_longer_string_is_written_into_it(text: str, value: str) -> None:
    assert _resolved(text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("$${scan.count}", "${scan.count}"),
        ("$$${scan.count}", "$${scan.count}"),
        ("a $${b} ${scan.count} $${", "a ${b} 2 ${"),
        ('${"$"}${scan.count}', "$2"),
        ("$", "$"),
        ("$$", "$$"),
        ("$5 {x} $ {y} }{", "$5 {x} $ {y} }{"),
        ("", ""),
    ],
)
def test_two_dollars_before_a_brace_are_one_and_a_brace(text: str, value: str) -> None:
    assert _resolved(text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${'}'}", "}"),
        ('${"{"}', "{"),
        ("${'\\'}'}", "'}"),
        ("${'''a'}'''}!", "a'}!"),
        ('${"""a"}\\"""" + "}"}', 'a"}"}'),
        ("${r'\\d}'}", "\\d}"),
        ('${R"\\w{" + "}"}', "\\w{}"),
        ("${r'''\\s'}'''}", "\\s'}"),
        ("${size(b'}') == 1}", True),
        ("${size(br'\\}') == 2}", True),
        ("${{'}': {'{': 1}}}", {"}": {"{": 1}}),
        ("${[scan.anomalies.map(a, {'c': a.component})][0][1].c}", "cart"),
        ("${1.0 // }\n}", 1),
        ("${'http://host/{id}'}", "http://host/{id}"),
        ("${'a'}}", "a}"),
    ],
)
def test_an_expression_ends_at_its_own_brace(text: str, value: Json) -> None:
    assert _resolved(text) == value


def test_values_at_any_depth_are_resolved_and_keys_never() -> None:
    arguments: JsonObject = {"${scan.count}": [{"deep": ["${scan.count}", 7, None, True]}], "plain": "x"}
    assert _template(arguments).resolve(RESULTS, NOW) == {
        "${scan.count}": [{"deep": [2, 7, None, True]}],
        "plain": "x",
    }
    assert arguments["plain"] == "x"


def test_what_came_out_of_an_expression_is_not_scanned_again() -> None:
    template = _template({"whole": "${scan.text}", "part": "<${scan.text}>"})
    injected: dict[str, Json] = {"scan": {"text": "${conf.secret}"}, "conf": {"secret": "s"}}
    assert template.resolve(injected, NOW) == {"whole": "${conf.secret}", "part": "<${conf.secret}>"}


def test_each_embedded_expression_is_listed_with_its_place() -> None:
    template = _template({"a": ["${scan.x}", "${conf.y}-${item.z}"], "b": {"c": "$${no}"}})
    assert [(e.path, e.expression.source, e.whole) for e in template.embedded] == [
        (("a", 0), "scan.x", True),
        (("a", 1), "conf.y", False),
        (("a", 1), "item.z", False),
    ]


def test_every_problem_is_reported_with_its_path() -> None:
    template, problems = compile_template(
        {"a": "${scna.x} ${conf.y +}", "b": [{"c": "${scan.x"}], "d": "${}", "e": "${'}", "f": "fine ${scan.x}"},
        ENVIRONMENT,
    )
    assert template is None
    assert [problem.path for problem in problems] == [("a",), ("a",), ("b", 0, "c"), ("d",), ("e",)]
    assert isinstance(problems[0].error, UnknownName)
    assert "no closing brace" in problems[2].error.message
    assert "no expression" in problems[3].error.message
    assert "no closing brace" in problems[4].error.message


@pytest.mark.parametrize("text", ["a ${scan.note}", "${scan.missing} b", "${conf.missing}"])
def test_null_inside_a_string_and_what_is_missing_are_failures(text: str) -> None:
    with pytest.raises(EvaluationFailed, match=r"^`(scan|conf)\.\w+`: "):
        _resolved(text)


def test_resolving_gives_a_new_object_each_time() -> None:
    template = _template({"list": [1], "value": "${scan.anomalies}"})
    first = template.resolve(RESULTS, NOW)
    first.clear()
    assert template.resolve(RESULTS, NOW) == {"list": [1], "value": RESULTS["scan"]["anomalies"]}  # type: ignore[call-overload,index]


def test_changing_the_arguments_later_does_not_change_the_template() -> None:
    inner: Json = ["${scan.count}"]
    template = _template({"a": inner})
    assert isinstance(inner, list)
    inner.append("more")
    assert template.resolve(RESULTS, NOW) == {"a": [2]}


def test_arguments_of_any_depth_are_no_problem() -> None:
    deep: Json = "${scan.count}"
    for _ in range(5_000):
        deep = [deep]
    resolved = _template({"a": deep}).resolve(RESULTS, NOW)["a"]
    for _ in range(5_000):
        assert isinstance(resolved, list)
        resolved = resolved[0]
    assert resolved == 2


@pytest.mark.parametrize(
    ("source", "expression"),
    [
        ("${ size(scan.a) > 0 }", "size(scan.a) > 0"),
        (" ${a}\n", "a"),
        ("a > 0", "a > 0"),
        ("  a > 0 ", "a > 0"),
        ("${a} > ${b}", "${a} > ${b}"),
        ("${{'a': 1}}", "{'a': 1}"),
        ("${a", "${a"),
        ("$${a}", "$${a}"),
        ("", ""),
    ],
)
def test_a_surrounding_dollar_brace_is_removed_when_it_is_one(source: str, expression: str) -> None:
    assert unwrap(source) == expression


JSON: st.SearchStrategy[Json] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.text(alphabet="${}x '\"\\"),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(alphabet="${}a"), inner, max_size=4),
    max_leaves=12,
)


@given(JSON)
def test_every_json_value_survives_escaping(value: Json) -> None:
    assert _resolved(escape(value)) == value


@pytest.mark.parametrize("text", ["${", "$${", "$$${x}", "$", "$$", "${HOME}", "$$$$", "a$", "${${", "$}{${'"])
def test_text_that_looks_like_an_expression_survives_escaping(text: str) -> None:
    assert _resolved(escape(text)) == text
    assert _resolved(escape(escape(text))) == escape(text)


@given(JSON)
def test_a_value_that_is_inserted_whole_arrives_unchanged(value: Json) -> None:
    assert _template({"a": "${scan}"}).resolve({"scan": value}, NOW) == {"a": integral(value)}
    assert _template({"a": "${[scan][0]}"}).resolve({"scan": value}, NOW) == {"a": integral(value)}


@given(st.text(alphabet="${}'\"\\r ab/\n", max_size=30))
def test_any_text_either_compiles_or_is_a_problem(text: str) -> None:
    template, problems = compile_template({"a": text}, ENVIRONMENT)
    assert (template is None) == bool(problems)
