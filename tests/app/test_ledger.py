"""What a run spends stays within its budget, in whatever order it is claimed, used and given back."""

from __future__ import annotations

import math

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from agentmesh.errors import BudgetExceeded, Internal, ViolationReason
from orchestrator_svc.api.responses import usage_message
from orchestrator_svc.app.ledger import AgentSpending, Ledger, RequestClaim
from orchestrator_svc.core.budget import NO_LIMITS, Budget

TOKENS, DOLLARS, COMPLETIONS, CALLS = 1000, 0.01, 1, 3
USD_A_TOKEN = DOLLARS / 900
ROUNDING = 1 + 1e-9
AMOUNTS = st.integers(0, TOKENS + 10)


class Spending(RuleBasedStateMachine):
    """Claims and what becomes of them, interleaved; what was really used is added up apart from the ledger.

    The provider charges for every request that was sent, up to all that was claimed, whether it says so or not.
    """

    open_claims = Bundle("open_claims")

    def __init__(self) -> None:
        super().__init__()
        self.ledger = Ledger(budget=Budget(COMPLETIONS, TOKENS, DOLLARS, CALLS))
        self.charged_tokens = 0
        self.at_stake = 0
        """Tokens of requests that are under way."""
        self.completions = self.calls = self.requests = 0

    @rule(target=open_claims, tokens=AMOUNTS, discount=st.sampled_from([0.0, 0.5, 1.0]))
    def claim(self, tokens: int, discount: float) -> RequestClaim:
        try:
            claim = self.ledger.claim_request(tokens, tokens * USD_A_TOKEN * discount)
        except BudgetExceeded:
            claim = RequestClaim()
        else:
            self.requests += 1
        self.at_stake += claim.tokens
        return claim

    @rule(claim=consumes(open_claims), share=st.floats(0, 1))
    def reply(self, claim: RequestClaim, share: float) -> None:
        used = int(claim.tokens * share)
        self.at_stake -= claim.tokens
        self.charged_tokens += used
        self.ledger.settle(claim, used, 0, claim.cost_usd * share)

    @rule(claim=consumes(open_claims))
    def break_off(self, claim: RequestClaim) -> None:
        self.at_stake -= claim.tokens
        self.charged_tokens += claim.tokens

    @rule(claim=consumes(open_claims))
    def refuse(self, claim: RequestClaim) -> None:
        self.at_stake -= claim.tokens
        self.ledger.release(claim)

    @rule()
    def complete(self) -> None:
        try:
            self.ledger.claim_completion()
        except BudgetExceeded:
            return
        self.completions += 1

    @rule()
    def call(self) -> None:
        try:
            self.ledger.claim_agent_call()
        except BudgetExceeded:
            return
        self.calls += 1

    @rule()
    def call_nobody(self) -> None:
        if self.calls:
            self.ledger.return_agent_call()
            self.calls -= 1

    @invariant()
    def no_limit_is_passed(self) -> None:
        assert self.charged_tokens + self.at_stake <= TOKENS
        assert self.ledger.input_tokens <= TOKENS
        assert (self.ledger.cost_usd or 0) <= DOLLARS * ROUNDING
        assert self.completions <= COMPLETIONS
        assert self.calls <= CALLS

    @invariant()
    def nothing_is_lost_or_counted_twice(self) -> None:
        assert self.ledger.tokens_left == TOKENS - self.charged_tokens - self.at_stake
        assert (self.ledger.llm_calls, self.ledger.agent_calls) == (self.completions, self.calls)
        assert self.ledger.llm_requests == self.requests


test_no_interleaving_of_claims_passes_a_budget = Spending.TestCase


def test_the_budget_of_the_caller_and_that_of_the_server_hold_both() -> None:
    caller = Budget(llm_calls=1, tokens=500, agent_calls=9)
    server = Budget(llm_calls=2, cost_usd=0.5, agent_calls=3)
    assert caller.within(server) == server.within(caller) == Budget(1, 500, 0.5, 3)
    assert caller.within(NO_LIMITS) == caller


def test_nothing_is_a_limit_too() -> None:
    assert Budget(0, 0, 0.0, 0).within(Budget(1, 1, 1.0, 1)) == Budget(0, 0, 0.0, 0)


def test_each_limit_that_is_met_is_named() -> None:
    ledger = Ledger(budget=Budget(llm_calls=0, tokens=10, cost_usd=0.001, agent_calls=1))
    ledger.claim_agent_call()
    with pytest.raises(BudgetExceeded, match=r"allows 1 agent call$") as calls:
        ledger.claim_agent_call()
    with pytest.raises(BudgetExceeded, match=r"allows 0 completions$") as completions:
        ledger.claim_completion()
    with pytest.raises(BudgetExceeded, match=r"leaves 10 of 10 tokens, .* may take 11; .* of 0.001000 USD") as request:
        ledger.claim_request(11, 0.002)
    paths = [[violation.path for violation in raised.value.violations] for raised in (calls, completions, request)]
    assert paths == [["budget.agent_calls"], ["budget.llm_calls"], ["budget.tokens", "budget.cost_usd"]]
    assert {violation.reason for violation in request.value.violations} == {ViolationReason.LIMIT}


def test_a_third_completion_is_a_bug_whatever_the_budget_allows() -> None:
    ledger = Ledger(budget=Budget(llm_calls=5))
    ledger.claim_completion()
    ledger.claim_completion()
    with pytest.raises(Internal):
        ledger.claim_completion()


def test_usage_has_what_was_reported_and_not_what_was_claimed() -> None:
    ledger = Ledger(budget=Budget(tokens=1000, cost_usd=1.0))
    ledger.settle(ledger.claim_request(400, 0.4), 100, 20, 0.12)
    ledger.claim_request(300, 0.3)
    assert (ledger.input_tokens, ledger.output_tokens, ledger.cost_usd, ledger.llm_requests) == (100, 20, 0.12, 2)
    assert ledger.tokens_left == 580
    assert ledger.cost_left_usd == pytest.approx(0.58)


def test_a_server_that_uses_more_than_was_claimed_leaves_nothing() -> None:
    ledger = Ledger(budget=Budget(tokens=100))
    ledger.settle(ledger.claim_request(50, 0.0), 90, 90, None)
    assert (ledger.tokens_left, ledger.cost_usd) == (0, None)


def test_whatever_agents_say_they_spent_a_run_can_be_shown() -> None:
    ledger = Ledger()
    for cost_usd in (math.nan, -1.0, 0.25, math.inf):
        ledger.record_agent_spending(AgentSpending(2**32 - 1, 2**64 - 1, 2**64 - 1, cost_usd))
        usage = usage_message(ledger).agents
        assert (usage.llm_calls, usage.input_tokens, usage.output_tokens) == (2**32 - 1, 2**64 - 1, 2**64 - 1)
        assert math.isfinite(usage.cost_usd)
        assert usage.cost_usd >= (0.25 if cost_usd in {0.25, math.inf} else 0)
