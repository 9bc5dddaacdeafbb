"""The lightest agent there is, for Asks a second: what those measure is the mesh, and not an agent at work."""

from __future__ import annotations

from agentmesh.agent import Agent

agent = Agent("echo_agent", version="0.1.0", description="Gives back what it gets.")


@agent.skill(effect="READ_ONLY", examples=["Echo 'good morning'", "Repeat the text 'one two three'"])
async def echo(text: str) -> dict[str, str]:
    """Echo a text: give it back as it is.

    Args:
        text: The text, which the question quotes.
    """
    return {"text": text}


if __name__ == "__main__":
    agent.serve()
