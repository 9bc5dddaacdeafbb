"""Reads traces where they can be read: from the server of `agentmesh up`, or from Jaeger; both have the same API.

Synchronous, with the HTTP client of the standard library: a coroutine asks in a thread (`asyncio.to_thread`).
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import quote, urlencode, urlsplit

from agentmesh.jsonvalues import Json, JsonObject
from agentmesh.traces.model import Span, Trace
from agentmesh.traces.otlp_json import NotOtlp, read_spans

_TRACES: Final = "/api/v3/traces"
_MOST_BYTES: Final = 64 * 1024 * 1024
_AROUND: Final = timedelta(days=1)
"""How far a search reaches back and, for clocks that differ, ahead."""
_NOT_FOUND: Final = 404


class TracesUnreadable(Exception):
    """No traces can be read there; the message says why."""


class TracesUnreachable(TracesUnreadable):
    """Nothing answers at the address."""


class TraceUnknown(Exception):
    """There is no such trace: not yet, no more, or there never was."""


class TraceReader:
    """Asks one address.

    Args:
        url: As `http://127.0.0.1:50054` or `https://jaeger.example/jaeger`; credentials are not taken.
        timeout_seconds: For each answer.

    Raises:
        ValueError: The URL is none.
    """

    def __init__(self, url: str, *, timeout_seconds: float = 5.0) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{url} is no URL: as http://127.0.0.1:50054")
        connect = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        host, port, self._path = parts.hostname, parts.port, parts.path.rstrip("/")
        self._connect: Callable[[], http.client.HTTPConnection] = lambda: connect(host, port, timeout=timeout_seconds)
        self.url = url

    def trace(self, trace_id: str) -> Trace:
        """Return what there is of a trace.

        Raises:
            TraceUnknown: Nothing.
            TracesUnreadable: No traces can be read there.
        """
        answer = self._get(f"{_TRACES}/{quote(trace_id, safe='')}")
        if answer is None:
            raise TraceUnknown(f"there is no trace {trace_id} at {self.url}")
        return Trace.of(trace_id, self._read(answer))

    def find(self, service: str, *, operation: str = "") -> list[Trace]:
        """Return the latest traces of the last day that the service has a span in, at most 20.

        Raises:
            TracesUnreadable: No traces can be read there.
        """
        now = datetime.now(UTC)
        answer = self._get(
            _TRACES,
            {
                "query.service_name": service,
                "query.operation_name": operation,
                "query.start_time_min": _rfc3339(now - _AROUND),
                "query.start_time_max": _rfc3339(now + _AROUND),
                "query.num_traces": "20",
            },
        )
        spans = [] if answer is None else self._read(answer)
        return [Trace.of(trace_id, spans) for trace_id in dict.fromkeys(span.trace_id for span in spans)]

    def services(self) -> list[str]:
        """Return every service, sorted.

        Raises:
            TracesUnreadable: No traces can be read there.
        """
        answer = self._get("/api/v3/services")
        return sorted(name for name in self._list(answer, "services") if isinstance(name, str))

    def dependencies(self) -> dict[tuple[str, str], int]:
        """Return the calls of the last day by who called whom; without those within a service, which Jaeger counts too.

        Raises:
            TracesUnreadable: No traces can be read there.
        """
        now = datetime.now(UTC)
        between = {"start_time": _rfc3339(now - _AROUND), "end_time": _rfc3339(now + _AROUND)}
        answer, name = None, "dependencies"
        with suppress(TracesUnreadable):  # Jaeger learned that path late: before, its pages are what answers there
            answer = self._get("/api/v3/dependencies", between)
        if answer is None:
            milliseconds = int((now + _AROUND).timestamp() * 1000)
            back = int(2 * _AROUND.total_seconds() * 1000)
            answer, name = self._get("/api/dependencies", {"endTs": str(milliseconds), "lookback": str(back)}), "data"
        counts: dict[tuple[str, str], int] = {}
        for link in self._list(answer, name):
            if isinstance(link, dict):
                pair = str(link.get("parent", "")), str(link.get("child", ""))
                if pair[0] != pair[1]:
                    counts[pair] = counts.get(pair, 0) + _count(link.get("callCount"))
        return counts

    def _read(self, answer: JsonObject) -> list[Span]:
        try:
            return read_spans(answer.get("result"))
        except NotOtlp as error:
            raise TracesUnreadable(f"what answers at {self.url} is no Jaeger: {error}") from None

    def _list(self, answer: JsonObject | None, name: str) -> list[Json]:
        found = None if answer is None else answer.get(name)
        if found is None:
            return []
        if not isinstance(found, list):
            raise TracesUnreadable(f"what answers at {self.url} is no Jaeger: {name} is no list")
        return found

    def _get(self, path: str, parameters: dict[str, str] | None = None) -> JsonObject | None:
        """Return the answer; None where there is nothing."""
        query = {name: value for name, value in (parameters or {}).items() if value}
        target = f"{self._path}{path}?{urlencode(query)}" if query else f"{self._path}{path}"
        try:
            with closing(self._connect()) as connection:
                connection.request("GET", target, headers={"accept": "application/json"})
                response = connection.getresponse()
                body = response.read(_MOST_BYTES + 1)
        except http.client.HTTPException as error:
            raise TracesUnreadable(f"what answers at {self.url} is no HTTP: {type(error).__name__}") from None
        except OSError as error:
            raise TracesUnreachable(f"nothing serves traces at {self.url}: {error.strerror or error}") from None
        document = _document(body)
        if response.status == _NOT_FOUND and document is not None and isinstance(document.get("error"), dict):
            return None  # as it says that there is no such trace; others say otherwise that there is no such path
        if response.status != http.client.OK or document is None:
            raise TracesUnreadable(
                f"what answers at {self.url} is no Jaeger: {response.status} {response.reason}, not a trace in JSON"
            )
        return document


def _count(value: Json) -> int:
    """A 64-bit integer, which JSON may have as a text."""
    return int(value) if isinstance(value, int) or (isinstance(value, str) and value.isdecimal()) else 0


def _document(body: bytes) -> JsonObject | None:
    """An object in JSON; None for anything else."""
    try:
        document = json.loads(body) if len(body) <= _MOST_BYTES else None
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _rfc3339(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
