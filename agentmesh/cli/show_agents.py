"""Who is in the mesh, as people read it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final

from agentmesh.cli.output import Node, Output, Span
from agentmesh.client.agents import (
    AgentChange,
    AgentChanged,
    AgentInfo,
    AgentRemoved,
    AgentsListed,
    EndpointInfo,
    Listing,
    SkillInfo,
)
from agentmesh.client.enums import EndpointState
from agentmesh.jsonvalues import JsonObject

_OF_AN_ENDPOINT: Final = ("endpoint", "state", "heartbeat", "in flight")


def show_agents(output: Output, listing: Listing, now: datetime) -> None:
    """Write a row an endpoint. In a terminal heartbeats are so many seconds ago, in a pipe they are moments."""
    if not listing.agents:
        output.line("no agents; one registers by itself when it starts, see `agentmesh up`")
        return
    rows = [
        [
            agent.name,
            agent.version,
            *_cells(endpoint, now, relative=output.rich),
            ", ".join(skill.id.removeprefix(f"{agent.name}__") for skill in agent.skills),
        ]
        for agent in listing.agents
        for endpoint in agent.endpoints
    ]
    output.table(["agent", "version", *_OF_AN_ENDPOINT, "skills"], rows)


def show_skills(output: Output, agents: Sequence[AgentInfo]) -> None:
    """Write every skill with its arguments."""
    for agent in agents:
        output.heading(agent.name, agent.description)
        output.tree([_skill(skill) for skill in agent.skills])


def show_agent(output: Output, agent: AgentInfo, now: datetime) -> None:
    """Write everything about an agent."""
    output.heading(f"{agent.name} {agent.version}", agent.description)
    output.table([*_OF_AN_ENDPOINT], [_cells(endpoint, now, relative=output.rich) for endpoint in agent.endpoints])
    for skill in agent.skills:
        output.heading(skill.id, ", ".join(_terms(skill)))
        output.text(skill.description)
        for title, schema in (("arguments", skill.input_schema), ("result", skill.output_schema)):
            if schema:
                output.line((f"{title}:", "bold"))
                output.json(schema)
        if skill.examples:
            output.line(("examples:", "bold"))
            for example in skill.examples:
                output.line(f"  {example}")


def lines_of(change: AgentChange) -> Iterator[str]:
    """A line for each agent that a change is about: what happened, name, version, endpoints."""
    match change:
        case AgentsListed(listing=listing):
            yield from (_line("listed", agent) for agent in listing.agents)
        case AgentChanged(agent=agent):
            yield _line("changed", agent)
        case AgentRemoved(name=name, card_digest=digest):
            yield f"removed  {name}  {digest}"
        case _:
            return


def state_of(endpoint: EndpointInfo) -> str:
    return "-" if endpoint.state is EndpointState.UNKNOWN else endpoint.state


def heartbeat_of(endpoint: EndpointInfo, now: datetime, *, relative: bool) -> str:
    last = endpoint.last_heartbeat_at
    if last is None:
        return "-"
    if relative:
        return f"{max(0, round((now - last).total_seconds()))} s ago"
    return last.isoformat(timespec="seconds").replace("+00:00", "Z")


def _cells(endpoint: EndpointInfo, now: datetime, *, relative: bool) -> list[str]:
    heartbeat = heartbeat_of(endpoint, now, relative=relative)
    return [endpoint.address, state_of(endpoint), heartbeat, str(endpoint.calls_in_flight)]


def _line(what: str, agent: AgentInfo) -> str:
    addresses = " ".join(endpoint.address for endpoint in agent.endpoints)
    return f"{what:<7}  {agent.name}  {agent.version}  {agent.card_digest}  {addresses}"


def _terms(skill: SkillInfo) -> Iterator[str]:
    """What there is to say of a skill in words."""
    if skill.effect is not None:
        yield skill.effect
    if skill.timeout_seconds is not None:
        yield f"{skill.timeout_seconds:g} s an attempt"
    if skill.reports_progress:
        yield "reports progress"
    if skill.tags:
        yield f"tags {' '.join(skill.tags)}"


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
