"""What does not compile, and what its author is told."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from cel_expr_python import cel

from orchestrator_svc.core.expressions import RESERVED, Environment, ExpressionInvalid, UnknownName
from tests.core.expressions.conftest import Expressions


def _refused(environment: Environment, source: str) -> ExpressionInvalid:
    with pytest.raises(ExpressionInvalid) as caught:
        environment.compile(source)
    return caught.value


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("has(scan)", "column 5: has() tests a field: write has(scan.field)"),
        ("5 + 1.0", "column 3: `+` does not take (int, double); numbers in results are doubles: write 5.0"),
        ("1 < 2.0", "write 5.0 instead of 5, or double(x)"),
        ("'a' + 1", "write text(x) to join"),
        ("now + 1", "(timestamp, int)"),
        ("scan.count % 2.0", "write int(x) % 2"),
        ("1 && true", "`&&` does not take (int, bool)"),
        ("1 ? 2 : 3", "`? :`"),
        ("scan.count +", "column 13: syntax error"),
        ("scan.count > 1.0\n  && has(conf)", "line 2, column 10"),
        ("", "syntax error, mismatched input the end"),
        ("scan.ok and conf.ok", "write `&&` instead of `and`"),
        ("not scan.ok", "write `!` instead of `not`"),
        ("scan.count = 1.0", "write `==` instead of `=`"),
        ("${scan.count}", "`${` does not belong inside an expression"),
        ("scan.in", 'write ["in"]'),
        ("scan.?count", "has(s.field)"),
        ("sise(scan)", "no function `sise`; did you mean `size`?"),
        ("scan.anomalies.join(',')", "no function `join`"),
        ("text(scan, conf)", "`text` is not called with these arguments"),
        ("'a'.field", "column 4: expression of type 'string'"),
        ("string", "the result is a type"),
        ("type(scan)", "the result is a type"),
        ("scan.map(scan, 1)", "`scan` is a step"),
        ("[1].exists(conf, true)", "`conf` is a step"),
        ("scan.map(a, a.map(b, b.map(c, c.map(d, d.map(e, e)))))", "nested more than 4 deep"),
        ("1" + " + 1" * 200, "nested too deeply"),
        ("'" + "a" * 100_001 + "'", "longer than 100000"),
        ("scan\x00", "syntax error"),
        ("'undeclared reference to' +", "syntax error"),
    ],
)
def test_the_message_says_what_where_and_what_to_write_instead(plain: Expressions, source: str, said: str) -> None:
    error = _refused(plain.environment, source)
    assert said in error.message
    assert not isinstance(error, UnknownName)
    assert len(error.message) < 300
    assert str(error) == error.message


@pytest.mark.parametrize(
    ("source", "name", "said"),
    [
        ("scna.count", "scna", "did you mean `scan`?"),
        ("scan.count + conv.limit", "conv", "did you mean `conf`?"),
        ("nothing", "nothing", "there is no step or variable `nothing`"),
        ("scan.map(a, b)", "b", "`b`"),
        ("scan.map(a, a) == a", "a", "`a`"),
        ("has(other.field)", "other", "`other`"),
        ("other.method(1)", "other", "`other`"),
        ("True", "True", "did you mean `true`?"),
        ("None", "None", "did you mean `null`?"),
        ("item.component", "item", "only in the arguments of a step with for_each"),
        ("scan.anomalies[index]", "index", "only in the arguments of a step with for_each"),
    ],
)
def test_an_unknown_name_is_told_apart_with_the_nearest_one(
    plain: Expressions, source: str, name: str, said: str
) -> None:
    error = _refused(plain.environment, source)
    assert isinstance(error, UnknownName)
    assert error.name == name
    assert said in error.message


def test_a_comprehension_may_call_its_variable_item_where_item_is_not_declared(plain: Expressions) -> None:
    expression = plain.environment.compile("scan.anomalies.map(item, item.score)")
    assert not expression.uses_item


@pytest.mark.parametrize("steps", [1, 64, 65, 1000])
def test_every_one_of_many_steps_can_be_used_and_others_are_still_unknown(steps: int) -> None:
    environment = Environment([f"step_{i}" for i in range(steps)])
    for i in range(0, steps, 97):
        assert environment.compile(f"step_{i}.a == 'step_0'").steps == {f"step_{i}"}
    assert f"did you mean `step_{steps - 1}`" in _refused(environment, f"stepp_{steps - 1}.a").message


@pytest.mark.parametrize(
    "source",
    ["'(' * 10000 + '1' + ')' * 10000", "'(' * 10000", "'[' * 10000", "'{1:' * 9000", "'scan.map(a,' * 5000",
     "'scan' + '.a' * 10000", "'scan' + '[0]' * 10000", "'true ? 1 : ' * 5000 + '1'", "'has(' * 10000",
     "'[scan].map(x, ' * 14 + 'x' + ')' * 14", "'+'.join(['1'] * 10000)"],
)  # fmt: skip
def test_nesting_of_any_depth_is_refused_and_does_not_end_the_process(source: str) -> None:
    script = (
        "from orchestrator_svc.core.expressions import Environment, ExpressionInvalid\n"
        f"try: Environment(['scan']).compile({source})\n"
        "except ExpressionInvalid as error: print(error.message)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "deep" in done.stdout


def test_wide_expressions_are_fine(plain: Expressions) -> None:
    assert plain.value(" && ".join(["scan.ok"] * 500)) is True
    assert plain.value("!" * 1000 + "scan.ok") is True


# What a name may be in an expression: itself, or called in one of these ways.
_CALLS = ("{0}()", "{0}(s)", "{0}(s, s)", "{0}(s, s, s)", "s.{0}()", "s.{0}(s)", "s.{0}(s, s)", "s.{0}(s, s, s)")


def _is_declared(engine: cel.Env, name: str) -> bool:
    """Whether the engine itself knows the name: nothing else than "undeclared" is said of it, however it is used."""
    for form in ("{0}", *_CALLS):
        try:
            engine.compile(form.format(name))
        except RuntimeError as error:
            if f"undeclared reference to '{name}'" in str(error):
                continue
        return True
    return False


def test_the_reserved_names_are_exactly_those_that_the_engine_declares_and_ours() -> None:
    engine = cel.NewEnv(variables={"s": cel.Type.DYN})
    words = set(re.findall(rb"\x00([a-z][a-zA-Z_]{1,31})(?=\x00)", Path(cel.__file__).read_bytes()))
    candidates = {word.decode() for word in words} | RESERVED
    assert len(candidates) > 900
    ours = {"item", "index", "now", "text"}
    assert {name for name in candidates if _is_declared(engine, name)} == RESERVED - ours
    assert ours < RESERVED


def test_a_reserved_step_id_spoils_no_other_expression() -> None:
    environment = Environment(["list", "size", "now", "scan"])
    assert environment.compile("size(scan) > 0 && now > timestamp('2020-01-01T00:00:00Z')").steps == {"scan"}
