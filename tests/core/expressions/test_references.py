"""Which steps an expression refers to, where inside them, and under which guard."""

import pytest

from orchestrator_svc.core.expressions import Reference
from tests.core.expressions.conftest import Expressions


def _ref(step: str, *path: str | int | None, guarded: bool = False) -> Reference:
    return Reference(step, path, guarded)


@pytest.mark.parametrize(
    ("source", "references"),
    [
        ("scan", [_ref("scan")]),
        ("scan.a.b", [_ref("scan", "a", "b")]),
        ("scan.a[0].b", [_ref("scan", "a", 0, "b")]),
        ("scan.a[1u].b", [_ref("scan", "a", 1, "b")]),
        ("scan.a[1.0].b", [_ref("scan", "a", 1, "b")]),
        ('scan["a b"].c', [_ref("scan", "a b", "c")]),
        (".scan.a", [_ref("scan", "a")]),
        ("scan.a[int(conf.i)].b", [_ref("scan", "a", None), _ref("conf", "i")]),
        ("scan[conf.key][conf.other]", [_ref("scan", None), _ref("conf", "key"), _ref("conf", "other")]),
        ("scan.a + scan.a", [_ref("scan", "a"), _ref("scan", "a")]),
        ("scan.a.startsWith(conf.b)", [_ref("scan", "a"), _ref("conf", "b")]),
        ("scan.a.size()", [_ref("scan", "a")]),
        ("[scan.a, {'k': conf.b, conf.c: 1}]", [_ref("scan", "a"), _ref("conf", "b"), _ref("conf", "c")]),
        ("has(scan.a)", [_ref("scan", "a", guarded=True)]),
        ("has(scan.a.b)", [_ref("scan", "a", "b", guarded=True)]),
        ("has(scan.a) && scan.a.b", [_ref("scan", "a", guarded=True), _ref("scan", "a", "b")]),
        ("{'a': scan}.a", [_ref("scan")]),
        ("(scan.ok ? scan : conf).a", [_ref("scan", "ok"), _ref("scan"), _ref("conf")]),
        ("'scan.a conf.b' + text(now)", []),
        ("scan.a // conf.b", [_ref("scan", "a")]),
        ("scan.conf", [_ref("scan", "conf")]),
        ("{'conf': scan.a}", [_ref("scan", "a")]),
    ],
)
def test_every_occurrence_is_one_reference_with_its_path(
    plain: Expressions, source: str, references: list[Reference]
) -> None:
    expression = plain.environment.compile(source)
    assert list(expression.references) == references
    assert expression.steps == {reference.step for reference in references}


@pytest.mark.parametrize("macro", ["exists", "all", "exists_one", "map", "filter"])
def test_the_variable_of_a_comprehension_is_no_reference(plain: Expressions, macro: str) -> None:
    expression = plain.environment.compile(f"scan.rows.{macro}(row, row.score > conf.limit)")
    assert expression.references == (_ref("scan", "rows"), _ref("conf", "limit"))


def test_scopes_of_nested_comprehensions_end_where_the_comprehension_does(plain: Expressions) -> None:
    expression = plain.environment.compile("scan.a.map(x, conf.b.filter(y, y == x && has(y.k) && scan.c == y))")
    assert expression.references == (_ref("scan", "a"), _ref("conf", "b"), _ref("scan", "c"))
    assert expression.tolerates == set()


def test_a_map_with_a_condition_is_walked_completely(plain: Expressions) -> None:
    expression = plain.environment.compile("scan.a.map(x, x > conf.low, x + conf.add)")
    assert [reference.path for reference in expression.references] == [("a",), ("low",), ("add",)]


@pytest.mark.parametrize(
    ("source", "tolerated"),
    [
        ("has(conf.limit)", {"conf"}),
        ("!has(conf.limit) || conf.limit > 1.0", {"conf"}),
        ("has(scan.a) && has(conf.b)", {"scan", "conf"}),
        ("has(conf.a.b)", set()),
        ('has(conf["a"].b)', set()),
        ("conf.limit > 1.0", set()),
        ("scan.rows.exists(r, has(r.a))", set()),
        ("scan.rows.exists(r, has(conf.a))", {"conf"}),
    ],
)
def test_a_step_is_tolerated_when_has_tests_a_field_of_it_directly(
    plain: Expressions, source: str, tolerated: set[str]
) -> None:
    assert plain.environment.compile(source).tolerates == tolerated


@pytest.mark.parametrize(
    ("source", "uses"),
    [
        ("item.a", True),
        ("text(index)", True),
        ("scan.rows[int(index)]", True),
        ("scan.rows.map(item, item.a)", False),
        ("scan.rows.map(r, item.a)", True),
        ("scan.item", False),
        ("'item'", False),
    ],
)
def test_use_of_item_is_known(for_each: Expressions, source: str, uses: bool) -> None:  # noqa: FBT001 - a table
    assert for_each.environment.compile(source).uses_item is uses
