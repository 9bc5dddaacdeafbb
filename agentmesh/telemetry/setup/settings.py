"""What is exported, where to, and within which bounds: plain values, made by `reading`.

Without slots, so that a default can be read off its class.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Collector:
    """Where one signal goes over OTLP/gRPC."""

    target: str
    """As gRPC takes it: `host:port`, `dns:///host:port`, `unix:/path`."""
    plaintext: bool = True
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """Metadata of every export; may hold secrets."""
    timeout_seconds: float = 10.0
    """Of one export, its retries included."""
    gzip: bool = False
    root_certificates: str | None = None
    """A PEM file; None: those that gRPC brings."""
    client_certificate: str | None = None
    """A PEM file, for mTLS; None: none is shown."""
    client_key: str | None = None


@dataclass(frozen=True)
class Limits:
    """Of one span: what is more than that is cut or left out."""

    value_characters: int = 8192
    """Of one attribute that is text; OpenTelemetry itself has no limit."""
    attributes: int = 128
    events: int = 128
    event_attributes: int = 128
    links: int = 128
    link_attributes: int = 128


@dataclass(frozen=True)
class Traces:
    """Spans, sent in batches."""

    collector: Collector
    sampler: str = "parentbased_always_on"
    ratio: float = 1.0
    """Of the traces that a sampler named `...traceidratio` takes."""
    queue_spans: int = 2048
    """As many wait to be exported; what ends while it is full is lost, and counted."""
    batch_spans: int = 512
    delay_milliseconds: float = 5000
    """Between exports, while less than a batch waits."""
    limits: Limits = Limits()


@dataclass(frozen=True)
class Pull:
    """Where Prometheus pulls metrics by HTTP."""

    host: str = "127.0.0.1"
    port: int = 9464
    """0: the kernel chooses, and the log says which."""


@dataclass(frozen=True)
class Metrics:
    """Metrics; at least one of the two ways."""

    collector: Collector | None = None
    pull: Pull | None = None
    interval_milliseconds: float = 60_000
    """Between exports to the collector."""
    exemplars: str = "trace_based"
    """Which measurements may be kept as examples: trace_based (those in a sampled span), always_on, always_off."""


@dataclass(frozen=True)
class TelemetrySettings:
    """Of one process."""

    traces: Traces | None = None
    metrics: Metrics | None = None
    resource: tuple[tuple[str, str], ...] = ()
    """Attributes of the process that the environment gives; they win over what the process says of itself."""


NOTHING = TelemetrySettings()
"""Nothing is exported."""
