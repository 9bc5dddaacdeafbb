"""Which variables the programs of the image read, and what they say of those that they are given."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from agent_svcs.analytics_agent.settings import read_settings as read_analytics_settings
from agent_svcs.config_agent.settings import read_settings as read_config_agent_settings
from agentmesh.agent.settings import read_settings as read_agent_settings
from agentmesh.env import EnvironmentInvalid
from agentmesh.telemetry.setup import read_telemetry_settings
from orchestrator_svc.config import ConfigInvalid, read_config, settings_of
from tests.deploy.compose_file import Compose, Service

_FOR_THE_CONFIGURATION: Final = {"AGENTMESH_CONFIG_FILE", "OPENAI_API_KEY"}
_OF_THE_COMMAND_LINE: Final = {"AGENTMESH_ORCHESTRATOR_ADDRESS", "AGENTMESH_TOKEN"}


class Asked(dict[str, str]):
    """An environment that remembers which variables were asked for."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        super().__init__(variables)
        self.names: Final[set[str]] = set()

    def get(self, name: str, default: str = "") -> str:  # type: ignore[override] # as settings are read
        self.names.add(name)
        return super().get(name, default)


_AGENTS: Final[Mapping[str, tuple[Callable[[Mapping[str, str]], object], ...]]] = {
    "agent_svcs.data_agent": (read_agent_settings,),
    "agent_svcs.analytics_agent": (read_agent_settings, read_analytics_settings),
    "agent_svcs.config_agent": (read_agent_settings, read_config_agent_settings),
}


def problems_of_programs(compose: Compose) -> Iterator[str]:
    """Modules that are not there, variables that nobody reads, values that are refused."""
    for name, service in compose.services.items():
        if not service.is_ours:
            continue
        known, refused = _read(service)
        yield from (f"{name}: {problem}" for problem in refused)
        yield from (f"{name}: nothing reads {variable}" for variable in sorted(service.environment.keys() - known))


def _read(service: Service) -> tuple[set[str], list[str]]:
    if service.module is None:
        program = (*service.entrypoint, *service.command)[:1]
        return _OF_THE_COMMAND_LINE, [] if program == ("agentmesh",) else [f"{program} is no program of the image"]
    try:
        found = importlib.util.find_spec(f"{service.module}.__main__")
    except ModuleNotFoundError:
        found = None
    if found is None:
        return set(), [f"{service.module} is no module that runs"]
    return _orchestrator(service) if service.module == "orchestrator_svc" else _agent(service)


def _orchestrator(service: Service) -> tuple[set[str], list[str]]:
    names = {setting.variable for setting in settings_of(read_config({}))} | _FOR_THE_CONFIGURATION
    try:
        refused = list(read_config(service.set_environment).warnings)
    except ConfigInvalid as invalid:
        refused = [str(problem) for problem in invalid.problems]
    telemetry, _ = _asked(service, (read_telemetry_settings,))
    return names | telemetry, refused


def _agent(service: Service) -> tuple[set[str], list[str]]:
    return _asked(service, _AGENTS[service.module or ""])


def _asked(service: Service, readers: tuple[Callable[[Mapping[str, str]], object], ...]) -> tuple[set[str], list[str]]:
    environment = Asked(service.set_environment)
    refused: list[str] = []
    for read in readers:
        try:
            read(environment)
        except EnvironmentInvalid as invalid:
            refused += invalid.problems
    return environment.names, refused
