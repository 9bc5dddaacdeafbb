"""What an error of the `openai` client means for the next request.

Imports `openai`, which takes 0.4 s: import this, `openai_client` and what uses it only where a model is configured.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

from openai import APIConnectionError, APIError, APIStatusError, APITimeoutError

from orchestrator_svc.adapters.llm_attempts import Failure, Kind

OPTIONAL_PARAMETERS: Final = (
    "temperature", "parallel_tool_calls", "stream_options", "tool_choice", "max_tokens", "max_completion_tokens",
)  # fmt: skip
"""What a request can do without, or can say by another name: some models and some servers refuse them."""

_SUMMARIES: Final[Mapping[int, str]] = {
    401: "the key is not accepted",
    403: "the key may not do this",
    404: "there is no such model or address",
    408: "the provider timed out",
    409: "the provider reports a conflict",
    413: "the request is too large",
    429: "rate limited",
}
_TRANSIENT: Final = frozenset({408, 409, 425, 429})
_OUT_OF_CREDIT: Final = frozenset({"insufficient_quota", "billing_hard_limit_reached"})
_MAX_DETAIL_CHARACTERS: Final = 500


def failure_of(error: Exception, sent: Collection[str], now: float) -> Failure:
    """Classify what was raised for a request.

    Args:
        error: An `openai` error, a TimeoutError, or a ValueError from JSON that does not parse.
        sent: The keys of the request's body.
        now: The time of day in seconds since 1970, for a Retry-After that is a date.
    """
    if isinstance(error, APIStatusError):
        return replace(_of_status(error, sent, now), error_type=str(error.status_code))
    if isinstance(error, APITimeoutError | TimeoutError):
        return Failure(Kind.TRANSIENT, "it did not answer in time", type(error).__name__, error_type="timeout")
    if isinstance(error, APIConnectionError):
        cause = repr(error.__cause__)[:_MAX_DETAIL_CHARACTERS]
        return Failure(Kind.TRANSIENT, "the connection failed", cause, error_type="connection")
    if isinstance(error, APIError):
        return Failure(Kind.TRANSIENT, "it reported an error in its stream", _words(error), error_type="stream")
    detail = str(error)[:_MAX_DETAIL_CHARACTERS]
    return Failure(Kind.TRANSIENT, "its reply cannot be read", detail, error_type="unreadable")


def _of_status(error: APIStatusError, sent: Collection[str], now: float) -> Failure:
    status = error.status_code
    summary = f"{_summary(status)} ({status})"
    detail = f"{status}: {_words(error)}"
    charged = status >= 500 or status == 408
    if status == 429 and error.code in _OUT_OF_CREDIT:
        return Failure(Kind.REFUSED, "the account has no credit left (429)", detail, charged=charged)
    if status in _TRANSIENT or status >= 500:
        pause = retry_after_seconds(error.response.headers, now)
        return Failure(Kind.TRANSIENT, summary, detail, pause, charged=charged)
    parameter = _refused_parameter(error, sent) if status in (400, 422) else ""
    if parameter:
        certain = error.param == parameter
        return Failure(Kind.PARAMETER, summary, detail, parameter=parameter, certain=certain, charged=charged)
    return Failure(Kind.REFUSED, summary, detail, charged=charged)


def _summary(status: int) -> str:
    if status < 400:
        return "the address leads elsewhere"
    return _SUMMARIES.get(status) or ("a server error" if status >= 500 else "the request is refused")


def _refused_parameter(error: APIStatusError, sent: Collection[str]) -> str:
    """The optional parameter that the error is about, by its `param`, or by its words where it has none."""
    names = [name for name in OPTIONAL_PARAMETERS if name in sent]
    if isinstance(error.param, str) and error.param:
        return next((name for name in names if error.param.partition(".")[0] == name), "")
    text = " ".join((_words(error), *_places(error.body)))
    return next((name for name in names if re.search(rf"\b{name}\b", text)), "")


def _places(body: object) -> list[str]:
    """The members that a validation error of a FastAPI server is about: `{"detail": [{"loc": ["body", "x"]}]}`."""
    detail = body.get("detail") if isinstance(body, dict) else None
    entries = [entry.get("loc") for entry in detail if isinstance(entry, dict)] if isinstance(detail, list) else []
    return [".".join(map(str, loc)) for loc in entries if isinstance(loc, list)]


def retry_after_seconds(headers: Mapping[str, str], now: float) -> float | None:
    """Return how long the provider wants us to wait, from `retry-after-ms` or `retry-after` (RFC 9110, 10.2.3)."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        text = headers.get(name, "").strip()
        if re.fullmatch(r"\d{1,9}(\.\d*)?", text):
            return float(text) * unit
    try:
        date = parsedate_to_datetime(headers.get("retry-after", ""))
    except ValueError:
        return None
    return max(0.0, (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - now)


def _words(error: APIError) -> str:
    """The provider's message. The rest of the body may repeat what was sent, so it is left out."""
    body = error.body
    text = body.get("message") or body.get("detail") if isinstance(body, dict) else body
    return " ".join(text.split())[:_MAX_DETAIL_CHARACTERS] if isinstance(text, str) else type(error).__name__
