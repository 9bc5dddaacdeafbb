"""What an expression results in, and when it fails."""

import subprocess
import sys
from datetime import timedelta, timezone

import pytest

from agentmesh.jsonvalues import Json
from orchestrator_svc.core.expressions import Environment
from tests.core.expressions.conftest import NOW, RESULTS, Expressions


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("scan.anomalies[0].component", "checkout"),
        ('scan["Exchange Rate"]', 1.25),
        ("scan.anomalies[1.0].score", 2),
        ("scan.anomalies[int(scan.count) - 1].component", "cart"),
        ("size(scan.anomalies) > 0", True),
        ("scan.count > 1", True),
        ("scan.count * 1.5", 3),
        ("scan.anomalies.exists(a, a.score > 4.0)", True),
        ("scan.anomalies.exists_one(a, a.score > 4.0)", True),
        ("scan.anomalies.all(a, has(a.score))", True),
        ("scan.anomalies.map(a, a.component)", ["checkout", "cart"]),
        ("scan.anomalies.filter(a, a.score > 4.0)", [{"component": "checkout", "score": 4.5}]),
        ("scan.ok ? scan.name : 'none'", "nightly"),
        ("[scan.count, {'a': conf}]", [2, {"a": {}}]),
        ("scan.note", None),
        ("scan.note == null", True),
        ("conf", {}),
        ("scan.anomalies[0]", {"component": "checkout", "score": 4.5}),
        (".scan.count", 2),
        ("type(scan.name) == string", True),
        ("'é' + scan.name // joined", "énightly"),
    ],
)
def test_an_expression_reads_results_and_gives_json(plain: Expressions, source: str, value: Json) -> None:
    result = plain.value(source)
    assert result == value
    assert type(result) is type(value)


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("now", "2025-01-02T03:04:05.678Z"),
        ("now - duration('24h')", "2025-01-01T03:04:05.678Z"),
        ("timestamp('2025-01-01T12:00:00+02:00')", "2025-01-01T10:00:00Z"),
        ("duration('3500ms')", "3.5s"),
        ("duration('2m')", "120s"),
        ("duration('-250ms')", "-0.25s"),
        ("now.getFullYear()", 2025),
    ],
)
def test_times_are_rfc_3339_in_utc_and_durations_are_seconds(plain: Expressions, source: str, value: Json) -> None:
    assert plain.value(source) == value


def test_now_in_another_time_zone_is_the_same_moment() -> None:
    local = NOW.astimezone(timezone(timedelta(hours=5)))
    assert Environment([]).compile("now").evaluate({}, local) == "2025-01-02T03:04:05.678Z"


def test_item_and_index_are_the_element_and_its_position(for_each: Expressions) -> None:
    assert for_each.value("item.component + text(index)") == "cart3"


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("size(scan) > 0", "bool"), ("1", "number"), ("1u", "number"), ("scan.count + 1.0", "number"),
        ("text(scan)", "string"), ("[scan]", "list"), ("scan.anomalies.map(a, a)", "list"), ("{'a': 1}", "map"),
        ("null", "null"), ("now", "timestamp"), ("duration('1s')", "duration"), ("b'a'", "bytes"), ("scan", "dyn"),
        ("scan.count", "dyn"),
    ],
)  # fmt: skip
def test_the_kind_of_result_is_known_before_unless_it_comes_from_a_step(
    plain: Expressions, source: str, kind: str
) -> None:
    assert plain.environment.compile(source).kind == kind


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("scan.missing", 'there is no field "missing"'),
        ("conf.missing > 1.0", 'there is no field "missing"'),
        ("scan.anomalies[7]", "index=7 size=2"),
        ("scan.anomalies[-1]", "index=-1 size=2"),
        ("scan.anomalies[0.5]", "expected integer type"),
        ("scan.anomalies.component", "no object"),
        ("has(scan.anomalies.component)", "no object"),
        ("has(scan.note.field)", "no object"),
        ("scan.ok && scan.count", "compare first"),
        ("scan.name ? 1 : 2", "compare first"),
        ("5 * scan.count", "write 5.0 instead of 5, or double(x)"),
        ("'n' + scan.count", "write text(x)"),
        ("size(scan.count)", "`size` does not take (double)"),
        ("matches(scan.name, '(')", "invalid regular expression"),
        ("timestamp('yesterday')", "Timestamp"),
        ("1 / 0", "divide by zero"),
        ("1.0 / 0.0", "inf"),
        ("0.0 / 0.0", "nan"),
        ("9007199254740993", "2^53"),
        ("[9007199254740993]", "2^53"),
        ("{1: 2}", "keys in JSON are strings"),
        ("b'a'", "bytes"),
        ("[type(scan)]", "JSON cannot carry"),
    ],
)
def test_an_error_of_the_engine_and_what_json_cannot_carry_are_failures_with_a_text(
    plain: Expressions, source: str, said: str
) -> None:
    message = plain.failure(source)
    assert said in message
    assert message.startswith(f"`{source}`: ")


def test_an_absent_step_is_an_empty_object_that_has_answers_false_for(plain: Expressions) -> None:
    assert plain.value("has(conf.limit) ? conf.limit : 'none'") == "none"
    assert plain.value("has(conf.limit) ? conf.limit : 'none'", conf={"limit": 7}) == 7


@pytest.mark.parametrize("source", ["other.count", "other.count > 1.0"])
def test_a_step_without_any_value_is_a_failure_not_a_crash(source: str) -> None:
    assert "no value for `other`" in Expressions(Environment(["other"])).failure(source)


def test_only_the_parts_that_are_mentioned_are_looked_at(plain: Expressions) -> None:
    results: dict[str, Json] = {"scan": {"count": 2, "huge": 10**400}, "conf": 10**400}
    assert plain.environment.compile("scan.count > 1.0").evaluate(results, NOW) is True
    assert "too large" in plain.failure("scan.huge > 1.0", **results)


@pytest.mark.parametrize("source", ["scan", "scan.anomalies", "scan.anomalies.filter(a, true)"])
def test_a_result_is_a_copy(plain: Expressions, source: str) -> None:
    result = plain.value(source)
    assert isinstance(result, dict | list)
    result.clear()
    assert plain.value(source) != result


def test_half_of_a_surrogate_pair_is_a_failure_not_a_crash(plain: Expressions) -> None:
    plain.failure("scan.name + '!'", scan={"name": "\ud800"})


def test_deep_values_are_a_failure_not_a_crash(plain: Expressions) -> None:
    deep: Json = 1
    for _ in range(100_000):
        deep = [deep]
    assert "too deep" in plain.failure("scan == 1.0", scan=deep)
    assert "too deep" in plain.failure("scan", scan=deep)


def test_the_iteration_budget_stops_nested_comprehensions(plain: Expressions) -> None:
    rows: Json = [1] * 1000
    message = plain.failure("scan.map(a, scan.exists(b, scan.exists(c, a + b + c < 0.0)))", scan=rows)
    assert "too many iterations" in message


def _doubling(levels: int) -> str:
    variables = "abcd"[:levels]
    body = "+".join([variables[-1]] * 16)
    for outer, inner in zip(reversed(variables[:-1]), reversed(variables[1:]), strict=True):
        body = f"[{'+'.join([outer] * 16)}].map({inner}, {body})"
    return f"[scan.name].map(a, {body})"


@pytest.mark.parametrize(
    "source",
    [
        _doubling(4),
        "scan.rows.map(r, scan)",
        "scan.rows.map(r, scan.name + 'x')",
        "scan.rows.all(r, scan == scan)",
        "scan.rows.all(r, !scan.name.matches('(x+x+)+y'))",
        "[" + ",".join(["text(scan)"] * 100) + "]",
    ],
)
def test_what_could_take_gigabytes_or_minutes_in_few_iterations_is_refused(plain: Expressions, source: str) -> None:
    large: Json = {"name": "x" * 500_000, "rows": [1] * 1000}
    assert "more than 64 MiB" in plain.failure(source, scan=large)


def test_map_and_filter_take_two_thousand_elements_and_tests_nine_thousand(plain: Expressions) -> None:
    rows: list[Json] = [1] * 9000
    assert plain.value("scan.exists(r, r < 0.0)", scan=rows) is False
    assert "more than 64 MiB" in plain.failure("size(scan.map(r, r))", scan=rows)
    assert "more than 64 MiB" in plain.failure("size(scan.filter(r, false))", scan=rows)
    assert plain.value("size(scan.map(r, r))", scan=rows[:2000]) == 2000


@pytest.mark.parametrize(
    "source",
    [
        _doubling(2),
        "size(scan.rows.filter(r, r.id > 10.0 && r.name != scan.name)) == 1489",
        "size(scan.rows.map(r, r.name + ': ' + text(r.id) + ' of ' + text(scan.total))) == 1500",
        "size(scan.few.map(f, scan.rows.filter(r, r.id == f))) == 1",
    ],
)
def test_ordinary_work_on_a_large_result_is_not_refused(plain: Expressions, source: str) -> None:
    rows: Json = [{"id": i, "name": f"component {i}", "labels": ["a" * 50, "b" * 50]} for i in range(1500)]
    assert plain.value(source, scan={"rows": rows, "name": "x", "total": 1500, "few": [7]})


def test_the_same_text_comes_out_under_every_hash_seed() -> None:
    script = (
        "from tests.core.expressions.conftest import RESULTS, NOW\n"
        "from orchestrator_svc.core.expressions import Environment\n"
        "e = Environment(['scan', 'conf'])\n"
        "for source in ['scan', 'text(scan)', '[scan, {\"b\": 1, \"a\": conf}]']:\n"
        "    x = e.compile(source)\n"
        "    print(repr(x.evaluate(RESULTS, NOW)), x.references, sorted(x.steps))\n"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={"PYTHONHASHSEED": str(seed)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in range(3)
    }
    assert len(outputs) == 1
    assert "nightly" in outputs.pop()


def test_an_expression_may_be_evaluated_again_with_other_results(plain: Expressions) -> None:
    expression = plain.environment.compile("scan.count + 1.0")
    assert [expression.evaluate({"scan": {"count": n}}, NOW) for n in (1, 2)] == [2, 3]
    assert expression.evaluate(RESULTS, NOW) == 3
