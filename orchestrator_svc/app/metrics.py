"""What an orchestrator counts and measures of its own work: every instrument, with its unit and its buckets.

Who knows a fact records it here with one call; without the SDK, which only a process sets up, that costs next to
nothing. Attributes come from closed sets and hold no ids. Names of agents are bounded too: by who is registered.
Rpcs are measured by `agentmesh.telemetry.rpc`, requests to language models where they are sent.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from typing import Final, Protocol

from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.util.types import AttributeValue

from agentmesh.telemetry import names
from agentmesh.telemetry.rpc import SECONDS
from orchestrator_svc.app.endpoint_status import EndpointState
from orchestrator_svc.app.ports.agent_store import Endpoint
from orchestrator_svc.app.run import Run, RunState
from orchestrator_svc.core.outcome import Outcome
from orchestrator_svc.core.plan import Step

CALLS: Final = tuple(range(11))
"""Bounds of the buckets of completions: each number has its own, and more than 2 is an alert."""

_METER: Final = metrics.get_meter(names.SCOPE)

_WORKFLOW_SECONDS: Final = _METER.create_histogram(
    names.WORKFLOW_DURATION,
    unit="s",
    description="Duration of runs, from arrival to answer.",
    explicit_bucket_boundaries_advisory=SECONDS,
)
_LLM_CALLS: Final = _METER.create_histogram(
    names.LLM_CALLS_PER_ASK,
    unit="{call}",
    description="Completions that a run asked language models for.",
    explicit_bucket_boundaries_advisory=CALLS,
)
_OVERHEAD_SECONDS: Final = _METER.create_histogram(
    names.OVERHEAD_DURATION,
    unit="s",
    description="What the mesh itself took of finished runs: without routing, the critical path and writing.",
    explicit_bucket_boundaries_advisory=SECONDS,
)
_STEPS: Final = _METER.create_counter(names.STEPS, unit="{step}", description="Steps that have ended, by outcome.")
_PLAN_CACHE: Final = _METER.create_counter(
    names.PLAN_CACHE, unit="{lookup}", description="Questions that were looked up among the kept plans."
)
_ASKS_ACTIVE: Final = _METER.create_up_down_counter(
    names.ASKS_ACTIVE, unit="{ask}", description="Questions and plans that are worked on."
)
_ASKS_SHED: Final = _METER.create_counter(
    names.ASKS_SHED, unit="{ask}", description="Questions and plans that were refused because too many were worked on."
)
_REGISTRY_CHANGES: Final = _METER.create_counter(
    names.REGISTRY_CHANGES,
    unit="{change}",
    description="Endpoints that joined, left, expired or were refused; each counted by one orchestrator.",
)


class Lookup(StrEnum):
    """What was found for a question among the kept plans."""

    HIT = "hit"
    MISS = "miss"
    STALE = "stale"
    """One that is not sound any more in the catalog of the moment."""


class Change(StrEnum):
    """What happened to an endpoint. One that takes the place of another at its address joins; the other just ends."""

    JOINED = "joined"
    LEFT = "left"
    EXPIRED = "expired"
    """Its lease ended without a heartbeat, or without an answer where a file lists its address."""
    REFUSED = "refused"


def run_ended(run: Run) -> None:
    """Record what a run took."""
    finished = run.state is RunState.FINISHED
    outcome = run.outcome if finished and run.outcome is not None else run.state
    mode: Mapping[str, AttributeValue] = {} if run.plan is None else {names.MODE: run.plan.mode.lower()}
    source = {} if run.plan_source is None else {names.PLAN_SOURCE: run.plan_source.lower()}
    _WORKFLOW_SECONDS.record(run.timings.total, {**mode, names.OUTCOME: outcome.lower()})
    _LLM_CALLS.record(run.ledger.llm_calls, source)
    if finished:  # of others the critical path is not known
        _OVERHEAD_SECONDS.record(run.timings.overhead, mode)


def step_ended(step: Step, outcome: Outcome) -> None:
    """Count a step."""
    _STEPS.add(1, {names.GEN_AI_AGENT_NAME: step.skill.agent, names.STEP_OUTCOME: outcome.kind.lower()})


def plan_looked_up(found: Lookup) -> None:
    """Count a look-up of a plan."""
    _PLAN_CACHE.add(1, {names.CACHE_RESULT: found.value})


def begin() -> None:
    """Have the counters that alerts look at begin at 0: the growth of one is not seen that begins at 1."""
    _ASKS_SHED.add(0)
    for change in Change:
        _REGISTRY_CHANGES.add(0, {names.REGISTRY_CHANGE: change.value})


def ask_entered() -> None:
    """One more is worked on; `ask_left` follows."""
    _ASKS_ACTIVE.add(1)


def ask_left() -> None:
    """One less is worked on."""
    _ASKS_ACTIVE.add(-1)


def ask_shed() -> None:
    """Count one that was refused."""
    _ASKS_SHED.add(1)


def registry_changed(change: Change, count: int = 1) -> None:
    """Count what happened to so many endpoints."""
    if count:
        _REGISTRY_CHANGES.add(count, {names.REGISTRY_CHANGE: change.value})


class EndpointView(Protocol):
    """What one orchestrator knows of endpoints."""

    def seen(self) -> Mapping[Endpoint, tuple[str, EndpointState]]:
        """Agent and state of each; may be called in any thread, at any time."""
        ...


_views: Final[set[EndpointView]] = set()
_told: Final[set[str]] = set()
"""The agents that were ever observed."""
_MAX_TOLD: Final = 1000


@contextmanager
def shown(view: EndpointView) -> Iterator[None]:
    """Have the gauge of endpoints show these while the block lasts.

    An endpoint that several orchestrators of the process see alike is counted once.
    """
    _views.add(view)
    try:
        yield
    finally:
        _views.discard(view)


def _observe(_: CallbackOptions) -> Iterable[Observation]:
    """In the thread of whoever reads the metrics.

    A state that no endpoint is in is said to be 0, and so is one of an agent that has left: what is not said at
    all is shown as it was, for minutes, by whoever collects it.
    """
    endpoints = {(endpoint, *told) for view in tuple(_views) for endpoint, told in view.seen().items()}
    counts = Counter((agent, state) for _, agent, state in endpoints)
    agents = {agent for _, agent, _ in endpoints}
    if len(_told) > _MAX_TOLD:  # those that are gone are forgotten, for want of room
        _told.clear()
    _told.update(agents)
    return [
        Observation(counts[agent, state], {names.GEN_AI_AGENT_NAME: agent, names.ENDPOINT_STATE: state.lower()})
        for agent in sorted(_told)
        for state in EndpointState
    ]


_METER.create_observable_gauge(
    names.REGISTRY_ENDPOINTS,
    callbacks=[_observe],
    unit="{endpoint}",
    description="Endpoints that are listed, as this process finds them.",
)
