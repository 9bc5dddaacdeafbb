"""What logs tell of an error is what nobody but us has written, unless content is captured."""

import inspect
import traceback

import pytest

from agentmesh import errors
from agentmesh.errors import MeshError, Violation, ViolationReason
from agentmesh.telemetry.failures import told, told_text, told_violations, traceback_of
from agentmesh.transport import from_status, to_status

MARK = "marker-5d1f"

OUR_WORDS = {
    errors.BudgetExceeded,
    errors.ReaderStalled,
    errors.Unauthenticated,
    errors.LeaseNotFound,
    errors.Unreachable,
    errors.ShuttingDown,
    errors.AddressUnreachable,
    errors.RegistryUnavailable,
    errors.NoEndpoint,
    errors.Overloaded,
    errors.CatalogEmpty,
    errors.LlmUnavailable,
    errors.LlmRefused,
    errors.DeadlineExceeded,
    errors.RunCancelled,
    errors.Internal,
}


def test_the_errors_whose_texts_are_told_are_those_that_never_quote() -> None:
    every = [one for _, one in inspect.getmembers(errors, inspect.isclass) if issubclass(one, MeshError)]
    assert {one for one in every if not one.may_quote} == OUR_WORDS


def test_the_text_of_any_other_is_withheld_and_its_reason_told() -> None:
    assert told(errors.SkillFailed(MARK)) == {"reason": "SKILL_FAILED", "error": "<withheld>"}
    assert told(errors.NoEndpoint("none is known")) == {"reason": "NO_ENDPOINT", "error": "none is known"}


def test_what_another_process_says_is_withheld_whatever_error_it_is() -> None:
    assert told(from_status(to_status(errors.NoEndpoint(MARK)), "an agent")) == {
        "reason": "NO_ENDPOINT",
        "error": "<withheld>",
    }


def test_an_exception_that_is_not_ours_is_told_by_its_type() -> None:
    assert told(TimeoutError(MARK)) == {"error": "TimeoutError"}


@pytest.mark.usefixtures("capturing")
def test_where_content_is_captured_all_texts_are_told() -> None:
    violation = Violation(f"arguments.{MARK}", ViolationReason.ARGUMENT_UNKNOWN, "no such name")
    assert told(errors.ArgumentsInvalid(MARK, violations=[violation])) == {
        "reason": "ARGUMENTS_INVALID",
        "error": MARK,
        "violations": [f"arguments.{MARK}: ARGUMENT_UNKNOWN: no such name"],
    }
    assert told(TimeoutError(MARK)) == {"error": f"TimeoutError: {MARK}"}
    assert told_text(MARK) == MARK
    assert MARK in traceback_of(ValueError(MARK))


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("", ""),
        ("query", "query"),
        ("history[3].text", "history[3].text"),
        ("steps[2].skill", "steps[2].skill"),
        ("plan.steps[2].for_each", "plan.steps[2].for_each"),
        (f"plan.steps[0].arguments.{MARK}", "plan.steps[0].arguments.*"),
        (f"arguments.{MARK}[0].query", "arguments.*"),
        (f'arguments["{MARK} and more"]', "arguments.*"),
        (f"arguments.skill{MARK}", "arguments.*"),
        (f"arguments.a.{MARK}...", "arguments.*"),
        (f"[0].{MARK}", "[0].*"),
        (MARK, "*"),
        (f"{MARK}.query", "*"),
    ],
)
def test_of_a_path_what_is_not_of_the_contract_is_left_out(path: str, shown: str) -> None:
    violation = Violation(path, ViolationReason.RULE, MARK)
    assert told_violations([violation]) == [f"{shown}: RULE"]


def test_a_text_is_withheld_and_none_is_none() -> None:
    assert (told_text(MARK), told_text("")) == ("<withheld>", "")


# --- tracebacks ---


def fail_inside() -> None:
    try:
        {"": 0}[MARK]
    except KeyError as error:
        error.add_note(MARK)
        raise RuntimeError(MARK) from error


def raised() -> RuntimeError:
    with pytest.raises(RuntimeError) as caught:
        fail_inside()
    return caught.value


def test_a_traceback_has_the_lines_of_code_of_an_exception_and_of_its_cause_and_no_texts() -> None:
    error = raised()
    shown = traceback_of(error)
    for one in (error, error.__cause__):
        assert one is not None
        assert "".join(traceback.format_tb(one.__traceback__)).rstrip() in shown
    assert shown.index("\nKeyError: <withheld>") < shown.index("\nRuntimeError: <withheld>")
    assert MARK not in shown


def test_of_a_group_each_is_shown() -> None:
    group = ExceptionGroup(MARK, [raised(), ExceptionGroup(MARK, [ValueError(MARK)])])
    shown = traceback_of(group)
    kinds = [line.partition(":")[0] for line in shown.splitlines() if line.endswith("<withheld>")]
    assert kinds == ["ExceptionGroup", "KeyError", "RuntimeError", "ExceptionGroup", "ValueError"]
    assert MARK not in shown


def test_causes_that_go_in_a_circle_end() -> None:
    one, other = ValueError(MARK), TypeError(MARK)
    one.__cause__, other.__cause__ = other, one
    assert traceback_of(one).splitlines()[-1] == "ValueError: <withheld>"
