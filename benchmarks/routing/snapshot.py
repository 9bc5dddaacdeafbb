"""Writes the cards of this repository's agents to catalogs/mesh.json: `python -m benchmarks.routing.snapshot`.

The questions are measured against this committed file, so that a figure can be reproduced; a test says when it is no
longer what the agents say of themselves.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from agent_svcs.analytics_agent.settings import Settings
from agent_svcs.analytics_agent.skills import build_agent as build_analytics_agent
from agent_svcs.config_agent.settings import read_settings
from agent_svcs.config_agent.skills import build_agent as build_config_agent
from agent_svcs.data_agent.skills import build_agent as build_data_agent
from agentmesh.agent import Agent
from agentmesh.card_messages import card_to_json
from agentmesh.jsonvalues import JsonObject

_FILE: Final = Path(__file__).parent / "catalogs" / "mesh.json"


def cards_of_the_mesh() -> list[JsonObject]:
    """The cards of data_agent, analytics_agent and config_agent as they are now."""
    agents: tuple[Agent, ...] = (
        build_data_agent(),
        build_analytics_agent(Settings()),
        build_config_agent(read_settings({})),
    )
    return [card_to_json(agent.card()) for agent in agents]


def main() -> None:
    """Replaces the file."""
    _FILE.write_text(json.dumps({"agents": cards_of_the_mesh()}, indent=1) + "\n")
    print(f"wrote {_FILE}")


if __name__ == "__main__":
    main()
