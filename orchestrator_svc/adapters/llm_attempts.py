"""Which model is asked next when one failed, and after which pause. Pure: the client reports, waits and sends.

A model that is rate limited, down or incoherent is asked again after a pause, then the next model is; one that refuses
for good is left at once. The requests for one completion are at most `max_attempts`, whatever happens.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from agentmesh.errors import LlmRefused, LlmUnavailable

_BACKOFF_SECONDS: Final = 0.25
_MAX_BACKOFF_SECONDS: Final = 4.0
_PATIENCE_SECONDS: Final = 5.0
"""A provider that wants a longer pause is left for the next model, if there is one."""


class Kind(Enum):
    """What a failure means for the next request."""

    TRANSIENT = auto()
    """The same request may succeed later, or with another model."""
    PARAMETER = auto()
    """The model does not take an optional parameter: the request is repeated without it."""
    REFUSED = auto()
    """The provider will not serve this request with this model; another model may."""
    FINAL = auto()
    """The model, or a filter, declined to answer. That is an answer: no other model is asked to get around it."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a request gave no completion."""

    kind: Kind
    summary: str
    """For callers: holds nothing of the provider's words."""
    detail: str = ""
    """For the log: status and words of the provider, without the key."""
    retry_after_seconds: float | None = None
    parameter: str = ""
    """The parameter that is refused, for PARAMETER."""
    certain: bool = True
    """False if the parameter was only guessed from the provider's words."""
    charged: bool = True
    """False if the provider refused before a model began, so that nothing was used."""
    error_type: str = "_OTHER"
    """For telemetry: the HTTP status, or a word of ours; never the provider's."""


class Attempts:
    """The requests for one completion.

    Args:
        models: In the order in which they are tried; at least one.
        max_attempts: Requests in all.
        random: Gives a number from 0 up to 1, for the jitter of pauses.
    """

    def __init__(self, models: Sequence[str], max_attempts: int, random: Callable[[], float]) -> None:
        self._models = list(models)
        self._left = max_attempts
        self._random = random
        self._sent = 0
        self._may_pass = False
        self._begin()

    @property
    def model(self) -> str:
        """The model to ask now."""
        return self._models[0]

    @property
    def number(self) -> int:
        """Which request the next one is, from 1."""
        return self._sent + 1

    @property
    def last(self) -> bool:
        """True if no request may follow the next one."""
        return self._left == 1

    def after(self, failure: Failure, remaining_seconds: float) -> float:
        """Take note of a failure and return the pause before the next request, to `model`.

        Raises:
            LlmUnavailable: No request is left, or no time, and a later try may succeed.
            LlmRefused: Every model refused.
        """
        self._left -= 1
        self._sent += 1
        self._may_pass |= failure.kind is Kind.TRANSIENT
        if failure.kind is Kind.FINAL:
            raise LlmRefused(f"the language model did not answer: {failure.summary}")
        if self._left > 0 and remaining_seconds > 0:
            if failure.kind is Kind.PARAMETER:
                return 0.0
            pause = self._pause(failure)
            if failure.kind is Kind.TRANSIENT and self._worth_waiting(pause, remaining_seconds):
                return pause
            if len(self._models) > 1:
                self._models.pop(0)
                self._begin()
                return 0.0
        raise self._over(failure)

    def _begin(self) -> None:
        """Start with a model; the attempts that are left are shared evenly, the first models get what is over."""
        self._tries_left = math.ceil(self._left / len(self._models))
        self._failures = 0

    def _pause(self, failure: Failure) -> float:
        self._tries_left -= 1
        self._failures += 1
        if failure.retry_after_seconds is not None:
            return failure.retry_after_seconds
        most = min(_MAX_BACKOFF_SECONDS, _BACKOFF_SECONDS * 2.0**self._failures)
        return most * (1 + self._random()) / 2

    def _worth_waiting(self, pause: float, remaining_seconds: float) -> bool:
        if self._tries_left < 1 or pause >= remaining_seconds:
            return False
        return pause <= _PATIENCE_SECONDS or len(self._models) == 1

    def _over(self, failure: Failure) -> LlmUnavailable | LlmRefused:
        requests = "1 request" if self._sent == 1 else f"{self._sent} requests"
        if self._may_pass or failure.kind is Kind.PARAMETER:
            return LlmUnavailable(
                f"no language model answered in {requests}; the last failure: {failure.summary}",
                retry_after_seconds=failure.retry_after_seconds,
            )
        return LlmRefused(f"the language model provider refused {requests}; the last refusal: {failure.summary}")
