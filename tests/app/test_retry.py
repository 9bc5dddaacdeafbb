"""Whether a failed attempt is followed by another, after which pause, and how often: the decision alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentmesh import errors
from agentmesh.cards import Effect
from agentmesh.deadline import HOP_MARGIN_SECONDS
from agentmesh.errors import Code, MeshError
from agentmesh.reasons import code_of
from orchestrator_svc.app.ports.agent_caller import CallFailed
from orchestrator_svc.app.retry import NoRetry, Retries, Retry, RetryBudget, RetryPolicy
from tests.app.conftest import skill

GONE = errors.Unreachable("the connection broke")


def failure(error: MeshError, *, sent: bool = True) -> CallFailed:
    return CallFailed(error, code=code_of(error), endpoint="host:1", sent=sent)


def decision(
    effect: Effect,
    failed: CallFailed,
    *,
    tries: int = 1,
    left_seconds: float = 60.0,
    policy: RetryPolicy | None = None,
    jitter: float = 0.5,
) -> Retry | NoRetry:
    retries = Retries(policy or RetryPolicy(), lambda: jitter)
    return retries.after(failed, skill("one__do", effect), tries=tries, left_seconds=left_seconds)


PASSING: dict[str, CallFailed] = {
    "unreachable": failure(GONE),
    "shutting down": failure(errors.ShuttingDown("bye")),
    "a limit of the skill": failure(errors.ResourceExhausted("three a minute")),
    "changed at this endpoint": failure(errors.SkillChanged("other")),
    "the attempt timed out": failure(errors.DeadlineExceeded("late")),
    "another make: UNAVAILABLE": failure(errors.RemoteError("busy", code=Code.UNAVAILABLE, remote_reason="BUSY")),
    "another make: ABORTED": failure(errors.RemoteError("conflict", code=Code.ABORTED)),
    "another make: with RetryInfo": failure(errors.RemoteError("x", code=Code.INTERNAL, retry_after_seconds=0.1)),
}
NEVER_LEFT: dict[str, CallFailed] = {
    "nobody listens": failure(GONE, sent=False),
}
LASTING: dict[str, CallFailed] = {
    "not found": failure(errors.NotFound("no such host")),
    "failed": failure(errors.SkillFailed("cannot")),
    "denied": failure(errors.PermissionDenied("not you")),
    "bad arguments": failure(errors.ArgumentsInvalid("no")),
    "no endpoint, after waiting for one": failure(errors.NoEndpoint("none known"), sent=False),
    "bad result": failure(errors.ResultInvalid("no number")),
    "a bug": failure(errors.Internal("incident")),
    "cancelled there": failure(errors.RunCancelled("cancelled")),
    "another make: INTERNAL": failure(errors.RemoteError("broken", code=Code.INTERNAL)),
}
REPEATABLE = [Effect.READ_ONLY, Effect.IDEMPOTENT]


@pytest.mark.parametrize("effect", REPEATABLE)
@pytest.mark.parametrize("case", [*PASSING, *NEVER_LEFT])
def test_what_may_pass_is_attempted_again_where_a_repetition_does_no_harm(effect: Effect, case: str) -> None:
    assert isinstance(decision(effect, {**PASSING, **NEVER_LEFT}[case]), Retry)


@pytest.mark.parametrize("case", PASSING)
def test_a_side_effect_that_left_us_is_never_attempted_again(case: str) -> None:
    assert decision(Effect.SIDE_EFFECT, PASSING[case]) is NoRetry.MAY_HAVE_HAPPENED


@pytest.mark.parametrize("case", NEVER_LEFT)
def test_a_side_effect_that_never_left_us_is_attempted_again(case: str) -> None:
    assert isinstance(decision(Effect.SIDE_EFFECT, NEVER_LEFT[case]), Retry)


@pytest.mark.parametrize("effect", Effect)
@pytest.mark.parametrize("case", LASTING)
def test_what_does_not_pass_by_itself_is_not_attempted_again(effect: Effect, case: str) -> None:
    assert decision(effect, LASTING[case]) is NoRetry.WOULD_FAIL_AGAIN


@pytest.mark.parametrize("most", [1, 2, 5])
def test_one_call_has_so_many_attempts_and_no_more(most: int) -> None:
    policy = RetryPolicy(max_attempts=most)
    decisions = [decision(Effect.READ_ONLY, failure(GONE), tries=tries, policy=policy) for tries in range(1, most + 2)]
    assert [isinstance(made, Retry) for made in decisions] == [True] * (most - 1) + [False] * 2
    assert decisions[-1] is NoRetry.ATTEMPTS_USED


@given(tries=st.integers(1, 40), jitter=st.floats(0, 1, exclude_max=True))
def test_a_pause_is_drawn_from_nothing_to_a_backoff_that_doubles_up_to_its_maximum(tries: int, jitter: float) -> None:
    policy = RetryPolicy(backoff_seconds=0.1, max_backoff_seconds=2)
    longest = min(2.0, 0.1 * 2 ** (tries - 1))
    assert policy.pause_seconds(tries, None, jitter) == pytest.approx(longest * jitter)


@pytest.mark.parametrize(("wanted", "pause"), [(0.01, 0.05), (0.7, 0.7), (7.0, 7.0)], ids=["shorter", "longer", "long"])
def test_a_pause_is_at_least_what_the_agent_asked_for(wanted: float, pause: float) -> None:
    busy = failure(errors.ResourceExhausted("wait", retry_after_seconds=wanted))
    assert decision(Effect.READ_ONLY, busy) == Retry(pause)


def test_a_pause_that_would_leave_no_time_for_an_attempt_is_not_made() -> None:
    for left in (0.0, 0.05, 0.05 + HOP_MARGIN_SECONDS):
        assert decision(Effect.READ_ONLY, failure(GONE), left_seconds=left) is NoRetry.NO_TIME
    assert decision(Effect.READ_ONLY, failure(GONE), left_seconds=0.06 + HOP_MARGIN_SECONDS) == Retry(0.05)


@given(
    share=st.sampled_from([0.0, 0.1, 0.2, 0.5, 1.0]),
    burst=st.integers(0, 10),
    course=st.lists(st.tuples(st.booleans(), st.integers(0, 4)), max_size=200),
)
def test_retries_never_exceed_the_share_of_first_attempts_and_the_burst(
    share: float, burst: int, course: list[tuple[bool, int]]
) -> None:
    budget, first, granted = RetryBudget(share, burst), 0, 0
    for is_first, wanted in course:
        if is_first:
            budget.add_share("an_agent")
            first += 1
        granted += sum(budget.take("an_agent") for _ in range(wanted))
        assert granted <= first * share + burst + 1e-9


def test_a_share_is_not_lost_where_there_is_no_burst() -> None:
    budget = RetryBudget(0.2, 0)
    granted = []
    for _ in range(50):
        budget.add_share("an_agent")
        granted.append(budget.take("an_agent"))
    assert granted.count(True) == 10


def test_what_lost_its_endpoint_and_may_go_to_another_costs_no_token() -> None:
    """Or an endpoint that dies with many calls would take those with it for which no token is left."""
    retries = Retries(RetryPolicy(share=0.0, burst=3), lambda: 0.5)
    read = skill("one__do", Effect.READ_ONLY)
    lost = CallFailed(GONE, code=Code.UNAVAILABLE, endpoint="host:1", sent=True, elsewhere=True)
    moved = [retries.after(lost, read, tries=1, left_seconds=60) for _ in range(100)]
    assert all(isinstance(made, Retry) for made in moved)
    others = [retries.after(failure(GONE), read, tries=1, left_seconds=60) for _ in range(5)]
    assert [isinstance(made, Retry) for made in others] == [True, True, True, False, False]
    assert retries.after(lost, read, tries=3, left_seconds=60) is NoRetry.ATTEMPTS_USED


def test_an_outage_of_one_agent_costs_the_others_no_retry() -> None:
    budget = RetryBudget(0.0, 3)
    assert [budget.take("down") for _ in range(5)] == [True, True, True, False, False]
    assert budget.take("up")
