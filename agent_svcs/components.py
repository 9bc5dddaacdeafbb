"""The components of the mesh, under the names that all its agents use, and how their processes are recognised."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from types import MappingProxyType
from typing import Final

HOST: Final = "host"
"""The machine itself."""

MODULES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "orchestrator": "orchestrator_svc",
        "data_agent": "agent_svcs.data_agent",
        "analytics_agent": "agent_svcs.analytics_agent",
        "config_agent": "agent_svcs.config_agent",
    }
)
"""Each service of the mesh, and the module that `python -m` runs for it."""

COMPONENTS: Final = (HOST, *MODULES)

_SERVICES: Final = {module: service for service, module in MODULES.items()}
_PYTHON: Final = re.compile(r"(python|pypy)[\d.]*t?(\.exe)?", re.IGNORECASE)
_OPTIONS_WITH_VALUE: Final = frozenset({"-X", "-W", "--check-hash-based-pycs"})


_LAUNCHERS: Final = frozenset({"orchestrator_svc.commands.leash"})
"""Modules that run another one, their last argument, in their own process: `agentmesh up` starts services so."""


def service_of(command_line: Sequence[str]) -> str | None:
    """The service that a process is, by its command line: a Python that runs a module of `MODULES` with `-m`."""
    if not command_line or not _PYTHON.fullmatch(PurePath(command_line[0]).name):
        return None
    arguments = iter(command_line[1:])
    for argument in arguments:
        if argument == "-m":
            module = next(arguments, "")
            return _SERVICES.get(command_line[-1] if module in _LAUNCHERS else module)
        if argument in _OPTIONS_WITH_VALUE:
            next(arguments, None)
        elif not argument.startswith("-") or argument.startswith("-c"):
            return None
    return None
