"""Settings of analytics_agent, from its environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from agentmesh.env import Environment


@dataclass(frozen=True, slots=True)
class Settings:
    """How the history is kept."""

    interval_seconds: float = 5.0
    """Between two rounds of samples; 0.05 to 3600."""
    retention_seconds: float = 24 * 3600.0
    """Older rounds are dropped; the default holds at most 17,280 rounds of about 20 samples."""
    store: Path | None = None
    """SQLite file that outlives the process; None: in memory, the history begins with the process."""


def read_settings(variables: Mapping[str, str]) -> Settings:
    """Reads AGENTMESH_ANALYTICS_AGENT_INTERVAL_SECONDS, _RETENTION_HOURS and _STORE.

    Raises agentmesh.env.EnvironmentInvalid, naming every variable that is wrong.
    """
    environment = Environment(variables)
    prefix, default = "AGENTMESH_ANALYTICS_AGENT_", Settings()
    interval = environment.number(f"{prefix}INTERVAL_SECONDS", default.interval_seconds, at_least=0.05, at_most=3600.0)
    retention_hours = environment.number(
        f"{prefix}RETENTION_HOURS", default.retention_seconds / 3600.0, at_least=0.1, at_most=24.0 * 31.0
    )
    store = environment.text(f"{prefix}STORE")
    environment.check()
    return Settings(interval, 3600.0 * retention_hours, Path(store) if store else None)
