"""Names of gRPC metadata that the mesh gives a meaning. Pure."""

from __future__ import annotations

from typing import Final

AGENT_USAGE: Final = "agentmesh-usage-bin"
"""Trailing metadata of Agent.Execute: a serialized agentmesh.v1.AgentUsage, what the call spent on language models.

Also there when the call fails, so that failed attempts count; left out when nothing was spent. When it succeeds it
equals `ExecuteResponse.usage`: count one of the two.
"""

TRACE_ID: Final = "agentmesh-trace-id"
"""Trailing metadata of Ask and ExecutePlan: the trace that the run is in, 32 hex digits; not there without one."""

RUN_ID: Final = "agentmesh-run-id"
"""Trailing metadata of Ask, Plan and ExecutePlan: the run, also when the call fails; see GetRun."""
