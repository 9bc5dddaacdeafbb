"""Logs: JSON lines with the ids that are bound (`structlog.contextvars.bind_contextvars(run_id=...)`) and of the span.

Call it once, in the main of a process; without it structlog prints for people.
"""

from __future__ import annotations

import contextlib
import logging
import sys
from typing import Final, TextIO

import structlog
from opentelemetry import trace

from agentmesh.telemetry.content import captures_content
from agentmesh.telemetry.failures import WITHHELD, traceback_of

_QUOTING: Final = ("opentelemetry.baggage", "opentelemetry.trace")
"""Loggers that quote a header of a caller where it is malformed."""
LEVELS: Final = ("debug", "info", "warning", "error", "critical")


def _format_exception(exc_info: structlog.typing.ExcInfo) -> str:
    return traceback_of(exc_info[1])


def _add_span(_logger: object, _method: str, line: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Of the span within which the line is written; where the SDK is not set up, of the caller's, if it sent one."""
    span = trace.get_current_span().get_span_context()
    if span.is_valid and "trace_id" not in line:
        line["trace_id"] = trace.format_trace_id(span.trace_id)
        line["span_id"] = trace.format_span_id(span.span_id)
    return line


PROCESSORS: Final[tuple[structlog.typing.Processor, ...]] = (
    structlog.contextvars.merge_contextvars,
    _add_span,
    structlog.processors.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.ExceptionRenderer(_format_exception),
)
"""What makes a line out of what is logged, but for its form."""


def configure_logs(*, level: str = "info", stream: TextIO | None = None) -> None:
    """Write everything, also what libraries log through `logging`, as JSON lines.

    A line has `event`, `level`, `scope` (of a library `logger`), `timestamp` (UTC, ISO 8601), what is bound, within a
    span `trace_id` and `span_id` (hex, as collectors show them), and for an exception its traceback as text, which
    is `agentmesh.telemetry.failures.traceback_of`. A line that cannot be written is lost: nothing fails because nobody
    reads.

    Args:
        level: One of `LEVELS`; what is below it is not written.
        stream: Standard output by default.

    Raises:
        ValueError: For another level.
    """
    if level not in LEVELS:
        raise ValueError(f"{level!r} is no log level: {', '.join(LEVELS)}")
    number = logging.getLevelNamesMapping()[level.upper()]
    target = stream or sys.stdout
    render = structlog.processors.JSONRenderer()  # ASCII: text with half a surrogate pair is written, too
    structlog.configure(
        processors=[*PROCESSORS, render],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=lambda *_: _Lines(target),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(target)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[_without_content, structlog.stdlib.add_logger_name, *PROCESSORS],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render],
        )
    )
    from_libraries = max(number, logging.WARNING)
    handler.setLevel(from_libraries)  # a library may set a lower level for its own logger
    logging.basicConfig(level=from_libraries, handlers=[handler], force=True)


def _without_content(_logger: object, _method: str, line: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Of what a library says, where content is not captured: what is known not to quote anybody."""
    if captures_content():
        return line
    said: logging.LogRecord = line["_record"]
    if said.name.startswith(_QUOTING):
        line["event"] = str(said.msg).replace("%s", WITHHELD)
    line["event"] = str(line["event"]).partition("\n")[0]  # asyncio goes on with what exceptions and tasks hold
    return line


class _Lines:
    """Writes each line at once; the method is called by the name of the level."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def msg(self, line: str) -> None:
        with contextlib.suppress(OSError, ValueError):  # a broken pipe, a closed file
            self._stream.write(line + "\n")
            self._stream.flush()

    debug = info = warning = error = critical = msg
