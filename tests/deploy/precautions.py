"""What each container must have: a pinned image, limits, few rights, time to end, its place in the order of start."""

from __future__ import annotations

import re
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from typing import Final

from agentmesh.telemetry.setup import CLOSE_SECONDS
from tests.deploy.compose_file import Compose, Service

_PINNED: Final = re.compile(r"[\w./-]+:v?[0-9]+\.[0-9]+\.[0-9]+[\w.-]*(@sha256:[0-9a-f]{64})?")
_SECRET: Final = re.compile(r"KEY|TOKEN|PASSWORD|SECRET")
_LEFTOVERS_SECONDS: Final = 2.0
"""How long a process may wait for threads of skills, after its drain and before telemetry is flushed."""


def problems_of_precautions(compose: Compose) -> Iterator[str]:
    for name, service in compose.services.items():
        yield from (f"{name}: {problem}" for problem in (*_rights(service), *_bounds(service), *_secrets(service)))
        if not service.is_ours and not _PINNED.fullmatch(service.image):
            yield f"{name}: {service.image} is no exact version"
        if service.module is not None:
            yield from (f"{name}: {problem}" for problem in _end(service))
    yield from _order(compose)


def _rights(service: Service) -> Iterator[str]:
    if not service.read_only:
        yield "may write to its root file system"
    if service.cap_drop != ("ALL",):
        yield "keeps capabilities"
    if "no-new-privileges:true" not in service.security_opt:
        yield "may gain privileges"


def _bounds(service: Service) -> Iterator[str]:
    limits = service.deploy.resources.limits
    if not service.profiles and None in (limits.cpus, limits.memory, limits.pids):
        yield "has no limits of CPU, memory and processes"
    if service.restart is None:
        yield "does not say whether it is restarted"


def _secrets(service: Service) -> Iterator[str]:
    for variable in service.set_environment:
        if _SECRET.search(variable):
            yield f"has {variable} in the file"


def _end(service: Service) -> Iterator[str]:
    drain = float(service.environment.get("AGENTMESH_DRAIN_SECONDS") or 30)
    needed = drain + _LEFTOVERS_SECONDS + CLOSE_SECONDS
    if float(service.stop_grace_period.removesuffix("s")) <= needed:
        yield f"is killed after {service.stop_grace_period}, though its end may take {needed:g} s"


def _order(compose: Compose) -> Iterator[str]:
    for name, service in compose.services.items():
        for needed, dependency in service.depends_on.items():
            if dependency.condition != "service_healthy":
                yield f"{name}: does not wait until {needed} is healthy"
            elif not compose.services[needed].has_health:
                yield f"{name}: waits for {needed}, which has no health check"
    try:
        TopologicalSorter({name: service.depends_on for name, service in compose.services.items()}).prepare()
    except CycleError as error:
        yield f"these wait for each other: {', '.join(error.args[1])}"
