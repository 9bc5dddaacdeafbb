"""What a caller may say beside a question, a plan, or a wish for a list; the same in both clients."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TypedDict

from agentmesh.cards import Effect
from agentmesh.client.enums import RunOutcome, RunState


class Role(StrEnum):
    """Who said something; orchestrator_service.proto (Role)."""

    USER = "USER"
    ASSISTANT = "ASSISTANT"


@dataclass(frozen=True, slots=True)
class Turn:
    """One earlier message of a conversation."""

    role: Role
    text: str


class CacheMode(StrEnum):
    """How to use the plan cache; orchestrator_service.proto (CacheMode) says what each means."""

    USE = "USE"
    BYPASS = "BYPASS"
    REFRESH = "REFRESH"


@dataclass(frozen=True, slots=True)
class Budget:
    """What a run may spend at most; None: limited by the server alone."""

    llm_calls: int | None = None
    """Completions that the mesh may ask for."""
    tokens: int | None = None
    """Prompt and completion tokens together."""
    cost_usd: float | None = None
    """By the price table of the server; more than 0."""
    agent_calls: int | None = None
    """Calls of agents, attempts and items counted."""


class RoutingOptions(TypedDict, total=False):
    """From what a plan is made. Whatever is left out is as its comment says."""

    history: Iterable[Turn]
    """Earlier messages, oldest first. None."""
    allowed_skills: Iterable[str]
    """Ids of the skills that may be used. Empty: all."""
    max_effect: Effect | None
    """Use no skill that may change more than this. None: IDEMPOTENT."""
    cache_mode: CacheMode | None
    """Whether a plan may be one that was kept for the same question. None: USE."""


class RunOptions(TypedDict, total=False):
    """How to run a plan. Whatever is left out is as its comment says."""

    raw: bool
    """Results of the agents and no text. False."""
    include_results: bool
    """The answer carries the results also with a text. False."""
    conversation_id: str
    """Opaque name of a conversation, recorded with the run. Empty: none."""
    request_id: str
    """Makes a repetition safe: the same caller and request_id get the same answer. Empty: every request is its own."""
    budget: Budget | None
    """None: what the server allows."""
    keep_running: bool
    """The run goes on to its deadline when its caller leaves. False: it is cancelled."""


class AskOptions(RoutingOptions, RunOptions, total=False):
    """How to answer a question."""


class ExecuteOptions(RunOptions, total=False):
    """How to run a plan of the caller's."""

    max_effect: Effect | None
    """As in `RoutingOptions`."""
    query: str
    """The question that the answer is to address; required unless `raw`. Empty."""


class RunFilters(TypedDict, total=False):
    """Which runs are listed: those that fit all of these. None, or empty: whichever."""

    state: RunState | None
    outcome: RunOutcome | None
    started_after: datetime | None
    """Runs that arrived then or later; aware."""
    started_before: datetime | None
    """Runs that arrived earlier than that; aware."""
    conversation_id: str
