"""Translates moments of another machine's clock to ours."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from orchestrator_svc.app.ports.clock import Clock

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SAME: Final = timedelta(seconds=0.25)
"""A smaller change of the difference between the clocks is the way of the messages, and not a change of a clock."""


class ServerTime:
    """Learns the difference between the clocks from each answer; equal moments stay equal while no clock is set."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._behind = timedelta(0)
        """What to add to a moment of the other clock."""

    def is_now(self, milliseconds: int) -> None:
        """The other side says that it is this moment, in ms since 1970."""
        behind = self._clock.now() - (_EPOCH + timedelta(milliseconds=milliseconds))
        if abs(behind - self._behind) > _SAME:
            self._behind = behind

    def moment(self, milliseconds: int) -> datetime:
        """By our clock."""
        return _EPOCH + timedelta(milliseconds=milliseconds) + self._behind
