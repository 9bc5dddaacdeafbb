"""Health of the process in this container, for HEALTHCHECK: exits with 0 if it takes calls, else with 1 and the reason.

    python health_check.py                       # where AGENTMESH_AGENT_LISTEN or AGENTMESH_LISTEN say that it listens
    python health_check.py 127.0.0.1:50061 agentmesh.v1.Agent

It asks grpc.health.v1.Health, which orchestrators and agents have alike. An orchestrator is asked about its Registry:
about Orchestrator it says NOT_SERVING until the first agent has come, and agents wait for it to be healthy.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

_ORCHESTRATOR: Final = ("AGENTMESH_LISTEN", "127.0.0.1:50051", "agentmesh.v1.Registry")
_AGENT: Final = ("AGENTMESH_AGENT_LISTEN", "", "agentmesh.v1.Agent")
_EVERYWHERE: Final = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # noqa: S104 - what is replaced
_TIMEOUT_SECONDS: Final = 4.0
"""Less than the time-out of HEALTHCHECK, so that the reason is seen."""


def whom(arguments: Sequence[str], environment: Mapping[str, str]) -> tuple[str, str]:
    """The address to ask and the service to ask about."""
    if arguments:
        address, *service = arguments
        return address, service[0] if service else ""
    variable, default, service_name = _AGENT if environment.get(_AGENT[0]) else _ORCHESTRATOR
    host, _, port = (environment.get(variable) or default).rpartition(":")
    return f"{_EVERYWHERE.get(host, host)}:{port}", service_name


def why_not(address: str, service: str) -> str | None:
    """Why it is not healthy; None if it is."""
    # The core would ask a proxy that the environment names even for this machine.
    with grpc.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)]) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        call = stub.Check.future(health_pb2.HealthCheckRequest(service=service), timeout=_TIMEOUT_SECONDS)
        code: grpc.StatusCode = call.code()  # waits for it
        if code is not grpc.StatusCode.OK:
            return code.name
        status: int = call.result().status
    if status == health_pb2.HealthCheckResponse.SERVING:
        return None
    return health_pb2.HealthCheckResponse.ServingStatus.Name(status)


def main() -> None:
    address, service = whom(sys.argv[1:], os.environ)
    reason = why_not(address, service)
    if reason is not None:
        sys.exit(f"{service or 'the server'} at {address}: {reason}")


if __name__ == "__main__":
    main()
