"""Which model is asked next and after which pause: bounded, whatever fails."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentmesh.errors import LlmRefused, LlmUnavailable
from orchestrator_svc.adapters.llm_attempts import Attempts, Failure, Kind

DOWN = Failure(Kind.TRANSIENT, "down")
GONE = Failure(Kind.REFUSED, "gone")
PLENTY = 60.0


def asked(models: str, max_attempts: int, failure: Failure = DOWN) -> str:
    """The models that are asked, in order, if every request fails so."""
    attempts = Attempts(list(models), max_attempts, lambda: 0.0)
    order = ""
    try:
        while True:
            order += attempts.model
            attempts.after(failure, PLENTY)
    except (LlmUnavailable, LlmRefused):
        return order


@pytest.mark.parametrize(
    ("models", "max_attempts", "order"),
    [
        ("a", 1, "a"),
        ("a", 3, "aaa"),
        ("ab", 3, "aab"),
        ("ab", 4, "aabb"),
        ("abc", 3, "abc"),
        ("abc", 5, "aabbc"),
        ("abc", 2, "ab"),
    ],
)
def test_attempts_are_shared_between_the_models(models: str, max_attempts: int, order: str) -> None:
    assert asked(models, max_attempts) == order


def test_a_model_that_refuses_is_asked_once() -> None:
    assert asked("abc", 9, GONE) == "abc"


def test_pauses_double_up_to_a_limit_and_are_spread() -> None:
    early, late = Attempts(["a"], 10, lambda: 0.0), Attempts(["a"], 10, lambda: 1.0)
    assert [early.after(DOWN, PLENTY) for _ in range(6)] == [0.25, 0.5, 1.0, 2.0, 2.0, 2.0]
    assert [late.after(DOWN, PLENTY) for _ in range(6)] == [0.5, 1.0, 2.0, 4.0, 4.0, 4.0]


def test_the_next_model_starts_without_a_pause() -> None:
    attempts = Attempts(["a", "b"], 4, lambda: 0.0)
    assert [attempts.after(DOWN, PLENTY) for _ in range(3)] == [0.25, 0.0, 0.25]


def test_no_pause_ends_behind_the_deadline() -> None:
    with pytest.raises(LlmUnavailable):
        Attempts(["a"], 9, lambda: 0.0).after(DOWN, 0.2)


@pytest.mark.parametrize(("pause", "model", "waited"), [(5.0, "a", 5.0), (5.1, "b", 0.0)], ids=["short", "long"])
def test_a_provider_is_waited_for_only_as_long_as_another_model_is_not_better(
    pause: float, model: str, waited: float
) -> None:
    attempts = Attempts(["a", "b"], 4, lambda: 0.0)
    assert attempts.after(Failure(Kind.TRANSIENT, "limited", retry_after_seconds=pause), PLENTY) == waited
    assert attempts.model == model


FAILURES = st.builds(Failure, st.sampled_from(Kind), st.just("why"), retry_after_seconds=st.none() | st.floats(0, 100))


@given(st.integers(1, 5), st.integers(1, 8), st.lists(FAILURES, min_size=8, max_size=8), st.floats(0, 60))
def test_no_more_requests_than_allowed_and_no_pause_beyond_the_time(
    models: int, max_attempts: int, failures: list[Failure], remaining: float
) -> None:
    names = [f"m{number}" for number in range(models)]
    attempts = Attempts(names, max_attempts, lambda: 0.5)
    order = []
    for failure in failures:
        order.append(attempts.model)
        try:
            pause = attempts.after(failure, remaining)
        except (LlmUnavailable, LlmRefused):
            break
        assert 0 <= pause < remaining
    assert len(order) <= max_attempts
    assert list(dict.fromkeys(order)) == names[: len(set(order))]
