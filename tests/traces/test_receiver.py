"""OTLP comes in over gRPC, from the exporters of OpenTelemetry and from anybody else on this machine."""

from __future__ import annotations

import grpc
import pytest
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1 import trace_pb2
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import Link, SpanKind, StatusCode

from agentmesh.listen import CannotListen
from agentmesh.traces.model import SpanKind as Kind
from agentmesh.traces.model import SpanStatus
from agentmesh.traces.reader import TraceReader, TraceUnknown
from agentmesh.traces.serving import Served, serving_traces
from agentmesh.traces.store import Limits
from tests.traces.spans import TRACE_ID, exporter, message, request, send, span


def test_what_the_sdk_exports_is_read_as_it_was_recorded(served: Served, reader: TraceReader) -> None:
    resource = Resource({"service.name": "data_agent", "service.instance.id": "one"})
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(served.otlp_endpoint, insecure=True)))
    tracer = provider.get_tracer("agentmesh")
    with (
        tracer.start_as_current_span("outer", kind=SpanKind.SERVER, attributes={"a": 1, "b": ["x", "y"]}) as outer,
        tracer.start_as_current_span("inner", links=[Link(outer.get_span_context())]) as inner,
    ):
        inner.add_event("happened", {"ratio": 0.5, "yes": True})
        inner.set_status(StatusCode.ERROR, "BROKEN")
    provider.shutdown()
    trace = reader.trace(f"{outer.get_span_context().trace_id:032x}")
    assert [one.name for one in trace.spans] == ["outer", "inner"]
    first, second = trace.spans
    assert (first.service, first.kind, first.scope, first.parent_id) == ("data_agent", Kind.SERVER, "agentmesh", "")
    assert first.attributes == {"a": 1, "b": ["x", "y"]}
    assert first.resource["service.instance.id"] == "one"
    assert first.start_ns <= second.start_ns <= second.end_ns <= first.end_ns
    assert second.parent_id == first.span_id
    assert (second.status, second.status_text) == (SpanStatus.ERROR, "BROKEN")
    assert [(event.name, event.attributes) for event in second.events] == [("happened", {"ratio": 0.5, "yes": True})]
    assert [(link.trace_id, link.span_id) for link in second.links] == [(first.trace_id, first.span_id)]


def test_metrics_are_taken_and_dropped(served: Served) -> None:
    exporting = OTLPMetricExporter(served.otlp_endpoint, insecure=True)
    provider = MeterProvider([PeriodicExportingMetricReader(exporting)])
    provider.get_meter("agentmesh").create_counter("steps").add(1)
    assert provider.force_flush()
    provider.shutdown()


@pytest.mark.parametrize("service", ["metrics.v1.MetricsService", "logs.v1.LogsService"])
def test_other_signals_are_answered_that_all_is_well(served: Served, service: str) -> None:
    with exporter(served.otlp, service) as export:
        assert export(b"", timeout=10) == b""


@pytest.mark.parametrize(
    "changes",
    [
        {"trace_id": b""},
        {"trace_id": b"short"},
        {"trace_id": bytes(16)},
        {"trace_id": b"x" * 17},
        {"span_id": b""},
        {"span_id": bytes(8)},
        {"span_id": b"x" * 9},
        {"parent_span_id": b"x"},
    ],
)
def test_a_span_with_bad_ids_is_refused_and_the_others_are_taken(
    served: Served, reader: TraceReader, changes: dict[str, bytes]
) -> None:
    answer = send(served.otlp, message(span(1, "bad"), **changes), message(span(2, "good")))
    assert answer.partial_success.rejected_spans == 1
    assert answer.partial_success.error_message
    assert [one.name for one in reader.trace(TRACE_ID).spans] == ["good"]


def test_a_parent_of_zeros_is_none(served: Served, reader: TraceReader) -> None:
    send(served.otlp, message(span(1), parent_span_id=bytes(8)))
    assert reader.trace(TRACE_ID).roots


def test_times_and_numbers_that_make_no_sense_are_kept_as_they_are(served: Served, reader: TraceReader) -> None:
    backwards = message(span(1), start_time_unix_nano=2**64 - 1, end_time_unix_nano=0, kind=77)
    backwards.attributes.add(key="nan").value.double_value = float("nan")
    backwards.attributes.add(key="raw").value.bytes_value = b"\xff"
    backwards.attributes.add(key="none")
    send(served.otlp, backwards)
    (read,) = reader.trace(TRACE_ID).spans
    assert (read.start_ns, read.end_ns, read.seconds) == (2**64 - 1, 0, 0)
    assert read.kind is Kind.UNSPECIFIED
    assert read.attributes == {"nan": "NaN", "raw": "/w==", "none": None}


def test_parents_in_a_circle_are_read(served: Served, reader: TraceReader) -> None:
    send(served.otlp, *(message(span(number, parent=number % 3 + 1)) for number in (1, 2, 3)))
    trace = reader.trace(TRACE_ID)
    assert len(trace.spans) == 3
    assert trace.roots == trace.orphans == ()


def test_a_link_with_bad_ids_goes_and_its_span_is_read(served: Served, reader: TraceReader) -> None:
    linked = message(span(1))
    linked.links.add(trace_id=b"x")
    linked.links.add(trace_id=b"x" * 16, span_id=bytes(8))
    linked.links.add(trace_id=b"x" * 16, span_id=b"y" * 8)
    send(served.otlp, linked)
    (read,) = reader.trace(TRACE_ID).spans
    assert [link.span_id for link in read.links] == [b"y".hex() * 8]


def test_garbage_is_a_status_and_not_the_end(served: Served, reader: TraceReader) -> None:
    with exporter(served.otlp) as export:
        with pytest.raises(grpc.RpcError) as raised:
            export(b"\xff\xff\xff", timeout=10)
        assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    send(served.otlp, message(span(1)))
    assert len(reader.trace(TRACE_ID).spans) == 1


def test_a_request_that_is_too_large_is_refused_by_the_core(served: Served) -> None:
    with exporter(served.otlp) as export, pytest.raises(grpc.RpcError) as raised:
        export(bytes(9 * 1024 * 1024), timeout=10)
    assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_a_flood_of_spans_stays_within_the_bounds_and_is_counted() -> None:
    limits = Limits(traces=3, spans_a_trace=1000, total_bytes=1024 * 1024)
    with serving_traces(limits=limits) as served:
        reader = TraceReader(served.url)
        for trace_number in range(1, 6):
            trace_id = f"{trace_number:032x}"
            send(served.otlp, *(message(span(number, trace_id=trace_id)) for number in range(1, 1501)))
        for gone in (1, 2):
            with pytest.raises(TraceUnknown):
                reader.trace(f"{gone:032x}")
        assert [len(reader.trace(f"{number:032x}").spans) for number in (3, 4, 5)] == [1000, 1000, 1000]


@pytest.mark.parametrize("made_of", ["events", "values", "attributes of its process"])
def test_what_is_large_in_memory_alone_stays_within_the_bounds(made_of: str) -> None:
    sent = request(message(span(1)))
    (resource,) = sent.resource_spans
    one = resource.scope_spans[0].spans[0]
    match made_of:
        case "events":
            one.events.extend(trace_pb2.Span.Event() for _ in range(20_000))
        case "values":
            one.attributes.add(key="list").value.array_value.values.extend(AnyValue() for _ in range(20_000))
        case _:
            resource.resource.attributes.add(key="text").value.string_value = "x" * 2_000_000
    with serving_traces(limits=Limits(total_bytes=1024 * 1024)) as served:
        reader = TraceReader(served.url)
        with exporter(served.otlp) as export:
            export(sent.SerializeToString(), timeout=10)
        with pytest.raises(TraceUnknown):
            reader.trace(TRACE_ID)
        send(served.otlp, message(span(1)))
        assert reader.trace(TRACE_ID).spans, "there is room for others"


def test_only_this_machine_is_served() -> None:
    with pytest.raises(CannotListen), serving_traces("0.0.0.0:0"):
        pass


def test_an_address_that_is_taken_is_an_error(served: Served) -> None:
    with pytest.raises(CannotListen), serving_traces(served.http):
        pass
