"""For authors of agents: decorate typed functions, serve them in the mesh."""

# ruff: noqa: E402 - see the line below
import os

from agentmesh.grpc_core_log import silence

# An agent is a program of its own, and this is the first that it imports. The core of gRPC, which comes with what
# follows, reads the variable when it is imported, and never again.
silence(os.environ)

from agentmesh.agent.agent import Agent, AgentDefinitionError
from agentmesh.agent.call import Call, current_call, progress, report_usage
from agentmesh.agent.membership import RegistrationRefused
from agentmesh.agent.running import RunningAgent
from agentmesh.agent.signature import SkillDefinitionError
from agentmesh.cards import Effect

__all__ = [
    "Agent",
    "AgentDefinitionError",
    "Call",
    "Effect",
    "RegistrationRefused",
    "RunningAgent",
    "SkillDefinitionError",
    "current_call",
    "progress",
    "report_usage",
]
