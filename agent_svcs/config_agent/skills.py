"""The skills of config_agent."""

from __future__ import annotations

from agent_svcs.config_agent.checking import check_component, list_all
from agent_svcs.config_agent.directory import ConfigDirectory
from agent_svcs.config_agent.model import CheckedConfig, Components
from agent_svcs.config_agent.settings import Settings
from agentmesh.agent import Agent


def build_agent(settings: Settings) -> Agent:
    """The agent with its skills, not yet serving."""
    directory = ConfigDirectory(settings.directory)
    agent = Agent(
        "config_agent",
        version="0.1.0",
        description="Shows and checks how components are configured, without their secrets.",
    )

    @agent.skill(
        effect="READ_ONLY",
        timeout_seconds=10.0,
        tags=["config", "configuration", "settings", "validation", "schema", "file"],
        examples=[
            "How is the orchestrator configured?",
            "Show me the settings of data_agent",
            "Is the configuration of config_agent valid?",
            "What is wrong with the config of analytics_agent?",
            "Fetch the configuration file of a service",
            "When was the configuration of the host last changed?",
            "Which value does the setting for timeouts have in the orchestrator?",
            "Validate the settings of a component against its schema",
            "Give me the effective config and its content hash",
            "Look up which port the service is set to listen on",
        ],
    )
    def check_config(component: str) -> CheckedConfig:
        """Get the effective configuration of a component, checked against its JSON Schema, with secrets masked.

        With its source file, content hash, modified time, and findings. Shows files and their defaults, not what
        environment variables of a running process override.

        Args:
            component: Name of the component, e.g. host, orchestrator, data_agent, analytics_agent, config_agent.
        """
        return check_component(directory, component)

    @agent.skill(
        effect="READ_ONLY",
        timeout_seconds=10.0,
        tags=["config", "components", "inventory"],
        examples=[
            "Which components have a configuration?",
            "List all configured components",
            "What can you show the settings of?",
            "Show the available configuration files",
            "For which services is there a config?",
            "Enumerate the configurations that you know",
        ],
    )
    def list_components() -> Components:
        """List every component that has a configuration, with its file, format, size and time of change."""
        return list_all(directory)

    return agent
