"""Who is in the mesh, as people read it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime

from agentmesh.cli.output import Node, Output, Span
from agentmesh.client.agents import AgentInfo, EndpointInfo, Listing, SkillInfo
from agentmesh.jsonvalues import JsonObject


def show_agents(output: Output, listing: Listing, now: datetime) -> None:
    """Write a row an endpoint. In a terminal heartbeats are so many seconds ago, in a pipe they are moments."""
    if not listing.agents:
        output.line("no agents; one registers by itself when it starts, see `agentmesh up`")
        return
    rows = [
        [
            agent.name,
            agent.version,
            endpoint.address,
            _heartbeat(endpoint, now, relative=output.rich),
            ", ".join(skill.id.removeprefix(f"{agent.name}__") for skill in agent.skills),
        ]
        for agent in listing.agents
        for endpoint in agent.endpoints
    ]
    output.table(["agent", "version", "endpoint", "heartbeat", "skills"], rows)


def show_skills(output: Output, agents: Sequence[AgentInfo]) -> None:
    """Write every skill with its arguments."""
    for agent in agents:
        output.heading(agent.name, agent.description)
        output.tree([_skill(skill) for skill in agent.skills])


def _heartbeat(endpoint: EndpointInfo, now: datetime, *, relative: bool) -> str:
    last = endpoint.last_heartbeat_at
    if last is None:
        return "-"
    if relative:
        return f"{max(0, round((now - last).total_seconds()))} s ago"
    return last.isoformat(timespec="seconds").replace("+00:00", "Z")


def _skill(skill: SkillInfo) -> Node:
    effect = "" if skill.effect is None else f"  {skill.effect}"
    line: list[Span] = [(skill.id, "bold"), (effect, "dim"), "  ", skill.description.partition("\n")[0]]
    properties = skill.input_schema.get("properties")
    if not isinstance(properties, dict):
        return Node(line)
    required = skill.input_schema.get("required")
    arguments = [
        Node([(name, "cyan"), _argument(schema, required=isinstance(required, list) and name in required)])
        for name, schema in properties.items()
        if isinstance(schema, dict)
    ]
    return Node(line, tuple(arguments))


def _argument(schema: JsonObject, *, required: bool) -> str:
    kind = _kind(schema)
    parts = [kind] if kind else []
    choices = schema.get("enum")
    if isinstance(choices, list):
        parts.append("one of " + ", ".join(str(choice) for choice in choices))
    default = schema.get("default")
    shown = default if isinstance(default, str) else json.dumps(default, ensure_ascii=False)
    parts.append("required" if required else "optional" if default is None else f"default {shown}")
    described = schema.get("description")
    return f" ({', '.join(parts)})" + (f"  {described}" if isinstance(described, str) else "")


def _kind(schema: JsonObject) -> str:
    """The types that it takes, e.g. `string or integer`; null apart; empty where the schema does not say."""
    options = schema.get("anyOf", [schema])
    given = [option.get("type") for option in options if isinstance(option, dict)] if isinstance(options, list) else []
    names = [name for kind in given for name in (kind if isinstance(kind, list) else [kind]) if isinstance(name, str)]
    return " or ".join(name for name in dict.fromkeys(names) if name != "null")
