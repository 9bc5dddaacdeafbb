"""The call that a skill serves: who asks, until when, how far it is, and what it cost in language models."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Generator
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Final

from agentmesh.agent.feed import Feed
from agentmesh.deadline import Deadline
from agentmesh.v1 import usage_pb2


class Meter:
    """What the skill spends on language models during one call. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._total = usage_pb2.AgentUsage()

    def add(self, llm_calls: int, input_tokens: int, output_tokens: int, cost_usd: float) -> None:
        """Add to the total."""
        with self._lock:
            self._total.llm_calls += llm_calls
            self._total.input_tokens += input_tokens
            self._total.output_tokens += output_tokens
            self._total.cost_usd += cost_usd

    def take(self) -> usage_pb2.AgentUsage | None:
        """Return what was added since this was asked last, so that it is counted once; None for nothing."""
        with self._lock:
            taken, self._total = self._total, usage_pb2.AgentUsage()
        return taken if taken.ByteSize() else None


@dataclass(frozen=True, slots=True)
class Call:
    """One attempt at one call of one skill."""

    skill: str
    """Name of the skill."""
    run_id: str
    """Run that it belongs to; empty when somebody calls the agent directly."""
    step_id: str
    """Step of the plan; empty outside a run."""
    item_index: int | None
    """Position in the list of a for_each step, from 0; None outside one."""
    attempt: int
    """1 is the first."""
    idempotency_key: str
    """The same for every attempt at the same work; empty: not recognisable. Where a skill with effect SIDE_EFFECT runs
    once for several calls with one key, attempt and deadline are those of the first."""
    deadline: Deadline
    """When the caller stops waiting; may be never."""
    meter: Meter = field(default_factory=Meter, repr=False, compare=False)
    feed: Feed = field(default_factory=Feed, repr=False, compare=False)
    begun: threading.Event = field(default_factory=threading.Event, repr=False, compare=False)
    gone: threading.Event = field(default_factory=threading.Event, repr=False, compare=False)

    @property
    def abandoned(self) -> bool:
        """True once nobody waits for the result. An async skill is cancelled then; one in a thread may look here."""
        return self.gone.is_set()


_current: ContextVar[Call] = ContextVar("agentmesh_call")

set_current_call: Final = _current.set


def current_call() -> Call:
    """Return the call that this skill serves; also in threads and tasks that it starts through asyncio.

    Raises:
        LookupError: Outside of a call.
    """
    try:
        return _current.get()
    except LookupError:
        raise LookupError("no call is being served here; current_call() is for skills") from None


class Checkpoint:
    """What `progress` returns. It need not be awaited; where it is, others get their turn, and a cancellation comes."""

    def __await__(self) -> Generator[None, None, None]:
        return asyncio.sleep(0).__await__()


_CHECKPOINT: Final = Checkpoint()


def progress(fraction: float | None = None, message: str = "") -> Checkpoint:
    """Tell whoever watches this call how far it has come; where nobody does, nothing happens.

    `await progress(0.4, "reading")` in an async skill; without `await` in a plain one, from whichever of its threads.
    Somebody who reads slowly gets the latest, and not all.

    Args:
        fraction: Share of the work that is done, 0 to 1; None: not known.
        message: What is being done, for people; cut at 1 KiB.

    Raises:
        LookupError: Outside of a call.
        ValueError: For a fraction outside of 0 to 1.
    """
    if fraction is not None and not 0 <= fraction <= 1:  # NaN is not, either
        raise ValueError(f"a fraction goes from 0 to 1, and {fraction!r} does not")
    current_call().feed.post(fraction, message)
    return _CHECKPOINT


def report_usage(*, llm_calls: int = 0, input_tokens: int = 0, output_tokens: int = 0, cost_usd: float = 0.0) -> None:
    """Add to what this call spent on language models; sent with the response, and also when the skill fails.

    Raises:
        LookupError: Outside of a call.
        ValueError: For a negative number.
    """
    if min(llm_calls, input_tokens, output_tokens, cost_usd) < 0:
        raise ValueError("usage is never negative")
    current_call().meter.add(llm_calls, input_tokens, output_tokens, cost_usd)
