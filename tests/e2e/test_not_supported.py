"""Nothing of the contract is ignored: what is not built is refused (tests/transport/test_requests.py shows how)."""

from __future__ import annotations

from collections.abc import Iterator

import grpc.aio
import pytest
from google.protobuf import descriptor

from agentmesh.v1 import agent_service_pb2, orchestrator_service_pb2, registry_service_pb2
from orchestrator_svc.api.requests import NOT_SUPPORTED
from tests.e2e.errors import refusal_of
from tests.e2e.mesh import Mesh

FILES = (orchestrator_service_pb2, registry_service_pb2, agent_service_pb2)

RUNS = {"conversation_id", "request_id", "budget", "keep_running"}

WORKS = {
    "Orchestrator/Ask": {
        "query",
        "history",
        "answer_format",
        "allowed_skills",
        "max_effect",
        "include_results",
        "cache_mode",
        *RUNS,
    },
    "Orchestrator/AskStream": {"ask"},
    "Orchestrator/Plan": {"query", "history", "allowed_skills", "max_effect", "cache_mode"},
    "Orchestrator/ExecutePlan": {"plan", "query", "answer_format", "max_effect", "include_results", *RUNS},
    "Orchestrator/GetRun": {"run_id", "step_id", "item_index"},
    "Orchestrator/ListRuns": {
        "page_size",
        "page_token",
        "state",
        "outcome",
        "started_after",
        "started_before",
        "conversation_id",
    },
    "Orchestrator/WatchRun": {"run_id", "after_sequence"},
    "Orchestrator/CancelRun": {"run_id"},
    "Registry/Register": {"card", "address", "ttl"},
    "Registry/Heartbeat": {"lease_id"},
    "Registry/Deregister": {"lease_id"},
    "Registry/ListAgents": {"page_size", "page_token"},
    "Registry/WatchAgents": {"report_interval"},
    "Agent/Describe": set[str](),
    "Agent/Execute": {
        "skill",
        "arguments",
        "run_id",
        "step_id",
        "item_index",
        "attempt",
        "idempotency_key",
        "skill_digest",
    },
    "Agent/ExecuteStream": {"call"},
}
"""Every rpc that is built, and the fields of its request that do something; each has tests of its own."""


def requests() -> Iterator[tuple[str, descriptor.Descriptor]]:
    """Every rpc of the contract, and its request."""
    for file in FILES:
        for service in file.DESCRIPTOR.services_by_name.values():
            for method in service.methods:
                yield f"{service.name}/{method.name}", method.input_type


def test_every_rpc_is_built() -> None:
    assert {rpc for rpc, _ in requests()} == WORKS.keys()


def test_every_field_of_a_request_either_does_something_or_is_refused() -> None:
    for rpc, request in requests():
        refused = set(NOT_SUPPORTED.get(request.full_name, ()))
        assert {field.name for field in request.fields} == WORKS[rpc] | refused, rpc
        assert not WORKS[rpc] & refused, rpc


async def test_an_effect_of_a_later_version_is_refused(mesh: Mesh) -> None:
    request = orchestrator_service_pb2.AskRequest(query="?")
    request.max_effect = 17  # type: ignore[assignment]  # a later version's
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await mesh.orchestrator.Ask(request)
    assert refusal_of(caught.value).fields == {"max_effect": "RULE"}
