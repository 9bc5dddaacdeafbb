"""An agent that does nothing, for as long as OVERLOAD_AGENT_SECONDS says (0 by default)."""

from __future__ import annotations

import asyncio
import os

from agentmesh.agent import Agent

NAME = "overload_agent"
SECONDS_VARIABLE = "OVERLOAD_AGENT_SECONDS"

agent = Agent(NAME, version="0.1.0", description="Gives back what it gets.")


@agent.skill(effect="READ_ONLY", examples=["Echo 'good morning'", "Repeat the text 'one two three'"])
async def echo(text: str) -> dict[str, str]:
    """Echo a text: give it back as it is.

    Args:
        text: The text, which the question quotes.
    """
    if _SECONDS:
        await asyncio.sleep(_SECONDS)
    return {"text": text}


_SECONDS = float(os.environ.get(SECONDS_VARIABLE, "0"))

if __name__ == "__main__":
    agent.serve()
