"""OTLP's JSON: what is written is read again; what others write is read, too; what is none is said to be none."""

import base64
import contextlib
import json

import pytest
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st

from agentmesh.jsonvalues import Json
from agentmesh.traces.model import Span, SpanEvent, SpanKind, SpanLink, SpanStatus
from agentmesh.traces.otlp import spans_of
from agentmesh.traces.otlp_json import NotOtlp, read_spans, write_spans
from tests.traces.spans import TRACE_ID, message, request, span

_numbers = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
_values: st.SearchStrategy[Json] = st.recursive(
    st.booleans() | _numbers | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
_attributes = st.dictionaries(st.text(max_size=5), _values, max_size=3)
_spans = st.builds(
    Span,
    trace_id=st.just(TRACE_ID),
    span_id=st.integers(1, 2**64 - 1).map("{:016x}".format),
    parent_id=st.just("") | st.integers(1, 2**64 - 1).map("{:016x}".format),
    kind=st.sampled_from(SpanKind),
    name=st.text(max_size=5),
    service=st.sampled_from(["orchestrator", "data_agent"]),
    scope=st.sampled_from(["", "agentmesh"]),
    start_ns=st.integers(0, 2**64 - 1),
    end_ns=st.integers(0, 2**64 - 1),
    status=st.sampled_from(SpanStatus),
    status_text=st.text(max_size=5),
    attributes=_attributes,
    events=st.lists(st.builds(SpanEvent, st.text(max_size=5), st.integers(0, 2**64 - 1), _attributes), max_size=2).map(
        tuple
    ),
    links=st.just(()) | st.just((SpanLink(TRACE_ID, "00f067aa0ba902b7"),)),
    resource=st.just({"service.name": "orchestrator"}),
)


@given(_spans)
def test_what_is_written_is_read_again(one: Span) -> None:
    document = json.loads(json.dumps(write_spans([one])))
    (read,) = read_spans(document)
    assert read == Span(
        **{**{name: getattr(one, name) for name in Span.__slots__}, "resource": {"service.name": one.service}}
    )


def test_processes_and_scopes_are_told_once() -> None:
    resource: dict[str, Json] = {"service.name": "orchestrator"}
    spans = [span(number, scope=scope, resource=resource) for number, scope in enumerate(["a", "a", "b"], start=1)]
    document = write_spans([*spans, span(4, service="data_agent")])
    resources = document["resourceSpans"]
    assert isinstance(resources, list)
    assert len(resources) == 2
    assert {one.span_id for one in read_spans(document)} == {f"{number:016x}" for number in range(1, 5)}


def test_what_generic_protobuf_json_makes_of_it_is_read_as_well() -> None:
    exported = request(message(span(1, "root", kind=SpanKind.SERVER), kind=2), message(span(2, "child", parent=1)))
    (first, second) = (received.span for received in spans_of(exported.resource_spans))
    for snake_case in (False, True):
        generic = json_format.MessageToDict(exported, preserving_proto_field_name=snake_case)
        one = generic["resource_spans" if snake_case else "resourceSpans"][0]
        written = one["scope_spans" if snake_case else "scopeSpans"][0]["spans"][0]
        assert base64.b64decode(written["trace_id" if snake_case else "traceId"]).hex() == TRACE_ID
        assert written["kind"] == "SPAN_KIND_SERVER"
        assert read_spans(generic) == [first, second]


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        {"resourceSpans": {}},
        {"resourceSpans": [1]},
        {"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": "x"}]}]}]},
        {"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": 5}]}]}]},
        {"resourceSpans": [{"scopeSpans": [{"spans": [{"startTimeUnixNano": "soon"}]}]}]},
        {"resourceSpans": [{"scopeSpans": [{"spans": [{"startTimeUnixNano": True}]}]}]},
        {"resourceSpans": [{"resource": {"attributes": [{"key": 1}]}}]},
    ],
)
def test_what_is_no_trace_is_said_to_be_none(document: Json) -> None:
    with pytest.raises(NotOtlp):
        read_spans(document)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["resourceSpans", "scopeSpans", "spans", "attributes", "key", "value", "traceId", "kind", "status"]
                ),
                inner,
                max_size=4,
            )
        ),
    )
)
def test_any_document_is_read_or_refused(document: Json) -> None:
    with contextlib.suppress(NotOtlp):
        read_spans({"resourceSpans": [{"scopeSpans": [{"spans": [document]}]}]})
