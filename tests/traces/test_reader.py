"""Reading traces back, from what is a trace server and from what is none; waiting until a trace is whole."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from agentmesh.traces.model import Span, SpanKind, Trace
from agentmesh.traces.reader import TraceReader, TracesUnreachable, TracesUnreadable, TraceUnknown
from agentmesh.traces.serving import Served
from agentmesh.traces.settling import missing_from, settled
from tests.telemetry.collectors import closed_port
from tests.traces.spans import TRACE_ID, message, rpc, send, span, trace

SERVER, CLIENT = SpanKind.SERVER, SpanKind.CLIENT


def test_a_trace_that_is_not_there_is_said_to_be_unknown(reader: TraceReader) -> None:
    with pytest.raises(TraceUnknown, match=TRACE_ID):
        reader.trace(TRACE_ID)
    assert reader.find("nobody") == []


def test_services_and_who_calls_whom(served: Served, reader: TraceReader) -> None:
    send(served.otlp, message(span(1)))
    send(served.otlp, message(span(2, parent=1)), message(span(3, parent=1)), service="data_agent")
    assert reader.services() == ["data_agent", "orchestrator"]
    assert reader.dependencies() == {("orchestrator", "data_agent"): 2}


def test_traces_of_the_last_day_are_found(served: Served, reader: TraceReader) -> None:
    now = time.time_ns()
    send(served.otlp, message(span(1, "Ask"), start_time_unix_nano=now, end_time_unix_nano=now))
    send(served.otlp, message(span(1, "Ask", trace_id="1" * 32)))
    assert [found.trace_id for found in reader.find("orchestrator", operation="Ask")] == [TRACE_ID]
    assert reader.find("orchestrator", operation="Plan") == []


def test_where_nothing_listens_it_says_so() -> None:
    with closed_port() as address, pytest.raises(TracesUnreachable, match="nothing serves traces at http://127"):
        TraceReader(f"http://{address}").trace(TRACE_ID)


@contextmanager
def _answering(answer: bytes) -> Iterator[str]:
    """Something that says this to one caller, and ends; empty: that never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(answer)
                if not answer:
                    connection.recv(1)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}"
        finally:
            thread.join()


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n<html>",
        b"HTTP/1.1 404 Not Found\r\ncontent-length: 9\r\n\r\nnot found",
        b'HTTP/1.1 404 Not Found\r\ncontent-length: 25\r\n\r\n{"code": "unimplemented"}',
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n[]",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}",
        b'HTTP/1.1 200 OK\r\ncontent-length: 32\r\n\r\n{"result": {"resourceSpans": 12}}',
        b"HTTP/1.1 500 Oops\r\ncontent-length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\ncontent-length: 999\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\n\r\n" + b"[" * 100_000,
    ],
)
def test_what_is_no_trace_server_is_said_to_be_none(answer: bytes) -> None:
    with _answering(answer) as url, pytest.raises(TracesUnreadable, match=url):
        TraceReader(url).trace(TRACE_ID)


def test_a_server_that_never_answers_is_given_up() -> None:
    with _answering(b"") as url, pytest.raises(TracesUnreachable, match="timed out"):
        TraceReader(url, timeout_seconds=0.05).trace(TRACE_ID)


def test_calls_within_a_service_do_not_count_and_numbers_may_be_texts() -> None:
    said = b"""{"dependencies": [
        {"parent": "a", "child": "a", "callCount": 9}, {"parent": "a", "child": "b", "callCount": "3"},
        {"parent": "a", "child": "c", "callCount": null}, 7]}"""
    with _answering(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(said), said)) as url:
        assert TraceReader(url).dependencies() == {("a", "b"): 3, ("a", "c"): 0}


@pytest.mark.parametrize("url", ["", "127.0.0.1:50054", "ftp://127.0.0.1", "http://", "http://h:port"])
def test_a_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"URL|[Pp]ort"):
        TraceReader(url)


ASK = rpc(1, "agentmesh.v1.Orchestrator/Ask", kind=SERVER, ms=100)
CALL = rpc(2, kind=CLIENT, parent=1)
EXECUTED = rpc(3, kind=SERVER, parent=2, service="data_agent")


@pytest.mark.parametrize(
    ("spans", "missing"),
    [
        ([ASK, CALL, EXECUTED], []),
        ([ASK, CALL], ["what the server made of agentmesh.v1.Agent/Execute (orchestrator); it may export no spans"]),
        ([ASK, EXECUTED], ["the parent of agentmesh.v1.Agent/Execute (data_agent)"]),
        ([EXECUTED], ["the parent of agentmesh.v1.Agent/Execute (data_agent)"]),
        ([CALL, EXECUTED], ["the parent of agentmesh.v1.Agent/Execute (orchestrator)"]),
        ([ASK, rpc(2, kind=CLIENT, parent=1, code="UNAVAILABLE")], []),
        ([ASK, rpc(2, kind=CLIENT, parent=1, code="CANCELLED")], []),
        ([rpc(1, "agentmesh.v1.Orchestrator/Ask", kind=SERVER, parent=9), CALL, EXECUTED], []),
        ([span(1, parent=2), span(2, parent=1)], ["the span that everything began with"]),
    ],
)
def test_a_trace_is_whole_when_every_parent_and_every_side_of_an_answered_call_is_there(
    spans: list[Span], missing: list[str]
) -> None:
    assert list(missing_from(trace(*spans))) == missing


class Meanwhile(TraceReader):
    """Something happens after the first look."""

    def __init__(self, url: str, happens: Callable[[], object]) -> None:
        super().__init__(url)
        self._happens: Callable[[], object] | None = happens

    def trace(self, trace_id: str) -> Trace:
        found = super().trace(trace_id)
        if self._happens is not None:
            self._happens()
            self._happens = None
        return found


def test_it_waits_for_what_comes_late(served: Served) -> None:
    send(served.otlp, message(span(1, "root"), end_time_unix_nano=2**63))  # just ended, as far as it says
    reader = Meanwhile(served.url, lambda: send(served.otlp, message(span(2, "late", parent=1))))
    found = settled(reader, TRACE_ID)
    assert found.complete
    assert [one.name for one in found.trace.spans] == ["root", "late"]


def test_it_says_what_is_missing_when_the_time_is_up(served: Served, reader: TraceReader) -> None:
    send(served.otlp, message(span(2, "stray", parent=1), end_time_unix_nano=2**63))
    found = settled(reader, TRACE_ID, timeout_seconds=0.2)
    assert found.missing == ("the parent of stray (orchestrator)",)


def test_it_waits_for_a_trace_that_has_not_come_and_gives_up_in_time(reader: TraceReader) -> None:
    with pytest.raises(TraceUnknown):
        settled(reader, TRACE_ID, timeout_seconds=0.2)
