"""What is known of one endpoint: what it says of itself, what it has to do, and what is held against it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from orchestrator_svc.app.endpoint_status import EndpointState, EndpointStatus

FAILURES_TO_EJECT: Final = 5
"""In a row, without an answer between them."""
EJECT_SECONDS: Final = 10.0
"""For the first time; doubles with every further one until a call is answered."""
MAX_EJECT_SECONDS: Final = 300.0
_MOST_DOUBLINGS: Final = 5  # enough to get beyond the maximum


@dataclass(slots=True)
class EndpointRecord:
    """Changes with what is reported. Moments are on the monotonic clock."""

    agent: str
    serving: bool = True
    """An endpoint is listed after it has said that it serves, so it does until it says otherwise."""
    silent: bool = False
    """It does not even answer a question for its health."""
    in_flight: int = 0
    picked: int = 0
    """When it was picked last, counted in picks; 0: never."""
    failures: int = 0
    """In a row."""
    ejections: int = 0
    """Since it last answered."""
    ejected_until: float = 0.0

    @property
    def healthy(self) -> bool:
        return self.serving and not self.silent

    def is_usable(self, now: float) -> bool:
        """Whether a call may go there."""
        return self.healthy and self.ejected_until <= now

    def status(self, now: float) -> EndpointStatus:
        """How it does, for those who look on."""
        return EndpointStatus(self._state(now), self.in_flight)

    def forgive(self) -> None:
        """It has answered: forget the failures and what followed from them."""
        self.failures = self.ejections = 0
        self.ejected_until = 0.0

    def eject(self, now: float) -> float:
        """Take it out of the choice, and return for how many seconds."""
        seconds = min(EJECT_SECONDS * 2.0 ** min(self.ejections, _MOST_DOUBLINGS), MAX_EJECT_SECONDS)
        self.ejected_until = now + seconds
        self.ejections += 1
        self.failures = 0
        return seconds

    def _state(self, now: float) -> EndpointState:
        if not self.serving:
            return EndpointState.NOT_SERVING
        if self.silent:
            return EndpointState.SILENT
        return EndpointState.SERVING if self.is_usable(now) else EndpointState.EJECTED
