"""The skills of data_agent."""

from __future__ import annotations

import asyncio
from typing import Final

from agent_svcs.data_agent.measure import take_snapshot
from agent_svcs.data_agent.model import Entities, Report
from agent_svcs.data_agent.report import build_report, find_target, list_all
from agent_svcs.unknown import check_name
from agentmesh.agent import Agent

INTERVAL_SECONDS: Final = 0.25
"""Between the two snapshots of a report. The system counts CPU time in steps of 10 ms: 4 % of one core."""


def build_agent() -> Agent:
    """The agent with its skills, not yet serving."""
    agent = Agent(
        "data_agent",
        version="0.1.0",
        description="Measures the machine it runs on and the processes there: what is the state right now?",
    )
    agent.skill(
        effect="READ_ONLY",
        timeout_seconds=10.0,
        tags=["metrics", "cpu", "memory", "disk", "network", "load", "process", "status", "host"],
        examples=[
            "How busy is the machine at the moment?",
            "Show CPU, memory and disk usage",
            "How much free memory is left on the server?",
            "Which processes use the most CPU right now?",
            "Is the orchestrator running, and since when?",
            "How many threads and open files does analytics_agent have?",
            "Give me a status report of the host",
            "What is the load average and the uptime of this box?",
            "How full are the disks, and how much network traffic is there?",
            "Report the resource usage of the process postgres",
        ],
    )(get_report)
    agent.skill(
        effect="READ_ONLY",
        timeout_seconds=10.0,
        tags=["entities", "processes", "services", "inventory"],
        examples=[
            "What can you report on?",
            "List the services and processes on this machine",
            "Which components of the mesh are running?",
            "Show me everything that is being monitored",
            "Which entities do you know?",
            "Enumerate the programs that run on the host",
        ],
    )(list_entities)
    return agent


async def get_report(entity: str = "host") -> Report:
    """Measure the current system metrics of the host, of a service of the mesh, or of a process by its name.

    CPU, memory, swap, disks, network, load, boot time and the top processes of the host; CPU, memory, threads, open
    files, status and start of a service or process. Only what is true now: for history and anomalies ask for trends.

    Args:
        entity: host (the machine itself, the default), orchestrator, data_agent, analytics_agent, config_agent, or the
            name of a running process.
    """
    check_name("entity", entity)
    before = await asyncio.to_thread(take_snapshot)
    target = find_target(entity, before)
    await asyncio.sleep(INTERVAL_SECONDS)
    after = await asyncio.to_thread(take_snapshot)
    return await asyncio.to_thread(build_report, target, before, after)


def list_entities() -> Entities:
    """List everything that can be reported on: the host, the services of the mesh, and the running processes."""
    return list_all(take_snapshot())
