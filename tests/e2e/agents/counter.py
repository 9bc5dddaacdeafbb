"""An agent as a program that counts goods, and logs what it was called with.

Its second version, which it is where COUNTER_VERSION is 2, takes its argument under another name.
"""

from __future__ import annotations

import asyncio
import os

import structlog

from agentmesh.agent import Agent

_log = structlog.get_logger()
TAKES = {1: "item", 2: "goods"}
"""What the argument is called in each version."""


def counter_agent(version: int) -> Agent:
    agent = Agent("counter_agent", version=f"{version}.0.0", description="Counts goods.")

    async def answer(**arguments: str) -> dict[str, int]:
        _log.info("called", arguments=arguments)
        await asyncio.sleep(0.2)  # so that there are calls in flight at any time
        return {"pieces": len("".join(arguments.values()))}

    async def count_item(item: str) -> dict[str, int]:
        """Count the pieces of some goods."""
        return await answer(item=item)

    async def count_goods(goods: str) -> dict[str, int]:
        """Count the pieces of some goods."""
        return await answer(goods=goods)

    count = count_item if version == 1 else count_goods
    agent.skill(effect="READ_ONLY", name="count", examples=['Count the pieces of "milk"'])(count)
    return agent


if __name__ == "__main__":
    counter_agent(int(os.environ.get("COUNTER_VERSION", "1"))).serve()
