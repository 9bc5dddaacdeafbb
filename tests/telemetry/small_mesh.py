"""Three agents for traces: one finds, one looks up, one looks after settings."""

from __future__ import annotations

from agentmesh import errors
from agentmesh.agent import Agent, current_call, progress


def three_agents() -> tuple[Agent, Agent, Agent]:
    """`data_agent`, `analytics_agent`, `config_agent`."""
    data = Agent("data_agent", version="1.2.0", description="Reports on components.")
    analytics = Agent("analytics_agent", version="2.0.0", description="Scans components for anomalies.")
    config = Agent("config_agent", version="1.0.0", description="Checks the configuration of components.")

    @data.skill(effect="READ_ONLY")
    async def get_report(component: str) -> dict[str, str]:
        """Report on a component."""
        if component == "unknown":
            raise errors.NotFound("there is no such component")
        if component == "broken":
            raise ValueError(component)
        return {"component": component}

    @analytics.skill(effect="READ_ONLY", reports_progress=True)
    async def scan(count: int = 1) -> dict[str, list[str]]:
        """Scan for anomalies: as many as it is told."""
        await progress(0.5, "half of it")
        return {"anomalies": ["checkout", "search", "cart"][:count]}

    @config.skill(effect="READ_ONLY")
    async def check_config(component: str) -> dict[str, bool]:
        """Check the configuration of a component; the first attempt at a flaky one fails."""
        if component == "flaky" and current_call().attempt == 1:
            raise errors.Unreachable("not now")
        return {"sound": True}

    return data, analytics, config
