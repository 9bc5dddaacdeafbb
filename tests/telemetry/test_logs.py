"""Logs are JSON lines on standard output, with what is bound."""

import json
import subprocess
import sys
from typing import Any

import pytest

from agentmesh.telemetry.logs import configure_logs


def logged(program: str, level: str = "info") -> list[dict[str, Any]]:
    """Lines of a process of its own: logging is set up once in each."""
    head = (
        "import logging, sys, structlog\n"
        "from agentmesh.telemetry.logs import configure_logs\n"
        f"configure_logs(level={level!r})\n"
        "log = structlog.get_logger(scope='tests')\n"
    )
    done = subprocess.run([sys.executable, "-c", head + program], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_line_has_event_level_scope_time_and_what_is_bound() -> None:
    (line,) = logged("structlog.contextvars.bind_contextvars(run_id='r1')\nlog.info('rpc', duration_ms=1.5)")
    assert line.pop("timestamp").endswith("Z")
    assert line == {"event": "rpc", "level": "info", "scope": "tests", "run_id": "r1", "duration_ms": 1.5}


DIVIDED = "try:\n  1 / 0\nexcept ZeroDivisionError as error:\n  log.error('unexpected', exc_info=error)"
CAPTURED = "from agentmesh.telemetry.content import capture_content\ncapture_content(captured=True)\n"


def test_a_traceback_is_part_of_its_line_without_what_the_exception_says() -> None:
    (line,) = logged(DIVIDED)
    assert line["level"] == "error"
    assert "Traceback (most recent call last)" in line["exception"]
    assert line["exception"].endswith("\nZeroDivisionError: <withheld>")


def test_where_content_is_captured_it_has_that_too_and_the_log_warns_of_it() -> None:
    warning, line = logged(CAPTURED + DIVIDED)
    assert (warning["level"], warning["event"].partition(":")[0]) == ("warning", "content is captured")
    assert line["exception"].endswith("\nZeroDivisionError: division by zero")


FORGOTTEN = """
import asyncio, gc

async def fail():
    raise ValueError('a secret')

async def forget():
    task = asyncio.create_task(fail())
    await asyncio.wait([task])

asyncio.run(forget())
gc.collect()
"""


def test_of_what_a_library_says_of_an_exception_the_first_line_is_told_and_the_lines_of_code() -> None:
    (line,) = logged(FORGOTTEN)
    assert (line["event"], line["logger"]) == ("Task exception was never retrieved", "asyncio")
    assert line["exception"].endswith("\nValueError: <withheld>")
    assert "secret" not in str(line)


HEADERS = """
from agentmesh.telemetry.propagation import get_global_textmap
parent = "00-5b8aa5a2d2c872e8321cf37308d69df2-051581bf3cb55c13-01"
get_global_textmap().extract({"traceparent": parent, "tracestate": "a secret", "baggage": "a secret"})
get_global_textmap().extract({"baggage": "secret" * 2000})
"""


def test_what_a_library_says_of_a_malformed_header_does_not_quote_it() -> None:
    lines = logged(HEADERS)
    assert [line["event"] for line in lines] == [
        "Member doesn't match the w3c identifiers format <withheld>",
        "Baggage list-member `<withheld>` doesn't match the format",
        "Baggage header `<withheld>` exceeded the maximum number of bytes per baggage-string",
    ]
    assert "secret" not in str(lines)
    assert "a secret" in str(logged(CAPTURED + HEADERS))


def test_where_content_is_captured_all_of_it_is_told() -> None:
    _, line = logged(CAPTURED + FORGOTTEN)
    assert "ValueError('a secret')" in line["event"]
    assert line["exception"].endswith("\nValueError: a secret")


def test_libraries_log_in_the_same_form_from_warning_on() -> None:
    lines = logged("logging.getLogger('lib').warning('careful %s', 1)\nlogging.getLogger('lib').info('chatter')")
    assert [(line["event"], line["level"], line["logger"]) for line in lines] == [("careful 1", "warning", "lib")]


def test_a_library_that_sets_its_own_level_is_held_to_ours() -> None:
    assert logged("log = logging.getLogger('lib'); log.setLevel('DEBUG'); log.debug('chatter')", "debug") == []


def test_what_is_below_the_level_is_not_written() -> None:
    program = "log.debug('a'); log.info('b'); log.warning('c'); log.error('d')"
    assert [line["event"] for line in logged(program, "warning")] == ["c", "d"]
    assert [line["event"] for line in logged(program, "debug")] == ["a", "b", "c", "d"]


def test_text_that_is_no_unicode_and_values_that_are_no_json_are_written_all_the_same() -> None:
    (line,) = logged(r"log.info('half \ud800 \u20ac', what=object())")
    assert line["event"] == "half \ud800 \u20ac"
    assert line["what"].startswith("<object object")


def test_nothing_fails_because_nobody_reads() -> None:
    program = (
        "import os, sys, structlog\n"
        "from agentmesh.telemetry.logs import configure_logs\n"
        "reader, writer = os.pipe()\n"
        "os.close(reader)\n"
        "configure_logs(stream=os.fdopen(writer, 'w'))\n"
        "structlog.get_logger().info('to nobody')\n"
        "print('goes on', flush=True)\n"
        "os._exit(0)\n"  # Python's own flush at the end would fail
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "goes on\n"


def test_another_level_is_refused() -> None:
    with pytest.raises(ValueError, match="'loud' is no log level: debug, info, warning, error, critical"):
        configure_logs(level="loud")


IN_A_SPAN = """
from opentelemetry import trace
context = trace.SpanContext(0x5b8aa5a2d2c872e8321cf37308d69df2, 0x051581bf3cb55c13, is_remote=False)
span = trace.use_span(trace.NonRecordingSpan(context))
"""


def test_a_line_within_a_span_has_its_ids_also_that_of_a_library() -> None:
    lines = logged(IN_A_SPAN + "with span:\n  log.info('ours')\n  logging.getLogger('lib').warning('theirs')")
    assert [(line["event"], line["trace_id"], line["span_id"]) for line in lines] == [
        ("ours", "5b8aa5a2d2c872e8321cf37308d69df2", "051581bf3cb55c13"),
        ("theirs", "5b8aa5a2d2c872e8321cf37308d69df2", "051581bf3cb55c13"),
    ]


def test_a_line_outside_of_spans_has_no_ids_of_one() -> None:
    lines = logged(IN_A_SPAN + "with span:\n  pass\nlog.info('ours')\nlogging.getLogger('lib').warning('theirs')")
    assert [line.keys() & {"trace_id", "span_id"} for line in lines] == [set(), set()]


def test_ids_that_a_line_brings_are_not_replaced() -> None:
    (line,) = logged(IN_A_SPAN + "with span:\n  log.info('of another', trace_id='t1', span_id='s1')")
    assert (line["trace_id"], line["span_id"]) == ("t1", "s1")


def test_the_ids_need_no_sdk() -> None:
    (line,) = logged("log.info('loaded', sdk='opentelemetry.sdk' in sys.modules)")
    assert line["sdk"] is False
