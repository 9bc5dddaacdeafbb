"""What the log says of exports that fail: a line now and then, never one a batch, without tracebacks."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

import grpc
import structlog

_SAY_AGAIN_SECONDS: Final = 60.0
_EXPORTERS: Final = "opentelemetry.exporter.otlp.proto.grpc.exporter"
_QUEUES: Final = "opentelemetry.sdk._shared_internal"
_log: Final = structlog.get_logger(scope="agentmesh.telemetry")


class Report:
    """How exporting one signal goes. Its lines come at once, and then at most once a minute."""

    def __init__(
        self, signal: str, target: str, *, waiting: int = 0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Begin with nothing exported.

        Args:
            signal: `traces` or `metrics`.
            target: Where it goes.
            waiting: How many spans may wait to be exported.
            clock: In seconds.
        """
        self._names: Final = {"signal": signal, "target": target}
        self._waiting = waiting
        self._clock = clock
        self._lock: Final = threading.Lock()
        self._ended = 0
        self._taken = 0
        self._exported = 0
        self._failed = 0
        self._dropped = 0
        self._dropped_said = 0
        self._said_at: float | None = None
        self._failing = False
        self._closing = False

    def ended(self) -> None:
        """Another span waits to be exported."""
        with self._lock:
            self._ended += 1

    @contextmanager
    def exporting(self, spans: int = 0) -> Iterator[None]:
        """Within it, what the exporter says is about this signal."""
        self._taken += spans
        # What has ended and was not handed over waits, or found no room. Nearest the truth while the queue is full.
        self._dropped = max(self._dropped, self._ended - self._taken - self._waiting)
        token = _CURRENT.set(self)
        try:
            yield
        finally:
            _CURRENT.reset(token)

    def succeeded(self, spans: int = 0) -> None:
        self._exported += spans
        if self._failing:
            self._failing = False
            _log.info("telemetry is exported again", **self._names, **self._lost(self._failed + self._dropped))
        elif self._dropped > self._dropped_said and self._is_time():
            self._dropped_said = self._dropped
            _log.warning("spans end faster than they are exported", **self._names, **self._lost(self._dropped))

    def failed(self, spans: int = 0) -> None:
        self._failed += spans

    def trouble(self, code: str) -> None:
        """An attempt has failed with this status; another may follow."""
        if not self._closing and self._is_time():
            self._failing = True
            lost = self._lost(self._failed + self._dropped)
            _log.warning("telemetry cannot be exported", **self._names, reason=code, **lost)

    def closing(self) -> None:
        """From here on an export may be cut off by us."""
        self._closing = True

    def closed(self) -> None:
        """Say how many spans never arrived: nothing is exported any more."""
        if lost := self._lost(self._ended - self._exported):
            _log.warning("spans were not exported", **self._names, **lost)

    @staticmethod
    def _lost(spans: int) -> dict[str, int]:
        return {"spans_lost": spans} if spans > 0 else {}

    def _is_time(self) -> bool:
        now = self._clock()
        if self._said_at is not None and now - self._said_at < _SAY_AGAIN_SECONDS:
            return False
        self._said_at = now
        return True


_CURRENT: Final[ContextVar[Report | None]] = ContextVar("agentmesh_exporting", default=None)


class _StatusLines(logging.Handler):
    """Takes the lines of an exporter, one or more a batch, and keeps the status that they are about."""

    def emit(self, record: logging.LogRecord) -> None:
        report = _CURRENT.get()
        arguments = record.args if isinstance(record.args, tuple) else ()
        for code in arguments:
            if report is not None and isinstance(code, grpc.StatusCode):
                report.trouble(code.name)


def _is_error(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.ERROR


def take_over_lines() -> None:
    """Let `Report` say what the exporters and the queues of the SDK would say; once a process."""
    exporters = logging.getLogger(_EXPORTERS)
    exporters.addHandler(_StatusLines())
    exporters.propagate = False
    logging.getLogger(_QUEUES).addFilter(_is_error)  # "Queue full" is counted; a bug keeps its traceback
