"""Messages as JSON: what is read, what is refused and in which words, and what is written."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from google.protobuf.message import DecodeError, Message
from hypothesis import given
from hypothesis import strategies as st

from agentmesh.errors import RequestMalformed, ViolationReason
from agentmesh.jsonvalues import JsonObject
from agentmesh.plan_messages import plan_from_json
from agentmesh.v1 import card_pb2, plan_pb2, registry_service_pb2, run_pb2
from agentmesh.v1 import orchestrator_service_pb2 as pb
from orchestrator_svc.api.http.codecs import MOST_UNKNOWN, read_json, write_json

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)
NAMES = sorted({name for field in pb.AskRequest.DESCRIPTOR.fields for name in (field.name, field.json_name)})


def read(value: Any, kind: type[Message] = pb.AskRequest) -> Message:  # noqa: ANN401 - JSON
    return read_json(kind, json.dumps(value).encode())


def refused(body: bytes | dict[str, Any], kind: type[Message] = pb.AskRequest) -> RequestMalformed:
    with pytest.raises(RequestMalformed) as caught:
        read_json(kind, body if isinstance(body, bytes) else json.dumps(body).encode())
    return caught.value


def test_fields_may_have_the_names_of_json_or_of_the_contract() -> None:
    expected = pb.AskRequest(query="How?", max_effect=card_pb2.EFFECT_READ_ONLY)
    assert read({"query": "How?", "maxEffect": "EFFECT_READ_ONLY"}) == expected
    assert read({"query": "How?", "max_effect": "EFFECT_READ_ONLY"}) == expected


def test_every_unknown_field_is_named_with_its_place_and_the_nearest_known_one() -> None:
    error = refused({"qery": "How?", "history": [{"role": "ROLE_USER"}, {"txt": "a"}], "budget": {"llmCals": 1}})
    assert [(v.path, v.reason, v.message) for v in error.violations] == [
        ("qery", ViolationReason.FIELD_UNKNOWN, "no field of AskRequest; did you mean query?"),
        ("history[1].txt", ViolationReason.FIELD_UNKNOWN, "no field of Turn; did you mean text?"),
        ("budget.llmCals", ViolationReason.FIELD_UNKNOWN, "no field of Budget; did you mean llmCalls?"),
    ]


def test_of_very_many_unknown_fields_the_first_are_named_and_the_others_counted() -> None:
    error = refused({f"no_such_{number}": 1 for number in range(MOST_UNKNOWN + 5)})
    assert len(error.violations) == MOST_UNKNOWN + 1
    assert error.violations[-1].message == "and 5 more"


def test_names_inside_a_struct_are_free() -> None:
    steps: JsonObject = {"steps": [{"id": "a", "skill": "x__y", "arguments": {"anything": {"goes": 1}}}]}
    message = read({"plan": steps}, pb.ExecutePlanRequest)
    assert isinstance(message, pb.ExecutePlanRequest)
    assert message.plan == plan_from_json(steps)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "the body is no JSON"),
        (b"{", "the body is no JSON"),
        (b"\xff", "the body is no JSON"),
        (b"[]", "no JSON object"),
        (b'""', "no JSON object"),
        (b"null", "no JSON object"),
        (b'{"query": NaN}', "NaN is no number of JSON"),
        (b'{"budget": {"costUsd": Infinity}}', "Infinity is no number of JSON"),
        (b'{"budget": {"costUsd": 1e999}}', "greater than any number"),
        (b'{"plan": {"steps": [{"arguments": {"id": 9007199254740993}}]}}', "beyond 2^53"),
        (b'{"query": "a", "query": "b"}', "'query' is there twice"),
        (b'{"requestId": "a", "request_id": "b"}', "the same field as requestId"),
        (b'{"query": 1}', "the JSON is no AskRequest"),
        (b'{"history": {}}', "the JSON is no AskRequest"),
        (b'{"maxEffect": "GREAT"}', "Invalid enum value GREAT"),
        (b'{"budget": {"llmCalls": ' + b"1" * 5000 + b"}}", "the body is no JSON"),
        (b'{"query": "\\ud800"}', "the JSON is no AskRequest"),
        (b"[" * 1_000_000, "nested too deep"),
        (b'{"a":' * 200_000, "nested too deep"),
    ],
)
def test_what_is_no_such_message_is_refused_in_words(body: bytes, words: str) -> None:
    error = refused(body)
    assert words in error.message
    assert len(error.message) < 500


@pytest.mark.parametrize("depth", [40, 200])
def test_json_is_nested_no_deeper_than_grpc_takes_it(depth: int) -> None:
    schema = '{"a":' * depth + "1" + "}" * depth
    body = f'{{"card": {{"skills": [{{"inputSchema": {schema}}}]}}}}'.encode()
    with pytest.raises((DecodeError, RequestMalformed)):
        read_json(registry_service_pb2.RegisterRequest, body)


@given(JSON)
def test_whatever_the_json_is_it_is_a_message_or_refused(value: object) -> None:
    with suppress(RequestMalformed):
        assert isinstance(read(value), pb.AskRequest)


@given(st.dictionaries(st.sampled_from(NAMES), JSON, max_size=3))
def test_whatever_the_fields_hold_it_is_a_message_or_refused(value: dict[str, Any]) -> None:
    with suppress(RequestMalformed):
        assert isinstance(read(value), pb.AskRequest)


def test_what_is_written_has_every_field_and_is_read_back() -> None:
    plan = plan_from_json({"steps": [{"id": "a", "skill": "x__y", "arguments": {"n": 60.0}, "for_each": [1, 2]}]})
    answer = run_pb2.AskResponse(run_id="f" * 32, plan=plan)
    answer.usage.input_tokens = 2**40
    body = write_json(answer)
    said = json.loads(body)
    assert said["answer"] == ""
    assert said["usage"]["inputTokens"] == 2**40
    assert said["plan"]["steps"][0]["arguments"] == {"n": 60}
    assert read_json(run_pb2.AskResponse, body) == answer
    assert plan_pb2.Plan() == read({"steps": []}, plan_pb2.Plan)
