"""How an endpoint does, as this orchestrator finds it; for people and programs that look on."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class EndpointState(StrEnum):
    """Whether calls are sent there; registry_service.proto (EndpointState) says what each means."""

    SERVING = "SERVING"
    NOT_SERVING = "NOT_SERVING"
    SILENT = "SILENT"
    EJECTED = "EJECTED"


@dataclass(frozen=True, slots=True)
class EndpointStatus:
    """One endpoint at one moment."""

    state: EndpointState
    calls_in_flight: int
    """Of this orchestrator."""
