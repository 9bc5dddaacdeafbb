"""How much of a run's budget one request to a model claims before it is sent, and how long its reply may be for that.

The reply is bounded by a parameter of the request. The prompt cannot be, and nobody but the provider can count its
tokens: so more is claimed than it can have, and what is too much is given back when the reply says what was used. Text
has three or four bytes a token; digits and some scripts have down to one, and no tokenizer makes two tokens of a byte.
So a byte counts as a token wherever data can be, and two as one where the instructions and the tools are, which are
words and JSON.

A budget that limits neither tokens nor cost changes nothing in what is sent.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from agentmesh.errors import BudgetExceeded
from agentmesh.jsonvalues import Json, JsonObject
from orchestrator_svc.adapters.llm_settings import LlmSettings
from orchestrator_svc.adapters.pricing import Price, Tokens, cost_usd, price_of
from orchestrator_svc.app.ledger import Ledger, RequestClaim
from orchestrator_svc.core.budget import Budget, budget_exceeded

LEAST_REPLY_TOKENS: Final = 16
"""Not even a tool call fits into less: to send the prompt for that would be money for nothing."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """What one request may use."""

    claim: RequestClaim
    reply_tokens: int | None = None
    """Most tokens of the reply, to be sent with the request; None: no limit is sent."""
    limited_by: str = ""
    """The field of the budget that leaves the reply less than the cap; empty if none does."""

    def too_short(self) -> BudgetExceeded:
        """The error for a reply that did not fit into what the budget leaves."""
        message = f"the budget of this run leaves the model {self.reply_tokens} tokens to reply, and that is too little"
        return budget_exceeded({self.limited_by: message})


def allow(ledger: Ledger, body: JsonObject, price: Price | None, cap_tokens: int) -> Allowance:
    """Claim what the request may use.

    Args:
        ledger: The account of the run; the request is counted there.
        body: The request without a limit on its reply.
        price: Of the model; None only if the budget does not limit the cost.
        cap_tokens: Most tokens of a reply, however much the budget leaves.

    Raises:
        BudgetExceeded: The budget does not leave enough for the prompt and a reply of `LEAST_REPLY_TOKENS`.
    """
    if not ledger.limits_requests:
        return Allowance(ledger.claim_request(0, 0.0))
    prompt = most_prompt_tokens(body)
    room = _room(ledger, prompt, price)
    tightest = min(room, key=lambda name: room[name], default="")
    reply = max(LEAST_REPLY_TOKENS, min(cap_tokens, room[tightest])) if tightest else cap_tokens
    claim = ledger.claim_request(prompt + reply, cost_usd(Tokens(prompt, reply), price) or 0.0)
    return Allowance(claim, reply, tightest if tightest and room[tightest] < cap_tokens else "")


def most_prompt_tokens(body: JsonObject) -> int:
    """More tokens than the prompt of the request can have.

    Args:
        body: The request; its first message has our instructions.
    """
    messages = body.get("messages")
    ours: Json = [messages[:1] if isinstance(messages, list) else [], body.get("tools")]
    words = _compact(ours).encode("ascii", "ignore")
    return len(_compact(body).encode()) - len(words) // 2


def models_within(budget: Budget, settings: LlmSettings) -> tuple[str, ...]:
    """The models that may be asked: what a reply may cost must be known before it is asked for.

    Raises:
        BudgetExceeded: None may.
    """
    if budget.cost_usd is None:
        return settings.models
    priced = tuple(model for model in settings.models if price_of(model, settings.prices) is not None)
    if not priced:
        names = ", ".join(settings.models)
        message = (
            f"the budget of this run limits its cost, and what {names} would cost is not known: set its price in "
            "AGENTMESH_LLM_PRICES, or set no cost_usd"
        )
        raise budget_exceeded({"cost_usd": message})
    return priced


def _compact(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _room(ledger: Ledger, prompt: int, price: Price | None) -> Mapping[str, int]:
    """Tokens that each limited field of the budget leaves for the reply; may be less than none."""
    room = {}
    if ledger.tokens_left is not None:
        room["tokens"] = ledger.tokens_left - prompt
    if ledger.cost_left_usd is not None and price is not None and price.output_per_million > 0:
        left = ledger.cost_left_usd * 1_000_000 - prompt * price.input_per_million
        tokens = left / price.output_per_million
        if math.isfinite(tokens):  # else so many dollars are no limit
            room["cost_usd"] = math.floor(tokens) - 1  # the last one for what rounding takes
    return room
