"""An agent as a program: what a supplier would take for goods."""

from agentmesh.agent import Agent

agent = Agent("supplier_agent", version="1.0.0", description="Quotes prices.")


@agent.skill(effect="READ_ONLY")
def quote(item: str, pieces: int) -> dict[str, float]:
    """Quote a price.

    Args:
        item: Name of the goods.
        pieces: How many.
    """
    return {"price": round(len(item) * pieces * 0.5, 2)}


if __name__ == "__main__":
    agent.serve()
