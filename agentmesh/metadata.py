"""Names of gRPC metadata that the mesh gives a meaning. Pure."""

from __future__ import annotations

from typing import Final

AGENT_USAGE: Final = "agentmesh-usage-bin"
"""Trailing metadata of Agent.Execute: a serialized agentmesh.v1.AgentUsage, what the call spent on language models.

Also there when the call fails, so that failed attempts count; left out when nothing was spent. When it succeeds it
equals `ExecuteResponse.usage`: count one of the two.
"""

RUN_ID: Final = "agentmesh-run-id"
"""Trailing metadata of Ask, Plan and ExecutePlan: the run, also when the call fails; see GetRun."""
