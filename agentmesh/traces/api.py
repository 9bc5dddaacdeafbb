"""Traces over HTTP: of Jaeger's stable API v3 what readers of this project use, and the graph of services.

    GET /api/v3/traces/{trace_id}          {"result": {"resourceSpans": [...]}}, OTLP in JSON
    GET /api/v3/traces?query.service_name= the same, of several traces, the latest first
    GET /api/v3/services                   {"services": ["orchestrator", ...]}
    GET /api/v3/dependencies               {"dependencies": [{"parent": ..., "child": ..., "callCount": 3}, ...]}
    GET /                                  what is kept and what had to go

The paths, parameters and shapes of answers are those of https://github.com/jaegertracing/jaeger-idl
(proto/api_v3/query_service.proto). A search has a service, an operation, times and a number; other parameters are
refused, because an answer without them would be a wrong one.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import islice
from typing import Final
from urllib.parse import parse_qsl

from agentmesh.http.asgi import Receive, Scope, Send, send_json
from agentmesh.jsonvalues import Json, JsonObject
from agentmesh.traces.model import NANOSECONDS, Trace, calls_between
from agentmesh.traces.otlp_json import write_spans
from agentmesh.traces.store import TraceStore

_TRACES: Final = "/api/v3/traces"
_TRACE_ID: Final = re.compile(r"[0-9a-f]{32}\Z")
_COMMON_TRACES: Final = 20
"""What a search gives that does not say how many."""
_MOST_TRACES: Final = 100
_MOST_PARAMETERS: Final = 16
_HOST: Final = re.compile(r"(?:\[(?P<v6>[^\]]*)\]|(?P<host>[^:]*))(?::\d*)?\Z")

_Parameters = Mapping[str, str]


class _Refused(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class TraceApi:
    """An ASGI application over a store; in the thread of that."""

    def __init__(self, store: TraceStore) -> None:
        self._store = store
        self._answers: Mapping[str, Callable[[_Parameters], JsonObject]] = {
            _TRACES: self._found,
            "/api/v3/services": self._services,
            "/api/v3/dependencies": self._dependencies,
            "/": lambda _: {"traces": len(self._store), "spans": asdict(self._store.counts)},
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - requests have no body
        try:
            _check_caller(scope)
            answer = self._answer(scope["path"], _parameters(scope["query_string"]))
        except _Refused as refused:
            headers = [("allow", "GET")] if refused.status == 405 else []
            error: JsonObject = {"httpCode": refused.status, "message": str(refused)}
            await send_json(send, refused.status, {"error": error}, headers)
            return
        await send_json(send, 200, answer, [("cache-control", "no-store")])

    def _answer(self, path: str, parameters: _Parameters) -> JsonObject:
        answer = self._answers.get(path)
        if answer is not None:
            return answer(parameters)
        if path.startswith(f"{_TRACES}/"):
            return self._trace(path.removeprefix(f"{_TRACES}/"))
        raise _Refused(404, "there is no such path; a trace is at /api/v3/traces/{trace_id}")

    def _trace(self, given: str) -> JsonObject:
        trace_id = given.lower().zfill(32)  # Jaeger takes ids without their leading zeros
        if not _TRACE_ID.match(trace_id):
            raise _Refused(400, "malformed parameter trace_id: 32 hex digits")
        trace = self._store.trace(trace_id)
        if trace is None:
            raise _Refused(404, "trace not found")
        return {"result": write_spans(trace.spans)}

    def _found(self, parameters: _Parameters) -> JsonObject:
        search = _Search.of(parameters)
        traces = list(islice(filter(search, self._store.traces()), search.count))
        if not traces:
            raise _Refused(404, "No traces found")
        return {"result": write_spans(span for trace in traces for span in trace.spans)}

    def _services(self, _parameters: _Parameters) -> JsonObject:
        return {"services": [*sorted({span.service for span in self._store.spans() if span.service})]}

    def _dependencies(self, _parameters: _Parameters) -> JsonObject:
        calls = sorted(calls_between(self._store.spans()).items())
        links: list[Json] = [{"parent": parent, "child": child, "callCount": count} for (parent, child), count in calls]
        return {"dependencies": links}


class _Search:
    """What a trace must have to be found."""

    def __init__(self, service: str, operation: str, since_ns: float, until_ns: float, count: int) -> None:
        self._service = service
        self._operation = operation
        self._since_ns = since_ns
        self._until_ns = until_ns
        self.count = count

    @classmethod
    def of(cls, parameters: _Parameters) -> _Search:
        given = {name.removeprefix("query."): value for name, value in parameters.items()}
        known = {"service_name", "operation_name", "start_time_min", "start_time_max", "num_traces", "search_depth"}
        if unknown := sorted(given.keys() - known):
            raise _Refused(400, f"this cannot be searched for: {', '.join(unknown)}")
        count = given.get("search_depth") or given.get("num_traces") or str(_COMMON_TRACES)
        if not re.fullmatch(r"[0-9]{1,6}", count):
            raise _Refused(400, "malformed parameter query.num_traces: a number")
        return cls(
            given.get("service_name", ""),
            given.get("operation_name", ""),
            _nanoseconds("start_time_min", given, default=float("-inf")),
            _nanoseconds("start_time_max", given, default=float("inf")),
            min(int(count), _MOST_TRACES),
        )

    def __call__(self, trace: Trace) -> bool:
        return self._since_ns <= trace.start_ns <= self._until_ns and any(
            self._service in ("", span.service) and self._operation in ("", span.name) for span in trace.spans
        )


def _nanoseconds(name: str, given: _Parameters, *, default: float) -> float:
    if not given.get(name):
        return default
    try:
        at = datetime.fromisoformat(given[name])
    except ValueError:
        raise _Refused(400, f"malformed parameter query.{name}: a time as 2026-01-31T12:00:00Z") from None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * NANOSECONDS


def _parameters(query: bytes) -> _Parameters:
    try:
        return dict(parse_qsl(query.decode("ascii"), max_num_fields=_MOST_PARAMETERS))
    except ValueError:
        raise _Refused(400, "the parameters are malformed, or too many") from None


def _check_caller(scope: Scope) -> None:
    """Refuse what changes something, and pages: whoever browses on this machine reaches its loopback address.

    A page of another origin says so; one whose name a name server has turned into our address says that name.
    """
    if scope["method"] != "GET":
        raise _Refused(405, "ask with GET")
    headers = dict(scope["headers"])
    if b"origin" in headers:
        raise _Refused(403, "pages may not read traces")
    found = _HOST.match(headers.get(b"host", b"").decode("latin-1"))
    if found is None or not _is_this_machine(found["v6"] or found["host"]):
        raise _Refused(403, "ask by the address of this machine: 127.0.0.1, [::1] or localhost")


def _is_this_machine(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
