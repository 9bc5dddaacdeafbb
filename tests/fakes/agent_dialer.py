"""A dialer whose agents are cards in this process; it passes the contract suite."""

from __future__ import annotations

from agentmesh.errors import AddressUnreachable
from agentmesh.jsonvalues import JsonObject


class ServedAgents:
    """Implements `AgentDialer` for the agents that it was told of."""

    def __init__(self) -> None:
        self._cards: dict[str, JsonObject] = {}
        self._silent: set[str] = set()
        self.dialled: list[str] = []
        """Addresses, in order."""

    def serve(self, address: str, card: JsonObject) -> None:
        """From now on an agent with this card serves there."""
        self._cards[address] = card
        self._silent.discard(address)

    def stop(self, address: str) -> None:
        """From now on nobody serves there."""
        del self._cards[address]

    def say_not_serving(self, address: str) -> None:
        """The agent there is about to stop, or has just started."""
        self._silent.add(address)

    async def card_at(self, address: str) -> JsonObject:
        self.dialled.append(address)
        if address not in self._cards:
            raise AddressUnreachable(f"nobody serves at {address}")
        if address in self._silent:
            raise AddressUnreachable(f"the agent at {address} says NOT_SERVING")
        return self._cards[address]
