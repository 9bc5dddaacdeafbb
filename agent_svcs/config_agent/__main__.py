"""Serves config_agent until SIGTERM or SIGINT: `python -m agent_svcs.config_agent`."""

import os
import sys

from agent_svcs.config_agent.settings import read_settings
from agent_svcs.config_agent.skills import build_agent
from agentmesh.env import EnvironmentInvalid


def main() -> None:
    """Reads the settings and serves; wrong settings end the process with 1, each named on stderr."""
    try:
        settings = read_settings(os.environ)
    except EnvironmentInvalid as error:
        sys.exit("\n".join(error.problems))
    build_agent(settings).serve()


if __name__ == "__main__":
    main()
