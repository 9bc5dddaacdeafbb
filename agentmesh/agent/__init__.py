"""For authors of agents: decorate typed functions, serve them in the mesh."""

from agentmesh.agent.agent import Agent, AgentDefinitionError
from agentmesh.agent.call import Call, current_call, report_usage
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
    "report_usage",
]
