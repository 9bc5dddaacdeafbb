"""What happens while the traces are recorded: a mesh of real processes is asked five questions, and stopped.

The model is scripted, so that every question has its plan; its completions are real HTTP.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import grpc
import grpc.aio

from agentmesh.jsonvalues import Json
from agentmesh.v1 import orchestrator_service_pb2 as pb
from agentmesh.v1 import orchestrator_service_pb2_grpc, run_pb2
from orchestrator_svc.commands.mesh import ANY_PORT, LocalMesh
from tests.e2e.processes import Process, running
from tests.fakes.llm_replies import calls, says
from tests.fakes.scripted_llm import ScriptedLlm

MODEL = "scripted-1"
STORY_SECONDS = 150.0
"""It takes ten; what hangs is to fail with what it hangs in."""
ASK_SECONDS = 30.0
SHORT_SECONDS = 5.0
"""Enough to plan and to call; the skill that is called never ends."""

REPORT: tuple[str, Json] = ("data_agent__get_report", {"entity": "host"})
TRENDS: tuple[str, Json] = ("analytics_agent__get_trends", {})
CONFIG: tuple[str, Json] = ("config_agent__check_config", {"component": "host"})
FAIL: tuple[str, Json] = ("troubled_agent__fail", {})
HANG: tuple[str, Json] = ("troubled_agent__hang", {})

IN_ORDER: Json = {
    "reason": "the configuration of what stands out",
    "steps": [
        {"id": "trends", "skill": "analytics_agent__get_trends", "arguments": {}},
        {
            "id": "config",
            "skill": "config_agent__check_config",
            "arguments": {"component": "${trends.entity}"},
        },
    ],
}


@dataclass(frozen=True, slots=True)
class TraceIds:
    """The trace of each question."""

    parallel: str
    sequential: str
    failing: str
    """One of two steps fails, and the answer is written from the other."""
    cancelled: str
    """Its caller goes while an agent is at work."""
    timed_out: str
    """Its deadline comes while an agent is at work."""


def tell(exporting: Mapping[str, str]) -> TraceIds:
    """Start the mesh, ask it everything, stop it: by then its processes have exported all that they recorded.

    Args:
        exporting: What tells the processes where to: OTEL_*.
    """
    return asyncio.run(_tell(exporting))


async def _tell(exporting: Mapping[str, str]) -> TraceIds:
    async with asyncio.timeout(STORY_SECONDS), _mesh(exporting) as caller:
        return TraceIds(
            parallel=await caller.answered("How are things?", REPORT, TRENDS, CONFIG),
            sequential=await caller.answered("How is what stands out configured?", ("plan_execution", IN_ORDER)),
            failing=await caller.answered("How are things that are not?", REPORT, FAIL),
            cancelled=await caller.left(),
            timed_out=await caller.timed_out(),
        )


_Asked: TypeAlias = "grpc.aio.UnaryUnaryCall[pb.AskRequest, run_pb2.AskResponse]"


@dataclass(frozen=True, slots=True)
class _Caller:
    orchestrator: orchestrator_service_pb2_grpc.OrchestratorAsyncStub
    llm: ScriptedLlm
    troubled: Process

    async def answered(self, question: str, *chosen: tuple[str, Json]) -> str:
        """Ask what the model routes so; the answer names its trace. A question that was asked before is not routed."""
        self.llm.to_route(calls(*chosen))
        self.llm.to_write(says("All is well."))
        response = await self.orchestrator.Ask(pb.AskRequest(query=question), timeout=ASK_SECONDS)
        return response.trace_id

    async def left(self) -> str:
        """Ask what never ends, and go when the agent is at work."""
        trace_id, asked = self._asked("Will I wait for it?", ASK_SECONDS)
        await self.troubled.says("hanging")
        asked.cancel()
        assert await asked.code() is grpc.StatusCode.CANCELLED
        return trace_id

    async def timed_out(self) -> str:
        """Ask what never ends, and wait in vain."""
        trace_id, asked = self._asked("Will it end in time?", SHORT_SECONDS)
        await self.troubled.says("hanging")
        assert await asked.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        return trace_id

    def _asked(self, question: str, seconds: float) -> tuple[str, _Asked]:
        """Whoever gets no answer knows the trace by having begun it."""
        self.llm.to_route(calls(HANG))
        trace_id = secrets.token_hex(16)
        context = (("traceparent", f"00-{trace_id}-{secrets.token_hex(8)}-01"),)
        return trace_id, self.orchestrator.Ask(pb.AskRequest(query=question), timeout=seconds, metadata=context)


@asynccontextmanager
async def _mesh(exporting: Mapping[str, str]) -> AsyncIterator[_Caller]:
    """Orchestrator, the three agents and a troubled one, each a process that exports its spans."""
    async with ScriptedLlm() as llm:
        model = {"AGENTMESH_LLM_BASE_URL": llm.base_url, "AGENTMESH_LLM_MODELS": MODEL}
        with tempfile.TemporaryDirectory() as logs:
            mesh = LocalMesh({**os.environ, **exporting, **model}, Path(logs))
            try:
                await asyncio.to_thread(mesh.start, ANY_PORT, lambda name, address: None)
                place = {"AGENTMESH_ORCHESTRATOR_ADDRESS": mesh.address}
                async with (
                    running("-m", "tests_jaeger.troubled_agent", environment={**exporting, **place}) as troubled,
                    grpc.aio.insecure_channel(mesh.address) as channel,
                ):
                    await troubled.says("registered")
                    yield _Caller(orchestrator_service_pb2_grpc.OrchestratorStub(channel), llm, troubled)
                    assert await troubled.stop() == 0
            finally:
                await asyncio.to_thread(mesh.stop, grace_seconds=10)
