"""deploy/compose.yaml: what it says exists, what it starts can start, and every check of that can fail."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import pytest

from agentmesh.jsonvalues import JsonObject
from tests.deploy.compose_file import Compose, read_compose, written
from tests.deploy.places import problems_of_places
from tests.deploy.precautions import problems_of_precautions
from tests.deploy.programs import problems_of_programs

_Services: TypeAlias = dict[str, Any]
_Change: TypeAlias = Callable[[_Services], object]


def _problems(document: JsonObject) -> list[str]:
    compose = read_compose(document)
    return [*problems_of_programs(compose), *problems_of_places(compose), *problems_of_precautions(compose)]


def _mesh() -> Compose:
    return read_compose(written())


def test_nothing_is_wrong_with_the_file() -> None:
    assert _problems(written()) == []


def test_it_starts_two_orchestrators_the_three_agents_and_what_shows_them() -> None:
    modules = sorted(service.module for service in _mesh().services.values() if service.module)
    agents = ["agent_svcs.analytics_agent", "agent_svcs.config_agent", "agent_svcs.data_agent"]
    assert modules == [*agents, "orchestrator_svc", "orchestrator_svc"]
    assert {"store", "jaeger", "prometheus"} < _mesh().services.keys()


def test_nobody_waits_for_telemetry() -> None:
    waited_for = {needed for service in _mesh().services.values() for needed in service.depends_on}
    assert waited_for.isdisjoint({"jaeger", "prometheus"})


def _set(service: str, variable: str, value: str) -> _Change:
    return lambda services: services[service]["environment"].update({variable: value})


def _put(service: str, **changes: object) -> _Change:
    return lambda services: services[service].update(changes)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (_put("data-agent", command=["python", "-m", "agent_svcs.data"]), "agent_svcs.data is no module that runs"),
        (_put("ask", entrypoint=["mesh"]), "('mesh',) is no program of the image"),
        (_set("data-agent", "AGENTMESH_REGISTRY_URL", "redis://store:6379"), "reads AGENTMESH_REGISTRY_URL"),
        (_set("orchestrator-1", "AGENTMESH_ADVERTISE", "me:1"), "nothing reads AGENTMESH_ADVERTISE"),
        (_set("orchestrator-1", "OTEL_EXPORTER_ENDPOINT", "http://jaeger:4317"), "reads OTEL_EXPORTER_ENDPOINT"),
        (_set("orchestrator-1", "AGENTMESH_ALLOW_PLAINTEXT", "0"), "AGENTMESH_LISTEN is reached by other machines"),
        (_set("data-agent", "AGENTMESH_AGENT_TTL_SECONDS", "15s"), "AGENTMESH_AGENT_TTL_SECONDS: '15s' is no number"),
        (_set("config-agent", "AGENTMESH_AGENT_ADVERTISE", ""), "AGENTMESH_AGENT_ADVERTISE: is needed"),
        (_set("config-agent", "AGENTMESH_AGENT_ADVERTISE", "data-agent:50061"), "which is somebody else"),
        (_set("config-agent", "AGENTMESH_AGENT_ADVERTISE", "config-agent:50062"), "which does not listen there"),
        (_set("data-agent", "AGENTMESH_ORCHESTRATOR_ADDRESS", "dns:///orchestrator:50051"), "is in no network of it"),
        (_set("orchestrator-2", "AGENTMESH_REGISTRY_URL", "redis://store:6380"), "port 6380 of store"),
        (_set("orchestrator-2", "AGENTMESH_LISTEN", "0.0.0.0:50050"), "does not listen at 50051"),
        (_set("config-agent", "OTEL_EXPORTER_OTLP_ENDPOINT", "http://jaeger:4319"), "port 4319 of jaeger"),
        (_set("jaeger", "JAEGER_LISTEN_HOST", "127.0.0.1"), "prometheus: prometheus.yml names port 8889 of jaeger"),
        (_set("jaeger", "PROMETHEUS_URL", "http://prom:9090"), "PROMETHEUS_URL names prom"),
        (_put("orchestrator-1", ports=["50051:50051"]), "publishes 50051:50051, which is not on loopback"),
        (_put("orchestrator-2", ports=["127.0.0.1:50051:50051"]), "port 50051 is published by 2 services"),
        (_put("store", networks=["mesh", "doors"]), "store: is in doors, though nothing of it is published"),
        (_put("data-agent", ports=["127.0.0.1:50061:50061"]), "out of internal networks"),
        (_put("jaeger", volumes=["./jaeger/jaeger.yaml:/etc/jaeger/config.yaml:ro"]), "which is not there"),
        (_put("jaeger", volumes=["./jaeger/config.yaml:/etc/jaeger/config.yaml"]), "may write to ./jaeger"),
        (_put("store", image="valkey/valkey:latest"), "valkey/valkey:latest is no exact version"),
        (_put("store", image="valkey/valkey:8-alpine"), "valkey/valkey:8-alpine is no exact version"),
        (_put("store", healthcheck={"disable": True}), "waits for store, which has no health check"),
        (_put("data-agent", depends_on={"orchestrator-1": {"condition": "service_started"}}), "is healthy"),
        (_put("store", depends_on={"data-agent": {"condition": "service_healthy"}}), "these wait for each other"),
        (_put("orchestrator-1", read_only=False), "may write to its root file system"),
        (_put("orchestrator-1", cap_drop=["NET_RAW"]), "keeps capabilities"),
        (_put("orchestrator-1", security_opt=[]), "may gain privileges"),
        (_put("prometheus", deploy={"resources": {"limits": {"memory": "1g"}}}), "has no limits"),
        (_put("prometheus", restart=None), "does not say whether it is restarted"),
        (_put("data-agent", stop_grace_period="30s"), "is killed after 30s, though its end may take 34 s"),
        (_set("orchestrator-1", "AGENTMESH_LLM_API_KEY", "sk-0123456789"), "has AGENTMESH_LLM_API_KEY in the file"),
    ],
)
def test_a_mistake_is_found(change: _Change, problem: str) -> None:
    document: Any = written()
    change(document["services"])
    assert [found for found in _problems(document) if problem in found] != []
