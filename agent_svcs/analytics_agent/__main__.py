"""Serves analytics_agent until SIGTERM or SIGINT: `python -m agent_svcs.analytics_agent`."""

import os
import sqlite3
import sys

from agent_svcs.analytics_agent.settings import read_settings
from agent_svcs.analytics_agent.skills import build_agent
from agent_svcs.analytics_agent.store import Store
from agentmesh.env import EnvironmentInvalid


def main() -> None:
    """Reads the settings and serves; wrong settings end the process with 1, each named on stderr."""
    try:
        settings = read_settings(os.environ)
        Store(settings.store, settings.retention_seconds).close()
    except EnvironmentInvalid as error:
        sys.exit("\n".join(error.problems))
    except (OSError, sqlite3.Error) as error:
        sys.exit(f"AGENTMESH_ANALYTICS_AGENT_STORE: cannot be a history: {error}")
    build_agent(settings).serve()


if __name__ == "__main__":
    main()
