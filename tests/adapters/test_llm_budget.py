"""What a budget of tokens or dollars does to the requests for a completion, counted where they arrive.

The greedy server charges for every request it takes up all that the request lets it: a token for each byte of data and
for each two of instructions and tools, and as long a reply as the limit allows.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentmesh.errors import BudgetExceeded, LlmRefused, LlmUnavailable
from orchestrator_svc.adapters.llm_budget import most_prompt_tokens
from orchestrator_svc.adapters.llm_settings import LlmSettings
from orchestrator_svc.adapters.pricing import Price, Tokens, cost_usd
from orchestrator_svc.adapters.prompts import CUT_NOTE
from orchestrator_svc.app.ports.synthesizer import Restart
from orchestrator_svc.core.budget import Budget
from tests.adapters.llm import asking, prices
from tests.fakes.llm_replies import Completion, Fails, Hangs, Reply, Streams, calls, says
from tests.fakes.scripted_llm import LlmRequest, ScriptedLlm

GOOD = calls(("watch__scan", {}))
WHOLE = says("All is well.")
HALF = Streams(("All ", "is "))
CHEAP = prices(model_a=(1, 10))
FRAME = 20
"""Tokens that are claimed for what stands between the parts of a request."""
PARAMETERS = ("max_tokens", "max_completion_tokens")


def limit_of(request: LlmRequest) -> int | None:
    (limit,) = [request.body[name] for name in PARAMETERS if name in request.body] or [None]
    assert limit is None or isinstance(limit, int)
    return limit


def prompt_of(request: LlmRequest) -> int:
    """The most tokens that its prompt may have, by its bytes."""
    system, *data = request.messages
    rest = {name: value for name, value in request.body.items() if name not in (*PARAMETERS, "messages", "tools")}
    tools = {"tools": request.body["tools"]} if request.routes else {}
    return size_of(data) + size_of(rest) + (size_of(system) + size_of(tools) + 1) // 2


def size_of(value: object) -> int:
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())


def most_of(request: LlmRequest) -> Tokens:
    """The most that it may use."""
    return Tokens(prompt_of(request), limit_of(request) or 0)


def paths(error: BudgetExceeded) -> list[str]:
    return [violation.path for violation in error.violations]


# ---- what is sent


@pytest.mark.parametrize("budget", [Budget(), Budget(llm_calls=2, agent_calls=3)], ids=["none", "of calls"])
async def test_a_budget_without_tokens_and_cost_changes_nothing_in_the_requests(
    llm: ScriptedLlm, budget: Budget
) -> None:
    llm.to_route(GOOD)
    llm.to_write(WHOLE)
    async with asking(llm.base_url, budget=budget) as mesh:
        await mesh.route()
        await mesh.go_on_to_write()
    assert [limit_of(request) for request in llm.requests] == [None, None]


async def test_the_reply_is_limited_to_what_the_prompt_leaves(llm: ScriptedLlm) -> None:
    llm.to_route(GOOD)
    async with asking(llm.base_url, budget=Budget(tokens=6000)) as mesh:
        await mesh.route()
    (request,) = llm.requests
    assert prompt_of(request) <= 6000 - (limit_of(request) or 0) <= prompt_of(request) + FRAME


async def test_the_reply_is_limited_to_what_is_left_of_the_dollars(llm: ScriptedLlm) -> None:
    llm.to_route(GOOD)
    async with asking(llm.base_url, budget=Budget(tokens=1_000_000, cost_usd=0.02), prices=CHEAP) as mesh:
        await mesh.route()
    (request,) = llm.requests
    cost = cost_usd(most_of(request), CHEAP["model-a"])
    assert cost is not None
    unused = FRAME * 1 + 2 * 10  # dollars for a million; two tokens of the reply are lost to rounding
    assert 0.02 - unused / 1_000_000 < cost <= 0.02


async def test_a_large_budget_leaves_the_reply_a_cap_that_models_accept(llm: ScriptedLlm) -> None:
    llm.to_route(GOOD, GOOD)
    async with asking(llm.base_url, budget=Budget(tokens=1_000_000)) as mesh:
        await mesh.route()
    async with asking(llm.base_url, budget=Budget(cost_usd=5.0), prices=prices(model_a=(0, 0))) as mesh:
        await mesh.route()
    assert [limit_of(request) for request in llm.requests] == [8192, 8192]


@pytest.mark.parametrize("dollars", [1e300, 1e308, math.inf])
async def test_more_dollars_than_a_number_can_count_are_a_large_budget(llm: ScriptedLlm, dollars: float) -> None:
    llm.to_route(GOOD)
    async with asking(llm.base_url, prices=CHEAP, budget=Budget(cost_usd=dollars)) as mesh:
        await mesh.route()
    assert limit_of(llm.requests[0]) == 8192


@pytest.mark.parametrize("data", ["8" * 3000, "é" * 1500, "漢" * 1000], ids=["digits", "accents", "Han"])
async def test_a_byte_of_data_may_be_a_token(llm: ScriptedLlm, data: str) -> None:
    llm.to_route(GOOD, GOOD)
    async with asking(llm.base_url, budget=Budget(tokens=9000)) as mesh:
        await mesh.route("?")
        await mesh.route(f"?{data}")
    short, long = (limit_of(request) or 0 for request in llm.requests)
    assert short - long == 3000


def test_so_may_a_byte_of_tools_in_another_script() -> None:
    words, han = (most_prompt_tokens({"tools": [{"description": text}]}) for text in ("x" * 600, "漢" * 200))
    assert han - words == 300


@pytest.mark.parametrize(
    ("server", "first"),
    [
        ({}, "max_completion_tokens"),
        (
            {"azure_endpoint": "https://x.openai.azure.com", "azure_api_version": "2024-10-21"},
            "max_completion_tokens",
        ),
        ({"base_url": "http://localhost:11434/v1"}, "max_tokens"),
    ],
    ids=["OpenAI", "Azure", "compatible"],
)
def test_the_limit_has_the_name_that_the_provider_obeys(server: dict[str, str], first: str) -> None:
    names = replace(LlmSettings(models=("model-a",), api_key="k"), **server).limit_parameters  # type: ignore[arg-type]  # fields by name
    assert names[0] == first
    assert sorted(names) == sorted(PARAMETERS)


async def test_a_refused_name_of_the_limit_is_replaced_by_the_other_and_remembered(llm: ScriptedLlm) -> None:
    llm.refuse("max_tokens", Fails(400, "use 'max_completion_tokens' instead", param="max_tokens"))
    llm.to_route(GOOD, GOOD)
    async with asking(llm.base_url, budget=Budget(tokens=6000)) as mesh:
        await mesh.route()
        await mesh.route()
    sent = [[name for name in PARAMETERS if name in request.body] for request in llm.requests]
    assert sent == [["max_tokens"], ["max_completion_tokens"], ["max_completion_tokens"]]
    assert limit_of(llm.requests[0]) == limit_of(llm.requests[1])  # what is refused costs nothing


async def test_a_model_that_takes_no_limit_is_left_for_the_next_one(llm: ScriptedLlm) -> None:
    refusals = [Fails(400, param=name) for name in PARAMETERS]
    llm.to_route(*refusals, GOOD)
    async with asking(llm.base_url, budget=Budget(tokens=6000), models=("model-a", "model-b"), max_attempts=4) as mesh:
        assert (await mesh.route()).planner == "model-b"
    assert mesh.ledger.llm_requests == 3
    llm.to_route(*refusals)
    async with asking(llm.base_url, budget=Budget(tokens=6000)) as mesh:
        with pytest.raises(LlmRefused, match="takes no limit on its reply"):
            await mesh.route()
    assert mesh.ledger.llm_requests == 2


# ---- what is not sent


@pytest.mark.parametrize(
    ("budget", "limits"),
    [
        (Budget(tokens=100), ["budget.tokens"]),
        (Budget(tokens=0), ["budget.tokens"]),
        (Budget(cost_usd=1e-6), ["budget.cost_usd"]),
        (Budget(tokens=100, cost_usd=1e-6), ["budget.tokens", "budget.cost_usd"]),
        (Budget(llm_calls=0), ["budget.llm_calls"]),
    ],
    ids=["tokens", "no tokens", "dollars", "both", "completions"],
)
async def test_a_request_that_does_not_fit_is_not_sent(llm: ScriptedLlm, budget: Budget, limits: list[str]) -> None:
    async with asking(llm.base_url, budget=budget, prices=CHEAP) as mesh:
        with pytest.raises(BudgetExceeded) as routing:
            await mesh.route()
        with pytest.raises(BudgetExceeded) as writing:
            await mesh.write()
    assert paths(routing.value) == paths(writing.value) == limits
    assert llm.requests == []
    assert [(ledger.llm_calls, ledger.llm_requests) for ledger in mesh.ledgers] == [(0, 0), (0, 0)]


async def test_a_model_without_a_price_is_not_asked_under_a_limit_of_cost(llm: ScriptedLlm) -> None:
    async with asking(llm.base_url, budget=Budget(cost_usd=1.0)) as mesh:
        with pytest.raises(
            BudgetExceeded, match=r"what model-a would cost is not known.*AGENTMESH_LLM_PRICES"
        ) as raised:
            await mesh.route()
    assert (paths(raised.value), llm.requests, mesh.ledger.llm_calls) == (["budget.cost_usd"], [], 0)
    llm.to_route(GOOD)
    models = {"models": ("model-x", "model-a"), "prices": CHEAP}
    async with asking(llm.base_url, budget=Budget(cost_usd=1.0), **models) as mesh:
        assert (await mesh.route()).planner == "model-a"


# ---- what is spent


async def test_what_the_reply_reports_replaces_what_was_claimed(llm: ScriptedLlm) -> None:
    llm.to_route(calls(("watch__scan", {}), usage=(700, 50)))
    llm.to_write(says("All is well.", usage=(300, 10)))
    async with asking(llm.base_url, budget=Budget(tokens=6000)) as mesh:
        await mesh.route()
        assert mesh.ledger.tokens_left == 5250
        await mesh.go_on_to_write()
    left = 5250 - prompt_of(llm.requests[1])
    assert left - FRAME <= (limit_of(llm.requests[1]) or 0) <= left
    assert mesh.ledger.tokens_left == 4940
    assert (mesh.ledger.input_tokens, mesh.ledger.output_tokens) == (1000, 60)


async def test_dollars_are_counted_by_the_prices(llm: ScriptedLlm) -> None:
    llm.to_route(calls(("watch__scan", {}), usage=(1000, 100)))
    async with asking(llm.base_url, budget=Budget(cost_usd=0.05), prices=CHEAP) as mesh:
        await mesh.route()
    assert mesh.ledger.cost_usd == pytest.approx(0.002)
    assert mesh.ledger.cost_left_usd == pytest.approx(0.048)


async def test_a_claim_is_kept_for_a_reply_that_reports_nothing(llm: ScriptedLlm) -> None:
    llm.to_route(calls(("watch__scan", {}), usage=None))
    async with asking(llm.base_url, budget=Budget(tokens=6000)) as mesh:
        await mesh.route()
        assert mesh.ledger.tokens_left == 0
        with pytest.raises(BudgetExceeded):
            await mesh.go_on_to_write()
    assert (mesh.ledger.llm_calls, mesh.ledger.input_tokens) == (1, 0)


async def test_a_refusal_by_the_provider_costs_nothing(llm: ScriptedLlm) -> None:
    llm.to_route(Fails(429), Fails(429), GOOD)
    async with asking(llm.base_url, budget=Budget(tokens=6000)) as mesh:
        await mesh.route()
    assert len({limit_of(request) for request in llm.requests}) == 1
    assert mesh.ledger.llm_requests == 3


@pytest.mark.parametrize(
    ("broken", "why"),
    [(HALF, "the connection failed"), (Fails(502), r"a server error \(502\)"), (Hangs(), "did not answer in time")],
    ids=["broken stream", "502", "silence"],
)
async def test_what_may_have_been_used_unseen_is_not_spent_again(llm: ScriptedLlm, broken: Reply, why: str) -> None:
    llm.to_write(broken)
    async with asking(llm.base_url, budget=Budget(tokens=6000), silence_seconds=0.25) as mesh:
        with pytest.raises(BudgetExceeded, match=f"leaves 0 of 6000 tokens.*the request before it failed.*{why}"):
            await mesh.write()
    assert (mesh.ledger.llm_calls, mesh.ledger.llm_requests) == (1, 1)


async def test_a_budget_with_room_for_two_replies_survives_a_broken_stream(llm: ScriptedLlm) -> None:
    llm.to_write(HALF, WHOLE)
    async with asking(llm.base_url, budget=Budget(tokens=30_000)) as mesh:
        assert await mesh.write() == ["All ", "is ", Restart(), "All ", "is ", "well."]


async def test_an_answer_that_the_limit_cuts_says_so(llm: ScriptedLlm) -> None:
    llm.to_write(Completion(text="All is", finish="length"))
    async with asking(llm.base_url, budget=Budget(tokens=6000)) as mesh:
        assert await mesh.write() == ["All ", "is", CUT_NOTE]


async def test_a_plan_that_the_budget_cuts_is_not_asked_for_again(llm: ScriptedLlm) -> None:
    llm.to_route(Completion(finish="length", usable=False))
    async with asking(llm.base_url, budget=Budget(tokens=6000)) as mesh:
        with pytest.raises(BudgetExceeded, match=r"leaves the model .* tokens to reply") as raised:
            await mesh.route()
    assert (paths(raised.value), mesh.ledger.llm_requests) == (["budget.tokens"], 1)


async def test_a_plan_that_only_the_cap_cuts_is_a_failure_as_any_other(llm: ScriptedLlm) -> None:
    llm.to_route(Completion(finish="length", usable=False), GOOD)
    async with asking(llm.base_url, budget=Budget(tokens=100_000)) as mesh:
        await mesh.route()
    assert mesh.ledger.llm_requests == 2


# ---- whatever happens


@dataclass
class Greedy:
    """Answers by a script of names, and adds up what it charges for."""

    script: list[str]
    price: Price
    charged: list[Tokens] = field(default_factory=list)

    def __call__(self, request: LlmRequest) -> Reply:
        most = most_of(request)
        step = self.script.pop(0) if self.script else "answer"
        if step == "refuse":
            return Fails(429)
        self.charged.append(most)
        return self._taken_up(step, request, most)

    def _taken_up(self, step: str, request: LlmRequest, most: Tokens) -> Reply:
        usage = (most.input, most.output)
        replies: dict[str, Callable[[], Reply]] = {
            "answer": lambda: replace(GOOD if request.routes else WHOLE, usage=usage),
            "answer without usage": lambda: replace(GOOD if request.routes else WHOLE, usage=None),
            "answer with nothing": lambda: Completion(usage=usage, finish="stop", usable=False),
            "break off": lambda: Streams(("All ", "is ")),
            "fail": lambda: Fails(500),
        }
        return replies[step]()

    @property
    def tokens(self) -> int:
        return sum(each.input + each.output for each in self.charged)

    @property
    def dollars(self) -> float:
        return sum(cost_usd(each, self.price) or 0.0 for each in self.charged)


STEPS = st.sampled_from(["answer", "answer without usage", "answer with nothing", "break off", "fail", "refuse"])


@settings(max_examples=60, deadline=None)
@given(
    script=st.lists(STEPS, max_size=6),
    tokens=st.none() | st.integers(0, 60_000),
    dollars=st.none() | st.floats(0.0001, 0.3),
)
async def test_no_sequence_of_failures_makes_the_provider_charge_more_than_the_budget(
    script: list[str], tokens: int | None, dollars: float | None
) -> None:
    price = CHEAP["model-a"]
    greedy = Greedy(script, price)
    budget = Budget(tokens=tokens, cost_usd=dollars)
    async with (
        ScriptedLlm(script=greedy) as server,
        asking(server.base_url, budget=budget, prices=CHEAP) as mesh,
    ):
        for completion in (mesh.route, mesh.go_on_to_write):
            try:
                await completion()
            except (BudgetExceeded, LlmUnavailable):
                continue
    assert len(server.requests) == mesh.ledger.llm_requests
    assert tokens is None or greedy.tokens <= tokens
    assert dollars is None or greedy.dollars <= dollars * (1 + 1e-9)
