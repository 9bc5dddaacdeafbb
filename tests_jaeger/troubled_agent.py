"""An agent as a program whose skills never succeed: one fails, one never ends."""

import asyncio

import structlog

from agentmesh.agent import Agent
from agentmesh.errors import NotFound

agent = Agent("troubled_agent", version="1.0.0", description="Fails.")


@agent.skill(effect="READ_ONLY")
async def fail() -> str:
    """Fail."""
    raise NotFound("there is nothing")


@agent.skill(effect="READ_ONLY")
async def hang() -> str:
    """Never end."""
    structlog.get_logger().info("hanging")
    await asyncio.Event().wait()
    return ""


if __name__ == "__main__":
    agent.serve()
