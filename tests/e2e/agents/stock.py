"""An agent as a program: what is in stock."""

from agentmesh.agent import Agent
from agentmesh.errors import NotFound

agent = Agent("stock_agent", version="1.0.0", description="Knows what is in stock.")
SHELVES = {"tea": 4, "milk": 0}


@agent.skill(effect="READ_ONLY")
async def list_shelves() -> list[str]:
    """List the names of all goods."""
    return sorted(SHELVES)


@agent.skill(effect="READ_ONLY")
async def count(item: str) -> dict[str, int]:
    """Count the pieces of one item.

    Args:
        item: Name of the goods.
    """
    if item not in SHELVES:
        raise NotFound(f"there is no shelf for {item}")
    return {"pieces": SHELVES[item]}


if __name__ == "__main__":
    agent.serve()
