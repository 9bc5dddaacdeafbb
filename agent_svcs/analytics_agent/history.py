"""Where the samples of a window come from: the live store, or the shipped recording until there is enough of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from agent_svcs.analytics_agent.recordings import Recording
from agent_svcs.analytics_agent.series import Key, Series
from agent_svcs.analytics_agent.store import Store
from agent_svcs.instants import iso

LIVE_ROUNDS: Final = 60
"""Rounds of samples that make the live store enough to speak from: five minutes at the default interval."""
CONTEXT_SECONDS: Final = 1800.0
"""What is ordinary is learnt from at least this much, however short the window."""

Source = Literal["live", "recording"]


@dataclass(frozen=True, slots=True)
class Window:
    """The samples of a window, and some before it."""

    source: Source
    start: float
    """Seconds since 1970; in the recording never before its first sample."""
    end: float
    """Of the newest sample."""
    series: Sequence[Series]
    """From up to `CONTEXT_SECONDS` before `end`, or from `start` if that is earlier."""
    note: str
    """Where the samples are from, as a sentence."""


class History:
    """Reads windows that end at the newest sample."""

    def __init__(self, store: Store, recording: Recording, interval_seconds: float) -> None:
        """`interval_seconds` is the time between the rounds of the live store."""
        self._store = store
        self._recording = recording
        self._interval = interval_seconds

    def window(self, keys: Sequence[Key], seconds: float) -> Window:
        """The last `seconds` of what is known of `keys`.

        Live once the store has `LIVE_ROUNDS` rounds in the window or, if that is longer, in twice the time that as many
        rounds take; so a store that was kept over a long pause counts from its new beginning.
        """
        newest = self._store.newest()
        fresh = 0
        if newest is not None:
            fresh = self._store.rounds_since(newest - max(seconds, 2.0 * LIVE_ROUNDS * self._interval))
            if fresh >= LIVE_ROUNDS:
                series = self._store.read(keys, newest - max(seconds, CONTEXT_SECONDS))
                return Window("live", newest - seconds, newest, series, "Samples of this machine.")
        recording = self._recording
        note = (
            f"Not of now: the recording that comes with the agent, made at {iso(recording.started)},"
            f" because live samples are too few so far: {fresh} of the {LIVE_ROUNDS} rounds that it takes."
        )
        end = recording.newest
        series = recording.read(keys, end - max(seconds, CONTEXT_SECONDS))
        return Window("recording", max(recording.started, end - seconds), end, series, note)
