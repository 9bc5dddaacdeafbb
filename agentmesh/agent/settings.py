"""What the environment says about an agent's process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from agentmesh.addresses import read_target
from agentmesh.agent.running import DEFAULT_GRACE_SECONDS, Options
from agentmesh.env import Environment
from agentmesh.telemetry.logs import LEVELS
from agentmesh.telemetry.setup import NOTHING, TelemetrySettings, read_telemetry

DEFAULT_ORCHESTRATOR: Final = "127.0.0.1:50051"
_DEFAULT_TTL_SECONDS: Final = 15.0


@dataclass(frozen=True, slots=True)
class Settings:
    """Of one agent process."""

    options: Options
    log_level: str
    capture_content: bool = False
    telemetry: TelemetrySettings = NOTHING


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Read AGENTMESH_*, and of telemetry OTEL_* (`agentmesh.telemetry.setup.reading`).

    ORCHESTRATOR_ADDRESS: where to register; several as `agentmesh.addresses` has them (127.0.0.1:50051). AGENT_LISTEN:
    `host:port`, port 0 is chosen by the kernel (127.0.0.1:0). AGENT_ADVERTISE: the address to register (where it
    listens). AGENT_TTL_SECONDS: of the lease, 1 to 3600 (15). ALLOW_PLAINTEXT: 1 to listen without TLS where other
    machines connect (0). CAPTURE_CONTENT: 1 to have arguments, results and texts of errors in traces and logs (0).
    DRAIN_SECONDS: how long calls in flight may go on after the first signal (30). LOG_LEVEL: debug, info, warning,
    error or critical (info).

    Raises:
        EnvironmentInvalid: With every problem.
    """
    env = Environment(environment)
    options = Options(
        listen=env.text("AGENTMESH_AGENT_LISTEN", "127.0.0.1:0"),
        orchestrator=env.text("AGENTMESH_ORCHESTRATOR_ADDRESS", DEFAULT_ORCHESTRATOR),
        advertise=env.text("AGENTMESH_AGENT_ADVERTISE") or None,
        ttl_seconds=env.number("AGENTMESH_AGENT_TTL_SECONDS", _DEFAULT_TTL_SECONDS, at_least=1, at_most=3600),
        allow_plaintext=env.flag("AGENTMESH_ALLOW_PLAINTEXT"),
        grace_seconds=env.number("AGENTMESH_DRAIN_SECONDS", DEFAULT_GRACE_SECONDS, at_least=0, at_most=3600),
    )
    log_level = env.choice("AGENTMESH_LOG_LEVEL", "info", LEVELS)
    captured = env.flag("AGENTMESH_CAPTURE_CONTENT")
    if options.listens_everywhere and options.advertise is None:
        env.problem("AGENTMESH_AGENT_ADVERTISE", f"is needed, because {options.listen} is no address to connect to")
    try:
        read_target(options.orchestrator or "")
    except ValueError as error:
        env.problem("AGENTMESH_ORCHESTRATOR_ADDRESS", str(error))
    telemetry = read_telemetry(env)
    env.check()
    return Settings(options, log_level, captured, telemetry)
