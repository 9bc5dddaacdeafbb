"""An agent as a program: its work takes a while, and it waits at gates, which are files, until a test opens them."""

import asyncio
from pathlib import Path

from agentmesh.agent import Agent

agent = Agent("keeper_agent", version="1.0.0", description="Works for a moment, and waits at gates.")


@agent.skill(effect="READ_ONLY")
async def work() -> dict[str, bool]:
    """Work for a tenth of a second."""
    await asyncio.sleep(0.1)
    return {"done": True}


@agent.skill(effect="READ_ONLY", examples=['Wait at the gate "north"'], timeout_seconds=30)
async def wait_at(gate: str) -> dict[str, str]:
    """Wait at a gate until it is open; who is there is told by a file beside it.

    Args:
        gate: Name of the gate.
    """
    Path(f"{gate}.reached").touch()  # noqa: ASYNC240 - takes no time
    while not Path(gate).exists():  # noqa: ASYNC110, ASYNC240 - another process makes the file
        await asyncio.sleep(0.01)
    return {"passed": gate}


if __name__ == "__main__":
    agent.serve()
