"""Telemetry of a process: what the environment asks for, set up once by its main and closed at its end.

The SDK and the exporters of OpenTelemetry are imported here alone, and only where something is to be exported.
"""

from agentmesh.telemetry.setup.process import CLOSE_SECONDS, Telemetry, set_up_telemetry
from agentmesh.telemetry.setup.reading import read_telemetry, read_telemetry_settings
from agentmesh.telemetry.setup.settings import (
    NOTHING,
    Collector,
    Limits,
    Metrics,
    Pull,
    TelemetrySettings,
    Traces,
)

__all__ = [
    "CLOSE_SECONDS",
    "NOTHING",
    "Collector",
    "Limits",
    "Metrics",
    "Pull",
    "Telemetry",
    "TelemetrySettings",
    "Traces",
    "read_telemetry",
    "read_telemetry_settings",
    "set_up_telemetry",
]
