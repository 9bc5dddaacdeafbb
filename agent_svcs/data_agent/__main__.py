"""Serves data_agent until SIGTERM or SIGINT: `python -m agent_svcs.data_agent`."""

from agent_svcs.data_agent.skills import build_agent

if __name__ == "__main__":
    build_agent().serve()
