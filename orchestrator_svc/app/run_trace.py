"""Where a run is found in telemetry."""

from __future__ import annotations

from dataclasses import dataclass, field

from opentelemetry.trace import SpanContext

from agentmesh.telemetry.spans import current_context, current_trace_id


@dataclass(slots=True)
class RunTrace:
    """Made where the run begins, so that it has the trace of the request that began it."""

    id: str = field(default_factory=current_trace_id)
    """Of the trace, 32 hex digits; empty where nothing is traced."""
    begun_by: SpanContext = field(default_factory=current_context)
    """The request."""
    span: SpanContext | None = None
    """The run itself; None until it is carried out."""
    steps: dict[str, SpanContext] = field(default_factory=dict)
    """The steps that have been started, by id."""
