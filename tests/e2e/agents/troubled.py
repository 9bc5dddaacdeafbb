"""An agent with one skill of each effect that get into trouble: as a function of the call, and in each process anew."""

from __future__ import annotations

import os
import signal
from collections.abc import Awaitable, Callable
from typing import Any

import structlog

from agentmesh.agent import Agent, Call, current_call

Trouble = Callable[[Call], Awaitable[None]]


def troubled_agent(trouble: Trouble) -> Agent:
    """Every skill meets the trouble first, and then answers with the number of the attempt."""
    agent = Agent("troubled_agent", version="1.0.0", description="Looks, stores and pays, if it can.")

    async def answer(item: str) -> dict[str, Any]:
        call = current_call()
        await trouble(call)
        return {"item": item, "attempt": call.attempt}

    @agent.skill(effect="READ_ONLY")
    async def look(item: str = "") -> dict[str, Any]:
        """Look at something."""
        return await answer(item)

    @agent.skill(effect="IDEMPOTENT")
    async def store(item: str = "") -> dict[str, Any]:
        """Store something."""
        return await answer(item)

    @agent.skill(effect="SIDE_EFFECT")
    async def pay(item: str = "") -> dict[str, Any]:
        """Pay for something."""
        return await answer(item)

    return agent


async def die(call: Call) -> None:
    """Tell the log of the call, and end the process in the middle of it."""
    structlog.get_logger().info("called", skill=call.skill, attempt=call.attempt, key=call.idempotency_key)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    troubled_agent(die).serve()
