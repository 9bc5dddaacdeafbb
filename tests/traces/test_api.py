"""Jaeger's API v3, as far as it goes here, over HTTP."""

from __future__ import annotations

import http.client
import json
from contextlib import closing
from urllib.parse import urlencode

import pytest

from agentmesh.jsonvalues import Json
from agentmesh.traces.model import SpanKind
from agentmesh.traces.serving import Served
from tests.traces.spans import BEGAN_NS, TRACE_ID, message, send, span

OTHER_ID = "0af7651916cd43dd8448eb211c80319c"


def _ask(served: Served, path: str, *, method: str = "GET", headers: dict[str, str] | None = None) -> tuple[int, Json]:
    with closing(http.client.HTTPConnection(served.http, timeout=10)) as connection:
        connection.request(method, path, headers=headers or {})
        answer = connection.getresponse()
        body = answer.read()
    return answer.status, json.loads(body) if body else None


@pytest.fixture
def filled(served: Served) -> Served:
    """Two traces: an Ask that called an agent, and one of an hour later."""
    send(served.otlp, message(span(1, "Ask", kind=SpanKind.SERVER), kind=2), message(span(2, "call", parent=1), kind=3))
    send(served.otlp, message(span(3, "Execute", parent=2), kind=2), service="data_agent")
    hour = 3_600_000
    send(served.otlp, message(span(1, "Ask", at_ms=hour, trace_id=OTHER_ID), kind=2))
    return served


def test_a_trace_is_answered_in_otlp_json(served: Served) -> None:
    send(served.otlp, message(span(1, "Ask"), kind=2))
    status, answer = _ask(served, f"/api/v3/traces/{TRACE_ID}")
    assert status == 200
    written = {
        "traceId": TRACE_ID,
        "spanId": "0000000000000001",
        "parentSpanId": "",
        "name": "Ask",
        "kind": 2,
        "startTimeUnixNano": str(BEGAN_NS),
        "endTimeUnixNano": str(BEGAN_NS + 10_000_000),
        "attributes": [],
        "events": [],
        "links": [],
        "status": {"code": 0, "message": ""},
    }
    assert answer == {
        "result": {
            "resourceSpans": [
                {
                    "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "orchestrator"}}]},
                    "scopeSpans": [{"scope": {"name": ""}, "spans": [written]}],
                }
            ]
        }
    }


def test_an_id_may_be_written_in_upper_case_or_without_its_zeros(filled: Served) -> None:
    assert _ask(filled, f"/api/v3/traces/{TRACE_ID.upper()}")[0] == 200
    assert _ask(filled, f"/api/v3/traces/{OTHER_ID.lstrip('0')}")[0] == 200


def test_services_and_who_calls_whom(filled: Served) -> None:
    assert _ask(filled, "/api/v3/services") == (200, {"services": ["data_agent", "orchestrator"]})
    links: Json = [{"parent": "orchestrator", "child": "data_agent", "callCount": 1}]
    assert _ask(filled, "/api/v3/dependencies") == (200, {"dependencies": links})


@pytest.mark.parametrize(
    ("parameters", "found"),
    [
        ({}, {TRACE_ID, OTHER_ID}),
        ({"service_name": "orchestrator"}, {TRACE_ID, OTHER_ID}),
        ({"service_name": "data_agent"}, {TRACE_ID}),
        ({"service_name": "orchestrator", "operation_name": "call"}, {TRACE_ID}),
        ({"service_name": "data_agent", "operation_name": "call"}, set()),
        ({"service_name": "nobody"}, set()),
        ({"num_traces": "1"}, {OTHER_ID}),
        ({"search_depth": "1"}, {OTHER_ID}),
        ({"start_time_min": "2026-01-21T13:00:00Z"}, {OTHER_ID}),
        ({"start_time_max": "2026-01-21T13:00:00+00:00"}, {TRACE_ID}),
    ],
)
def test_traces_are_found_by_service_operation_time_and_number(
    filled: Served, parameters: dict[str, str], found: set[str]
) -> None:
    query = urlencode({f"query.{name}": value for name, value in parameters.items()})
    status, answer = _ask(filled, f"/api/v3/traces?{query}")
    text = json.dumps(answer)
    assert {trace_id for trace_id in (TRACE_ID, OTHER_ID) if trace_id in text} == found
    assert status == (200 if found else 404)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (f"/api/v3/traces/{'0' * 31}1", 404),
        ("/api/v3/traces/", 404),
        ("/api/v3/traces/no-id", 400),
        (f"/api/v3/traces/{'1' * 33}", 400),
        ("/api/v3/traces?query.start_time_min=soon", 400),
        ("/api/v3/traces?query.num_traces=many", 400),
        ("/api/v3/traces?query.duration_min=1s", 400),
        ("/api/v3/traces?" + "&".join(f"a{number}=1" for number in range(50)), 400),
        ("/api/v3/elsewhere", 404),
    ],
)
def test_what_cannot_be_answered_is_an_error_in_jaegers_form(filled: Served, path: str, status: int) -> None:
    got, answer = _ask(filled, path)
    assert got == status
    assert isinstance(answer, dict)
    assert isinstance(error := answer["error"], dict)
    assert error["httpCode"] == status
    assert error["message"]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_nothing_can_be_changed(filled: Served, method: str) -> None:
    assert _ask(filled, f"/api/v3/traces/{TRACE_ID}", method=method)[0] == 405


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://elsewhere.example"},
        {"origin": "null"},
        {"host": "rebound.example:50054"},
        {"host": "192.0.2.1"},
        {"host": ""},
        {"host": "[::1"},
    ],
)
def test_pages_read_nothing_even_if_a_name_server_gives_them_our_address(
    filled: Served, headers: dict[str, str]
) -> None:
    assert _ask(filled, "/api/v3/services", headers=headers)[0] == 403


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:1", "[::1]:50054", "127.3.2.1"])
def test_every_name_of_this_machine_is_served(filled: Served, host: str) -> None:
    assert _ask(filled, "/api/v3/services", headers={"host": host})[0] == 200


def test_it_says_what_it_keeps_and_what_had_to_go(filled: Served) -> None:
    counts = {"received": 4, "refused": 0, "repeated": 0, "dropped": 0}
    assert _ask(filled, "/") == (200, {"traces": 2, "spans": counts})
