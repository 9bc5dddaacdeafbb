"""What a watcher knows of the agents: a value, and how each change makes the next one of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from agentmesh.client import (
    AgentChange,
    AgentChanged,
    AgentInfo,
    AgentRemoved,
    AgentsListed,
    EndpointInfo,
    EndpointsReported,
)


@dataclass(frozen=True)
class AgentsView:
    """Who is there."""

    by_digest: Mapping[str, AgentInfo] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def agents(self) -> list[AgentInfo]:
        """Ordered by name, then version."""
        return sorted(self.by_digest.values(), key=lambda agent: (agent.name, agent.version, agent.card_digest))

    def after(self, change: AgentChange) -> AgentsView:
        """Return what is known then."""
        match change:
            case AgentsListed():
                return AgentsView({agent.card_digest: agent for agent in change.listing.agents})
            case AgentChanged(agent=agent):
                return AgentsView({**self.by_digest, agent.card_digest: agent})
            case AgentRemoved(card_digest=gone):
                return AgentsView({digest: agent for digest, agent in self.by_digest.items() if digest != gone})
            case EndpointsReported(endpoints=endpoints):
                return self._with({endpoint.address: endpoint for endpoint in endpoints})
            case _:
                return self

    def _with(self, latest: Mapping[str, EndpointInfo]) -> AgentsView:
        return AgentsView(
            {
                digest: replace(agent, endpoints=tuple(latest.get(one.address, one) for one in agent.endpoints))
                for digest, agent in self.by_digest.items()
            }
        )
