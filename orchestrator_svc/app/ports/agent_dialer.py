"""Calls an address back, to see who is there."""

from __future__ import annotations

from typing import Protocol

from agentmesh.jsonvalues import JsonObject


class AgentDialer(Protocol):
    """Makes a connection of its own for each question, and keeps none."""

    async def card_at(self, address: str) -> JsonObject:
        """The card of the agent that serves at the address, in the form of `agentmesh.card_messages.card_to_json`.

        Returns within a few seconds whatever the other side does.

        Raises:
            AddressUnreachable: Nobody there describes itself as an agent, or its health is not SERVING.
        """
        ...
