"""A deadline: a moment of the monotonic clock, passed on as what remains.

The server interceptor sets `current_deadline` for the time of a call, and the client interceptor reads it, so that no
outgoing call outlives the call that it serves. Tasks and threads started through asyncio inherit it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Final

from agentmesh import errors

HOP_MARGIN_SECONDS: Final = 0.020
"""Kept back on each hop, so that the inner one reports its timeout before the outer one gives up."""


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment until which an answer is wanted."""

    at: float
    """On the clock; `math.inf` never comes."""
    clock: Callable[[], float] = field(default=time.monotonic, repr=False, compare=False)

    @classmethod
    def after(cls, seconds: float, clock: Callable[[], float] = time.monotonic) -> Deadline:
        """Make the deadline that is `seconds` from now; `math.inf` for none."""
        return cls(clock() + seconds, clock)

    @classmethod
    def never(cls) -> Deadline:
        """Make the deadline that does not pass."""
        return cls(math.inf)

    def remaining(self) -> float:
        """Seconds left, at least 0."""
        return max(0.0, self.at - self.clock())

    @property
    def expired(self) -> bool:
        """True once nothing is left."""
        return self.remaining() <= 0

    def earlier(self, seconds: float) -> Deadline:
        """Return the deadline that is `seconds` before this one."""
        return Deadline(self.at - seconds, self.clock)

    def at_most(self, seconds: float) -> Deadline:
        """Return this deadline, or the one `seconds` from now if that comes first."""
        return Deadline(min(self.at, self.clock() + seconds), self.clock)


current_deadline: ContextVar[Deadline | None] = ContextVar("agentmesh_deadline", default=None)
"""Deadline of the call that is being served; None outside of one."""


def timeout_of_call(peer: str, explicit: float | None) -> float | None:
    """Return the timeout of a call to `peer`, in seconds; None for none.

    It is the smaller of what is asked for and what remains of `current_deadline`, less the margin of a hop.

    Raises:
        errors.DeadlineExceeded: Nothing is left, so the call is not worth sending.
    """
    deadline = current_deadline.get()
    left = math.inf if deadline is None else deadline.remaining() - HOP_MARGIN_SECONDS
    timeout = left if explicit is None else min(explicit, left)
    if timeout <= 0:
        raise errors.DeadlineExceeded(f"no time was left to call {peer}")
    return None if timeout == math.inf else timeout
