"""How the context of a trace travels: by the propagators of the process, W3C's trace context and baggage by default."""

from __future__ import annotations

from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.propagators.textmap import TextMapPropagator
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

try:
    from opentelemetry.propagate import get_global_textmap
except ValueError:
    # OTEL_PROPAGATORS names one that is not installed. Servers end with that (`agentmesh.telemetry.setup.reading`); it
    # is no reason for a client, or for whoever imports this library, not to work.
    _W3C = CompositePropagator([TraceContextTextMapPropagator(), W3CBaggagePropagator()])

    def get_global_textmap() -> TextMapPropagator:
        """Return the default."""
        return _W3C


__all__ = ["get_global_textmap"]
