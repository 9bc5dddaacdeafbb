"""Agents that describe themselves and can do nothing else: what a registry sees of an agent in another language."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc.aio

from agentmesh.v1 import agent_service_pb2, agent_service_pb2_grpc, card_pb2


class CardServicer(agent_service_pb2_grpc.AgentServicer):
    """Describes itself."""

    def __init__(self, card: card_pb2.AgentCard) -> None:
        self._card = card

    async def Describe(
        self, request: agent_service_pb2.DescribeRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> agent_service_pb2.DescribeResponse:
        return agent_service_pb2.DescribeResponse(card=self._card)


@asynccontextmanager
async def serving_card(card: card_pb2.AgentCard, listen: str = "127.0.0.1:0") -> AsyncIterator[str]:
    """Describe says this card, at the address that is given; there is no health service."""
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    agent_service_pb2_grpc.add_AgentServicer_to_server(CardServicer(card), server)  # type: ignore[abstract]
    port = server.add_insecure_port(listen)
    await server.start()
    try:
        yield listen if listen.startswith("unix:") else f"{listen.rpartition(':')[0]}:{port}"
    finally:
        await server.stop(None)
