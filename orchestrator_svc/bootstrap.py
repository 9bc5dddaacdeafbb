"""The composition root: the one place that names concrete classes and reads the configuration."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import structlog

from agentmesh.http.connections import Bounds
from agentmesh.http.server import HttpServer
from agentmesh.transport import MeshServer, Service, build_server
from agentmesh.v1 import orchestrator_service_pb2_grpc, registry_service_pb2_grpc
from orchestrator_svc.adapters.bm25_skill_ranker import Bm25SkillRanker
from orchestrator_svc.adapters.grpc_agent_caller import GrpcAgentCaller
from orchestrator_svc.adapters.grpc_agent_dialer import GrpcAgentDialer
from orchestrator_svc.adapters.listed_agents import ListedAgents
from orchestrator_svc.adapters.llm_settings import LlmSettings
from orchestrator_svc.adapters.memory_agent_store import MemoryAgentStore
from orchestrator_svc.adapters.memory_plan_store import MemoryPlanStore
from orchestrator_svc.adapters.memory_run_store import MemoryRunStore
from orchestrator_svc.adapters.offline import embeddings
from orchestrator_svc.adapters.offline_planner import OfflinePlanner
from orchestrator_svc.adapters.offline_synthesizer import OfflineSynthesizer
from orchestrator_svc.adapters.pricing import Price
from orchestrator_svc.adapters.system_clock import SystemClock
from orchestrator_svc.api.callers import Callers
from orchestrator_svc.api.http.server import build_http_server
from orchestrator_svc.api.orchestrator_servicer import OrchestratorServicer
from orchestrator_svc.api.readiness import ORCHESTRATOR, REGISTRY, keep_health, why_not_ready
from orchestrator_svc.api.registry_servicer import WATCH_AGENTS, RegistryServicer
from orchestrator_svc.api.requests import NOT_SUPPORTED
from orchestrator_svc.app import metrics
from orchestrator_svc.app.addresses import AllowedAddresses
from orchestrator_svc.app.admission import Admission
from orchestrator_svc.app.answer import Answering
from orchestrator_svc.app.catalogs import Catalogs
from orchestrator_svc.app.endpoints import Endpoints
from orchestrator_svc.app.execute import ExecuteLimits, Executor
from orchestrator_svc.app.membership import Membership
from orchestrator_svc.app.plan_cache import PlanCache
from orchestrator_svc.app.ports.agent_caller import AgentCaller
from orchestrator_svc.app.ports.agent_dialer import AgentDialer
from orchestrator_svc.app.ports.agent_store import AgentStore
from orchestrator_svc.app.ports.clock import Clock
from orchestrator_svc.app.ports.plan_store import PlanStore
from orchestrator_svc.app.ports.planner import Planner
from orchestrator_svc.app.ports.synthesizer import Synthesizer
from orchestrator_svc.app.retry import RetryPolicy
from orchestrator_svc.app.route import RouteLimits, Router
from orchestrator_svc.app.runs import Runs
from orchestrator_svc.app.synthesize import WriteLimits, Writer
from orchestrator_svc.config import Config
from orchestrator_svc.config.addresses import without_password
from orchestrator_svc.core.budget import Budget
from orchestrator_svc.core.validate import PlanLimits

WHILE_DRAINING = (f"/{REGISTRY}/Heartbeat", f"/{REGISTRY}/Deregister")
"""Without them the runs in flight would lose their agents, or call such as have left."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Minds:
    """Who plans and who writes."""

    planner: Planner
    model: Synthesizer | None
    """None: the renderer writes every answer."""
    close: Callable[[], Awaitable[None]]


class Part(Protocol):
    """What runs beside the server: starts before it, ends after it."""

    async def start(self) -> None: ...
    async def close(self) -> None: ...


class Orchestrator:
    """A server that is bound and not started, and what it holds."""

    def __init__(
        self,
        server: MeshServer,
        runs: Runs,
        registry: RegistryServicer,
        catalogs: Catalogs,
        *,
        endpoints: Endpoints,
        caller: GrpcAgentCaller,
        minds: Minds,
        http: HttpServer | None,
        parts: Sequence[Part],
    ) -> None:
        self.server = server
        self.http = http
        """A companion of the server; None where the configuration wants none."""
        self._runs = runs
        self._registry = registry
        self._catalogs = catalogs
        self._endpoints = endpoints
        self._caller = caller
        self._minds = minds
        self._parts = parts
        self._health: asyncio.Task[None] | None = None
        self._following: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Accept calls, and keep up with who is listed from here on.

        Raises:
            CannotListen: The address for HTTP is taken.
        """
        metrics.begin()
        for part in self._parts:
            await part.start()
        await self.server.start()
        self._health = asyncio.create_task(keep_health(self.server, self._catalogs), name="health")
        self._following = [
            asyncio.create_task(self._endpoints.follow(), name="endpoints"),
            asyncio.create_task(self._caller.follow(), name="links"),
        ]

    async def before_drain(self) -> None:
        """Leave health to the drain, and end the streams that it cannot wait for."""
        self._registry.end_watches()
        await self._stop_health()

    async def _stop_health(self) -> None:
        if self._health is not None:
            self._health.cancel()
            await asyncio.wait([self._health])

    async def close(self) -> None:
        """Let go of channels and clients; the server has stopped before."""
        await self._stop_health()
        await self._runs.close()
        for task in self._following:
            task.cancel()
        await asyncio.gather(*self._following, return_exceptions=True)
        await self._caller.close()
        for part in reversed(self._parts):
            await part.close()
        await self._minds.close()

    async def stop(self) -> None:
        """Stop at once: calls in flight are cancelled."""
        await self.server.stop()
        await self.close()


def build(config: Config, *, minds: Minds | None = None) -> Orchestrator:
    """Put an orchestrator together; call it inside the running event loop.

    Args:
        config: Every setting.
        minds: Planner and synthesizer; by default the configured model, or offline.

    Raises:
        CannotListen: The address is taken, or may not be served without TLS.
    """
    clock = SystemClock()
    minds = minds or _minds(config)
    dialer, allowed = GrpcAgentDialer(), AllowedAddresses.of(config.allowed_addresses)
    store, parts = _agent_store(config, clock, dialer, allowed)
    membership = Membership(store, clock, dialer, allowed)
    endpoints = Endpoints(store, clock)
    catalogs = Catalogs(endpoints, clock, config.catalog_grace_seconds)
    caller = GrpcAgentCaller(endpoints)
    plans, plan_parts = _plan_store(config, clock)
    runs = _runs(config, clock, minds, catalogs=catalogs, caller=caller, plans=plans)
    callers = Callers({name: token.get_secret_value() for name, token in config.caller_tokens.items()})
    orchestrator = Service(
        ORCHESTRATOR,
        orchestrator_service_pb2_grpc.add_OrchestratorServicer_to_server,
        OrchestratorServicer(runs, callers),
    )
    registrar = RegistryServicer(membership, catalogs, endpoints.statuses)
    registry = Service(REGISTRY, registry_service_pb2_grpc.add_RegistryServicer_to_server, registrar)
    server = build_server(
        config.listen,
        [orchestrator, registry],
        allow_plaintext=config.allow_plaintext,
        max_call_seconds=config.max_ask_seconds,
        unlimited=(WATCH_AGENTS,),
        stall_seconds=config.stream_stall_seconds,
        while_draining=WHILE_DRAINING,
        background=lambda: runs.tasks,
        not_supported=NOT_SUPPORTED,
    )
    http = _http(config, server, [orchestrator, registry], store)
    return Orchestrator(
        server,
        runs,
        registrar,
        catalogs,
        endpoints=endpoints,
        caller=caller,
        minds=minds,
        http=http,
        parts=[*parts, *plan_parts],
    )


def _agent_store(
    config: Config, clock: Clock, dialer: AgentDialer, allowed: AllowedAddresses
) -> tuple[AgentStore, Sequence[Part]]:
    """Where registrations are kept, and what follows whom."""
    store: AgentStore = MemoryAgentStore(clock)
    parts: list[Part] = []
    if config.registry_url is not None:
        # The client takes 0.1 s to import, which a mesh of one process need not wait for.
        from orchestrator_svc.adapters.redis_agent_store import RedisAgentStore  # noqa: PLC0415

        store = shared = RedisAgentStore(config.registry_url, without_password(config.registry_url), clock)
        parts.append(shared)
    if config.agents_file is not None:
        store = listed = ListedAgents(store, Path(config.agents_file), dialer, allowed, clock)
        parts.append(listed)
    return store, parts


def _plan_store(config: Config, clock: Clock) -> tuple[PlanStore, Sequence[Part]]:
    """Where plans are kept: with the registrations, so that orchestrators share both."""
    if config.registry_url is None:
        return MemoryPlanStore(config.plan_cache_bytes, clock), ()
    from orchestrator_svc.adapters.redis_plan_store import RedisPlanStore  # noqa: PLC0415 - as above

    shared = RedisPlanStore(config.registry_url, config.plan_cache_bytes, clock)
    return shared, (shared,)


def _http(config: Config, server: MeshServer, services: Sequence[Service], store: AgentStore) -> HttpServer | None:
    """The same rpcs for callers without gRPC; starts and stops with the server."""
    if config.http_address is None:
        return None
    http = build_http_server(
        config.http_address,
        services,
        server.guard,
        lambda: why_not_ready(server),
        concerns=lambda: {"registry": store.trouble} if store.trouble else {},
        allow_plaintext=config.allow_plaintext,
        allowed_origins=config.http_allowed_origins,
        bounds=Bounds(stall_seconds=config.stream_stall_seconds),
    )
    server.accompany(http)
    return http


def _runs(
    config: Config, clock: Clock, minds: Minds, *, catalogs: Catalogs, caller: AgentCaller, plans: PlanStore
) -> Runs:
    store = MemoryRunStore(config.runs_kept, clock=clock, replay_seconds=config.replay_seconds)
    answering = Answering(
        catalogs=catalogs,
        router=_router(config, minds.planner, plans),
        executor=_executor(config, caller),
        writer=Writer(
            minds.model,
            OfflineSynthesizer(),
            WriteLimits(reserve_seconds=config.synthesis_reserve_seconds, reserve_share=config.synthesis_reserve_share),
        ),
        store=store,
        limits=_plan_limits(config),
    )
    return Runs(
        answering,
        store,
        clock,
        Admission(config.max_concurrent_asks, config.admission_wait_seconds),
        Budget(config.budget_llm_calls, config.budget_tokens, config.budget_cost_usd, config.budget_agent_calls),
    )


def _router(config: Config, planner: Planner, plans: PlanStore) -> Router:
    return Router(
        planner,
        Bm25SkillRanker(),
        PlanCache(plans, config.plan_cache_seconds, planner.identity),
        RouteLimits(share_of_deadline=config.route_share, max_tools=config.router_max_tools, plan=_plan_limits(config)),
    )


def _executor(config: Config, caller: AgentCaller) -> Executor:
    retry = RetryPolicy(
        max_attempts=config.max_attempts,
        backoff_seconds=config.retry_backoff_seconds,
        max_backoff_seconds=config.retry_max_backoff_seconds,
        share=config.retry_share,
        burst=config.retry_burst,
    )
    limits = ExecuteLimits(
        skill_timeout_seconds=config.skill_timeout_seconds,
        max_concurrent_calls=config.max_concurrent_calls,
        max_fan_out=config.max_fan_out,
        retry=retry,
    )
    return Executor(caller, limits)


def _plan_limits(config: Config) -> PlanLimits:
    return PlanLimits(max_steps=config.max_steps)


def _minds(config: Config) -> Minds:
    if not config.llm_configured:
        return Minds(_offline_planner(), None, _nothing_to_close)
    # The client takes 0.4 s to import, which an offline mesh need not wait for.
    from orchestrator_svc.adapters.openai_client import OpenAiClient  # noqa: PLC0415
    from orchestrator_svc.adapters.openai_planner import OpenAiPlanner  # noqa: PLC0415
    from orchestrator_svc.adapters.openai_synthesizer import OpenAiSynthesizer  # noqa: PLC0415

    settings = LlmSettings(
        models=config.llm_models,
        base_url=config.llm_base_url,
        api_key=config.llm_api_key.get_secret_value() if config.llm_api_key else None,
        azure_endpoint=config.llm_azure_endpoint,
        azure_deployment=config.llm_azure_deployment,
        azure_api_version=config.llm_azure_api_version,
        max_attempts=config.llm_max_attempts,
        prices={
            model: Price(input_per_million=price.input_per_million, output_per_million=price.output_per_million)
            for model, price in config.llm_prices.items()
        },
        result_cap_bytes=config.llm_result_cap_bytes,
        trace_context=config.llm_trace_context,
    )
    client = OpenAiClient(settings)
    return Minds(OpenAiPlanner(client), OpenAiSynthesizer(client, settings), client.close)


def _offline_planner() -> OfflinePlanner:
    """With sentence embeddings where the extra `offline` is installed."""
    if not embeddings.installed():
        _log.info("no sentence embeddings: the offline planner goes by words alone; the extra `offline` brings them")
        return OfflinePlanner(None)
    _log.info("the offline planner goes by words and sentence embeddings")
    return OfflinePlanner(embeddings.WordllamaEmbedder())


async def _nothing_to_close() -> None:
    return
