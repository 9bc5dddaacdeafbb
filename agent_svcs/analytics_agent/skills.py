"""The skill of analytics_agent, and the task that keeps its history."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Annotated, Final

import psutil
import structlog
from pydantic import Field

from agent_svcs.analytics_agent.history import History
from agent_svcs.analytics_agent.model import Trends
from agent_svcs.analytics_agent.recordings import read_recording
from agent_svcs.analytics_agent.sampler import MeshServices, Sampler
from agent_svcs.analytics_agent.settings import Settings
from agent_svcs.analytics_agent.store import Store
from agent_svcs.analytics_agent.trends import build_trends
from agentmesh.agent import Agent, progress

_log: Final = structlog.get_logger(scope="agent_svcs.analytics_agent")

WindowMinutes = Annotated[int, Field(ge=1, le=1440)]


def build_agent(settings: Settings) -> Agent:
    """The agent with its skill, not yet serving."""
    return _Analytics(settings).agent


class _Analytics:
    """The agent, and the history that exists while it runs."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._history: History | None = None
        self.agent: Final = Agent(
            "analytics_agent",
            version="0.1.0",
            description="Keeps a history of the metrics of the host and of the mesh: how do they develop, and what is"
            " unusual in them?",
            lifespan=self._running,
        )
        self.agent.skill(
            effect="READ_ONLY",
            timeout_seconds=15.0,
            reports_progress=True,
            tags=["trends", "statistics", "anomaly", "history", "time series", "outlier", "slope"],
            examples=[
                "How did CPU usage develop over the last hour?",
                "Is anything behaving unusually?",
                "Were there outliers or spikes recently?",
                "Is memory of the orchestrator growing?",
                "Show the history of the load average for 30 minutes",
                "Which component stands out compared with its normal behaviour?",
                "What was the 95th percentile of the CPU of config_agent?",
                "Detect abnormal metrics on this host",
                "Give me statistics of open files over time",
                "Compare today's resource usage with what is usual",
            ],
        )(self.get_trends)

    def get_trends(self, entity: str = "host", metric: str | None = None, window_minutes: WindowMinutes = 60) -> Trends:
        """Analyse the history of metrics: statistics, slope per hour, and anomalies with their component.

        The window ends at the newest sample. Says whether it is from live samples or from the shipped recording. For
        what is true at this very moment ask for a report instead.

        Args:
            entity: host (the default) covers the machine and every component that runs on it; orchestrator,
                data_agent, analytics_agent or config_agent is that component alone.
            metric: One metric only, e.g. cpu_percent, memory_bytes, threads, open_fds; of the host also
                memory_percent, swap_percent, disk_percent, load_1m. All of them if left out.
            window_minutes: How far back to look, 1 to 1440 minutes.
        """
        assert self._history is not None, "skills are called while the agent runs"
        return build_trends(self._history, entity, metric, window_minutes, progress)

    @asynccontextmanager
    async def _running(self) -> AsyncIterator[None]:
        settings = self._settings
        recording = await asyncio.to_thread(read_recording)
        store = await asyncio.to_thread(Store, settings.store, settings.retention_seconds)
        self._history = History(store, recording, settings.interval_seconds)
        stop = asyncio.Event()
        try:
            # A sampler that fails for a reason nobody foresaw ends the agent instead of leaving its history stale.
            async with asyncio.TaskGroup() as group:
                group.create_task(_keep_sampling(store, settings.interval_seconds, stop), name="sampling")
                try:
                    yield
                finally:
                    stop.set()
        finally:
            await asyncio.to_thread(store.close)


async def _keep_sampling(store: Store, interval_seconds: float, stop: asyncio.Event) -> None:
    """Adds a round every `interval_seconds` until `stop` is set; one that fails is logged and left out."""
    clock = asyncio.get_running_loop().time
    sampler = Sampler(MeshServices())
    due = clock()
    while not stop.is_set():
        try:
            await asyncio.to_thread(lambda: store.append(sampler.sample()))
        except (OSError, psutil.Error, sqlite3.Error) as error:
            _log.warning("samples_left_out", error=str(error))
        due = max(due + interval_seconds, clock())
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), due - clock())
