"""Turning to another orchestrator where one cannot answer: which calls, how often, and when.

With one address nothing is sent twice. With several, a call that was refused because its orchestrator is leaving goes
to another, whatever it is: it has not begun. One that got no answer may have begun; it is sent again only if beginning
it twice is as good as once: what only reads, and questions with a request id, which is what such an id says.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable
from typing import Final

from agentmesh import errors
from agentmesh.errors import MeshError

PAUSES_SECONDS: Final = (0.0, 0.1, 0.25, 0.5, 1.0, 1.0)
"""Before each further attempt: one is sent on at once; all together bridge the moment in which none is there."""


class Turns:
    """Of one call.

    Args:
        several: Whether there is another to turn to.
        safe: Whether it may begin twice.
        timeout_seconds: For all attempts together; None: the server's maximum for each.
        clock: Of the timeout.
        jitter: Gives 0 to 1.
    """

    def __init__(
        self,
        *,
        several: bool,
        safe: bool,
        timeout_seconds: float | None,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._safe = safe
        self._pauses = iter(PAUSES_SECONDS if several else ())
        self._clock = clock
        self._jitter = jitter
        self._timeout = timeout_seconds
        self._until = None if timeout_seconds is None else clock() + timeout_seconds
        self._first = True

    def timeout(self) -> float | None:
        """Return the timeout of the next attempt, as `timeout_of_call` takes it."""
        if self._first or self._until is None:
            self._first = False
            return self._timeout
        return self._until - self._clock()

    def pause_after(self, error: MeshError) -> float | None:
        """Return how many seconds to wait before the next attempt; None if there is none, and the error stands."""
        if not isinstance(error, errors.ShuttingDown | errors.Unreachable if self._safe else errors.ShuttingDown):
            return None
        pause = next(self._pauses, None)
        if pause is None:
            return None
        pause *= 0.5 + 0.5 * self._jitter()
        left = math.inf if self._until is None else self._until - self._clock()
        return pause if pause < left else None
