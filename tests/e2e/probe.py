"""An agent whose skills do what a test asks: answer, wait, fail, return too much."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from agentmesh import errors
from agentmesh.agent import Agent


@dataclass
class Probe:
    """What happened in the agent, and what the test decides."""

    started: asyncio.Event = field(default_factory=asyncio.Event)
    """`wait` was called."""
    release: asyncio.Event = field(default_factory=asyncio.Event)
    """`wait` may return."""
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    """`wait` was cancelled."""
    calls: list[str] = field(default_factory=list)

    def agent(self, name: str = "probe_agent") -> Agent:  # noqa: C901  one function a skill
        probe = Agent(name, version="1.0.0", description="Does what a test asks.")

        @probe.skill(effect="READ_ONLY")
        async def echo(text: str = "", number: float = 0) -> dict[str, Any]:
            """Give back what it got."""
            self.calls.append("echo")
            return {"text": text, "number": number}

        @probe.skill(effect="READ_ONLY")
        async def find(names: list[str]) -> list[dict[str, str]]:
            """Find components by name."""
            self.calls.append("find")
            return [{"component": name} for name in names]

        @probe.skill(effect="READ_ONLY")
        async def wait() -> dict[str, Any]:
            """Wait until it is released."""
            self.calls.append("wait")
            self.started.set()
            try:
                await self.release.wait()
            except asyncio.CancelledError:
                self.cancelled.set()
                raise
            return {}

        @probe.skill(effect="READ_ONLY")
        async def let_go() -> dict[str, Any]:
            """Release `wait`."""
            self.calls.append("let_go")
            self.release.set()
            return {}

        @probe.skill(effect="READ_ONLY")
        async def fail(how: str) -> dict[str, Any]:
            """Fail as asked."""
            self.calls.append("fail")
            match how:
                case "not_found":
                    raise errors.NotFound("there is no such thing")
                case "denied":
                    raise errors.PermissionDenied("not for you")
                case _:
                    raise ValueError(how)

        @probe.skill(effect="READ_ONLY")
        def blob(kilobytes: int) -> dict[str, Any]:
            """Return so many kilobytes."""
            return {"blob": "x" * (kilobytes * 1024)}

        @probe.skill(effect="READ_ONLY")
        def zeros(count: int) -> list[int]:
            """Return so many zeros."""
            return [0] * count

        @probe.skill(effect="SIDE_EFFECT")
        async def order(item: str) -> dict[str, Any]:
            """Order something."""
            self.calls.append("order")
            return {"ordered": item}

        return probe
