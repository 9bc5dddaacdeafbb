"""Telemetry of a process: what is exported where, by the standard variables."""

from __future__ import annotations

import re
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from tests.telemetry.collectors import Collector, attributes, collecting
from tests.telemetry.programs import run, said, waiting

ONE_SPAN = "tracer.start_span('one').end()\ntelemetry.close()\n"
ONE_OF_BOTH = "meter.create_counter('things').add(3)\n" + ONE_SPAN


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting(Collector()) as running:
        yield running


def names(collector: Collector) -> tuple[list[str], list[str]]:
    """Of spans, of metrics."""
    return [span.name for span in collector.spans], [metric.name for metric in collector.metrics]


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"OTEL_SERVICE_NAME": "named", "OTEL_TRACES_SAMPLER": "always_on"},
        {"OTEL_TRACES_EXPORTER": "none", "OTEL_METRICS_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://x:1"},
        {"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"},
    ],
    ids=["no variables", "no endpoint", "no exporter", "disabled"],
)
def test_where_nothing_is_to_be_exported_the_sdk_is_not_even_imported(environment: dict[str, str]) -> None:
    lines = run(
        "say(recording=tracer.start_span('s').is_recording())\n"
        "say(imported=[m for m in sys.modules if m.startswith(('opentelemetry.sdk', 'opentelemetry.exporter'))])\n"
        "telemetry.close()",
        **environment,
    )
    assert said(lines) == {"recording": False, "imported": []}
    assert {line["event"] for line in lines} == {"said"}


@pytest.mark.parametrize(("address", "tls"), [("http://127.0.0.1:1", False), ("127.0.0.1:1", True)])
def test_the_log_says_where_to_and_whether_with_tls_which_an_address_without_a_scheme_means(
    address: str,
    tls: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    lines = run("telemetry.close()", OTEL_EXPORTER_OTLP_ENDPOINT=address, OTEL_METRIC_EXPORT_INTERVAL="60000")
    exported = [line for line in lines if line["event"] in ("traces are exported", "metrics are exported")]
    assert [(line["target"], line["tls"]) for line in exported] == [("127.0.0.1:1", tls)] * 2


def test_with_an_endpoint_spans_and_metrics_are_exported_by_the_end_of_the_process(collector: Collector) -> None:
    run(ONE_OF_BOTH, OTEL_EXPORTER_OTLP_ENDPOINT=f"http://{collector.address}")
    assert names(collector) == (["one"], ["things"])


@pytest.mark.parametrize(("signal", "expected"), [("TRACES", (["one"], [])), ("METRICS", ([], ["things"]))])
def test_a_signal_with_an_endpoint_of_its_own_goes_there_alone(
    collector: Collector, signal: str, expected: tuple[list[str], list[str]]
) -> None:
    run(ONE_OF_BOTH, **{f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT": f"http://{collector.address}"})
    assert names(collector) == expected


def test_spans_and_metrics_are_exported_while_the_process_runs(collector: Collector) -> None:
    environment = {"OTEL_BSP_SCHEDULE_DELAY": "1", "OTEL_METRIC_EXPORT_INTERVAL": "1"}
    program = "meter.create_counter('things').add(3)\ntracer.start_span('one').end()\nsys.stdin.readline()"
    with waiting(program, OTEL_EXPORTER_OTLP_ENDPOINT=f"http://{collector.address}", **environment):
        collector.until(lambda: bool(collector.spans and collector.metrics))


def test_the_process_says_what_it_is(collector: Collector) -> None:
    run(ONE_SPAN, OTEL_EXPORTER_OTLP_ENDPOINT=f"http://{collector.address}")
    resource = attributes(list(collector.resources[0].attributes))
    assert len(resource.pop("service.instance.id")) == 36
    assert resource.pop("telemetry.sdk.language") == "python"
    assert {name: value for name, value in resource.items() if name.startswith("service.")} == {
        "service.name": "testing",
        "service.namespace": "agentmesh",
        "service.version": "1.2.3",
    }


def test_the_environment_knows_better_what_the_process_is(collector: Collector) -> None:
    run(
        ONE_SPAN,
        OTEL_EXPORTER_OTLP_ENDPOINT=f"http://{collector.address}",
        OTEL_SERVICE_NAME="renamed",
        OTEL_RESOURCE_ATTRIBUTES="service.name=not this,service.namespace=shop%2C+1,deployment.environment.name=test",
    )
    resource = attributes(list(collector.resources[0].attributes))
    assert resource["service.name"] == "renamed"
    assert resource["service.namespace"] == "shop,+1"
    assert resource["deployment.environment.name"] == "test"


def test_headers_go_with_every_export_and_messages_can_be_compressed(collector: Collector) -> None:
    run(
        ONE_OF_BOTH,
        OTEL_EXPORTER_OTLP_ENDPOINT=f"http://{collector.address}",
        OTEL_EXPORTER_OTLP_HEADERS="Authorization=Bearer%20secret,x-team=mesh",
        OTEL_EXPORTER_OTLP_METRICS_HEADERS="x-team=metrics",
        OTEL_EXPORTER_OTLP_COMPRESSION="gzip",
    )
    sent = {(metadata.get("authorization"), metadata["x-team"]) for metadata in collector.metadata}
    assert sent == {("Bearer secret", "mesh"), (None, "metrics")}


def test_what_is_sampled_out_is_not_exported_and_a_child_goes_with_its_parent(collector: Collector) -> None:
    parent = (
        "from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context\n"
        "def under(flags):\n"
        "  return set_span_in_context(NonRecordingSpan(SpanContext(7, 7, True, TraceFlags(flags))))\n"
        "tracer.start_span('sampled', under(1)).end()\n"
        "tracer.start_span('not sampled', under(0)).end()\n"
    )
    environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{collector.address}"}
    ratio = {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0"}
    lines = run(parent + ONE_SPAN, **environment, **ratio)
    assert names(collector)[0] == ["sampled"]
    assert not [line for line in lines if "spans_lost" in line]
    run(ONE_SPAN, **environment, OTEL_TRACES_SAMPLER="always_off")
    assert names(collector)[0] == ["sampled"]


def test_a_measurement_within_a_sampled_span_is_exported_with_its_trace(collector: Collector) -> None:
    lines = run(
        "duration = meter.create_histogram('duration', unit='s', explicit_bucket_boundaries_advisory=[0.1, 1])\n"
        "duration.record(5)\n"
        "with tracer.start_as_current_span('s') as span:\n"
        "  duration.record(0.5)\n"
        "  say(trace_id=trace.format_trace_id(span.get_span_context().trace_id))\n"
        "telemetry.close()",
        OTEL_EXPORTER_OTLP_ENDPOINT=f"http://{collector.address}",
    )
    (metric,) = collector.metrics
    (point,) = metric.histogram.data_points
    assert (metric.unit, list(point.explicit_bounds), list(point.bucket_counts)) == ("s", [0.1, 1], [0, 1, 1])
    assert [(e.as_double, e.trace_id.hex()) for e in point.exemplars] == [(0.5, said(lines)["trace_id"])]


@pytest.mark.parametrize(("limit", "kept"), [({}, 8192), ({"OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": "20"}, 20)])
def test_a_huge_span_is_cut(collector: Collector, limit: dict[str, str], kept: int) -> None:
    run(
        "span = tracer.start_span('huge', attributes={f'a{n}': 'x' * 100_000 for n in range(1000)})\n"
        "span.add_event('e', {'text': 'x' * 100_000})\n"
        "for _ in range(1000): span.add_event('many')\n"
        "span.end()\n"
        "telemetry.close()",
        OTEL_EXPORTER_OTLP_ENDPOINT=f"http://{collector.address}",
        OTEL_SPAN_EVENT_COUNT_LIMIT="5",
        **limit,
    )
    (span,) = collector.spans
    assert (len(span.attributes), span.dropped_attributes_count) == (128, 872)
    assert {len(pair.value.string_value) for pair in span.attributes} == {kept}
    assert (len(span.events), span.dropped_events_count) == (5, 996)


def test_closing_again_does_nothing(collector: Collector) -> None:
    run(ONE_OF_BOTH + "telemetry.close()", OTEL_EXPORTER_OTLP_ENDPOINT=f"http://{collector.address}")
    assert names(collector) == (["one"], ["things"])


def test_an_endpoint_without_a_scheme_is_spoken_to_by_tls_unless_told_otherwise(collector: Collector) -> None:
    lines = run(ONE_SPAN, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=collector.address)
    assert lines[-1]["spans_lost"] == 1
    run(ONE_SPAN, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=collector.address, OTEL_EXPORTER_OTLP_INSECURE="true")
    assert names(collector)[0] == ["one"]


def page(url: str) -> str:
    with urllib.request.urlopen(url) as response:  # noqa: S310 - http
        content: bytes = response.read()
    return content.decode()


def test_prometheus_pulls_metrics_from_this_machine_until_the_end() -> None:
    program = (
        "meter.create_counter('asks', unit='{ask}').add(2, {'mode': 'NONE'})\n"
        "meter.create_histogram('rpc.call.duration', unit='s').record(0.5)\n"
        "sys.stdin.readline()\n"
        "telemetry.close()\n"
        "say(closed=True)\n"
        "sys.stdin.readline()\n"
    )
    with waiting(program, OTEL_METRICS_EXPORTER="prometheus", OTEL_EXPORTER_PROMETHEUS_PORT="0") as process:
        line = process.line()
        assert line["event"] == "metrics can be pulled"
        assert line["url"].startswith("http://127.0.0.1:")
        pulled = page(line["url"])
        process.let_on()
        assert process.line() == {"event": "said", "closed": True}
        with pytest.raises(urllib.error.URLError, match="refused"):
            page(line["url"])
        assert process.go_on() == []
    assert re.search(r'^asks_total\{mode="NONE",.*\} 2\.0$', pulled, re.MULTILINE)
    assert re.search(r"^rpc_call_duration_seconds_count\{.*\} 1\.0$", pulled, re.MULTILINE)
    assert 'service_name="testing"' in pulled
    assert "python_gc" not in pulled


def test_an_address_that_is_taken_costs_the_page_and_nothing_else() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        lines = run(
            "say(up=True)\ntelemetry.close()",
            OTEL_METRICS_EXPORTER="prometheus",
            OTEL_EXPORTER_PROMETHEUS_PORT=str(taken.getsockname()[1]),
        )
    assert [line["event"] for line in lines] == ["metrics cannot be pulled", "said"]
    assert lines[0]["reason"] == "Address already in use"
