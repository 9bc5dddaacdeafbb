"""Calls that come again: a skill with effect SIDE_EFFECT runs once for each idempotency key.

Kept in this process, for a time and within bounds: a call that comes after them, or to another process, runs again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from cachetools import TTLCache
from opentelemetry.trace import SpanContext

from agentmesh import errors
from agentmesh.agent.call import Call
from agentmesh.agent.execution import Answer, Execution, Work

DEFAULT_SECONDS: Final = 600.0
MAX_ANSWERS: Final = 1000
MAX_BYTES: Final = 16 * 1024 * 1024
"""Of all answers that are kept. The largest is a result of 1 MiB as JSON, up to 5.5 MiB as a Struct."""

_Key: TypeAlias = tuple[str, str]
"""Skill and idempotency key."""


@dataclass(frozen=True, slots=True)
class _InFlight:
    arguments: str
    execution: Execution


@dataclass(frozen=True, slots=True)
class _Ended:
    arguments: str
    answer: Answer
    begun_by: SpanContext

    @property
    def size_bytes(self) -> int:
        """What counts against MAX_BYTES: never less than would fill it with MAX_ANSWERS, so that it bounds both."""
        return max(self.answer.size_bytes, MAX_BYTES // MAX_ANSWERS)


class Repeats:
    """Remembers calls by skill and idempotency key while they are in flight, and their answers for a time.

    Args:
        seconds: How long an answer is kept.
        timer: Seconds from any moment on.
    """

    def __init__(self, seconds: float = DEFAULT_SECONDS, timer: Callable[[], float] = time.monotonic) -> None:
        self._in_flight: dict[_Key, _InFlight] = {}
        self._ended: TTLCache[_Key, _Ended] = TTLCache(
            MAX_BYTES, seconds, timer=timer, getsizeof=lambda ended: ended.size_bytes
        )

    def execution(self, call: Call, arguments: str, work: Callable[[], Work]) -> Execution:
        """Return the execution that serves the call: one in flight, one that repeats an answer, or a new one.

        Args:
            call: With its idempotency key.
            arguments: Their digest.
            work: Makes what a new execution does.

        Raises:
            errors.RequestInvalid: If the key was used with other arguments.
        """
        key = (call.skill, call.idempotency_key)
        running = self._in_flight.get(key)
        if running is not None and not running.execution.is_given_up:
            _check_arguments(running.arguments, arguments)
            return running.execution
        ended = self._ended.get(key)
        if ended is not None:
            _check_arguments(ended.arguments, arguments)
            return Execution(call, ended.answer.say(), ended.begun_by)
        begun = _InFlight(arguments, Execution(call, work()))
        self._in_flight[key] = begun
        begun.execution.when_ended(lambda: self._end(key, begun))
        return begun.execution

    def _end(self, key: _Key, running: _InFlight) -> None:
        if self._in_flight.get(key) is running:  # else it was given up, and another one began
            del self._in_flight[key]
        if running.execution.has_begun:
            execution = running.execution
            self._ended[key] = _Ended(running.arguments, execution.answer(), execution.begun_by)


def _check_arguments(known: str, given: str) -> None:
    if known != given:
        problem = "an earlier call of this skill had the same key and other arguments"
        raise errors.RequestInvalid.of("idempotency_key", problem)
