"""Settings of config_agent, from its environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agentmesh.env import Environment

SHIPPED: Final = Path(__file__).parent / "components"
"""How the mesh's own services are configured unless their environment says otherwise."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the agent shows."""

    directory: Path = SHIPPED


def read_settings(variables: Mapping[str, str]) -> Settings:
    """Reads AGENTMESH_CONFIG_AGENT_DIR.

    Raises agentmesh.env.EnvironmentInvalid if it names no directory.
    """
    environment = Environment(variables)
    name = "AGENTMESH_CONFIG_AGENT_DIR"
    directory = Path(environment.text(name, str(SHIPPED)))
    if not directory.is_dir():
        environment.problem(name, f"{str(directory)!r} is no directory")
    environment.check()
    return Settings(directory)
