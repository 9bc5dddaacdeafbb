"""Settings from a mapping: typed, all problems at once, each with the name of its variable."""

import math

import pytest

from agentmesh.env import Environment, EnvironmentInvalid


def test_what_is_not_set_or_set_to_nothing_has_its_default() -> None:
    env = Environment({"A": "", "B": "  "})
    for name in ("A", "B", "C"):
        assert env.text(name, "x") == "x"
        assert env.text(name) == ""
        assert env.flag(name, default=True) is True
        assert env.number(name, 1.5) == 1.5
        assert env.integer(name, 7) == 7
        assert env.choice(name, "info", ["info", "debug"]) == "info"
    env.check()


def test_values_are_read_by_their_type_without_white_space() -> None:
    env = Environment({"T": " x y ", "F": "Yes", "G": "off", "N": " 2.5 ", "I": "-3", "C": "DEBUG"})
    assert env.text("T") == "x y"
    assert env.flag("F") is True
    assert env.flag("G", default=True) is False
    assert env.number("N", 0, at_least=2.5, at_most=2.5) == 2.5
    assert env.integer("I", 0) == -3
    assert env.choice("C", "info", ["info", "debug"]) == "debug"
    env.check()


def test_every_problem_is_reported_at_once_with_the_name_of_its_variable() -> None:
    env = Environment(
        {
            "F": "maybe",
            "N": "ten",
            "NAN": "nan",
            "INF": "inf",
            "LOW": "0",
            "HIGH": "11",
            "I": "1.5",
            "C": "loud",
            "O": "x",
        }
    )
    assert env.flag("F") is False
    assert env.number("N", 1.0) == 1.0
    assert env.number("NAN", 1.0) == 1.0
    assert env.number("INF", 1.0) == 1.0
    assert env.number("LOW", 5, at_least=1) == 5
    assert env.integer("HIGH", 5, at_most=10) == 5
    assert env.integer("I", 5) == 5
    assert env.choice("C", "info", ["info", "debug"]) == "info"
    env.problem("O", "is no address")
    with pytest.raises(EnvironmentInvalid) as caught:
        env.check()
    assert caught.value.problems == (
        "F: 'maybe' is neither 1 nor 0",
        "N: 'ten' is no number",
        "NAN: 'nan' is no number",
        "INF: 'inf' is no number",
        "LOW: 0 is less than 1",
        "HIGH: 11 is more than 10",
        "I: '1.5' is no whole number",
        "C: 'loud' is none of info, debug",
        "O: is no address",
    )
    assert str(caught.value) == "; ".join(caught.value.problems)


def test_a_limit_may_be_open() -> None:
    assert Environment({"N": "1e300"}).number("N", 0, at_least=-math.inf) == 1e300
