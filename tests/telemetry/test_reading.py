"""The standard variables of OpenTelemetry: what they ask for, and what of them cannot be used."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from agentmesh.env import EnvironmentInvalid
from agentmesh.telemetry.setup import (
    NOTHING,
    Collector,
    Limits,
    Metrics,
    Pull,
    TelemetrySettings,
    Traces,
    read_telemetry_settings,
)

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4317"}
COLLECTOR = Collector("collector:4317")


def problems(**environment: str) -> list[str]:
    with pytest.raises(EnvironmentInvalid) as invalid:
        read_telemetry_settings({**ENDPOINT, **environment})
    return list(invalid.value.problems)


def test_nothing_is_exported_where_nothing_is_asked_for() -> None:
    assert read_telemetry_settings({}) == NOTHING
    assert read_telemetry_settings({"OTEL_SERVICE_NAME": "a", "OTEL_BSP_SCHEDULE_DELAY": "x"}) == NOTHING
    assert read_telemetry_settings({**ENDPOINT, "OTEL_SDK_DISABLED": "TRUE"}) == NOTHING
    assert read_telemetry_settings({"OTEL_LOGS_EXPORTER": "otlp"}) == NOTHING


def test_an_endpoint_is_enough_for_traces_and_metrics() -> None:
    assert read_telemetry_settings(ENDPOINT) == TelemetrySettings(Traces(COLLECTOR), Metrics(COLLECTOR))


def test_an_exporter_by_name_has_its_default_address() -> None:
    assert read_telemetry_settings({"OTEL_TRACES_EXPORTER": "otlp"}) == TelemetrySettings(
        Traces(Collector("localhost:4317"))
    )
    assert read_telemetry_settings({"OTEL_METRICS_EXPORTER": "prometheus"}) == TelemetrySettings(
        metrics=Metrics(pull=Pull("127.0.0.1", 9464))
    )


def test_metrics_may_be_pushed_and_pulled() -> None:
    settings = read_telemetry_settings({**ENDPOINT, "OTEL_METRICS_EXPORTER": "otlp, prometheus"})
    assert settings.metrics == Metrics(COLLECTOR, Pull())


def test_every_setting_has_its_variable(tmp_path: Path) -> None:
    for name in ("ca", "cert", "key"):
        (tmp_path / name).touch()
    settings = read_telemetry_settings(
        {
            "OTEL_EXPORTER_OTLP_ENDPOINT": "https://collector.example",
            "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
            "OTEL_EXPORTER_OTLP_HEADERS": "Api-Key=a%20b, x = y=z",
            "OTEL_EXPORTER_OTLP_TIMEOUT": "2500",
            "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
            "OTEL_EXPORTER_OTLP_CERTIFICATE": str(tmp_path / "ca"),
            "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE": str(tmp_path / "cert"),
            "OTEL_EXPORTER_OTLP_CLIENT_KEY": str(tmp_path / "key"),
            "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://[::1]:9000/",
            "OTEL_EXPORTER_OTLP_METRICS_HEADERS": "x=1",
            "OTEL_EXPORTER_OTLP_METRICS_COMPRESSION": "none",
            "OTEL_TRACES_SAMPLER": "traceidratio",
            "OTEL_TRACES_SAMPLER_ARG": "0.25",
            "OTEL_BSP_MAX_QUEUE_SIZE": "100",
            "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "50",
            "OTEL_BSP_SCHEDULE_DELAY": "200",
            "OTEL_BSP_EXPORT_TIMEOUT": "1500",
            "OTEL_METRIC_EXPORT_INTERVAL": "15000",
            "OTEL_METRIC_EXPORT_TIMEOUT": "5000",
            "OTEL_METRICS_EXEMPLAR_FILTER": "always_off",
            "OTEL_ATTRIBUTE_COUNT_LIMIT": "10",
            "OTEL_LINK_ATTRIBUTE_COUNT_LIMIT": "1",
            "OTEL_SPAN_LINK_COUNT_LIMIT": "2",
            "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT": "99",
            "OTEL_PROPAGATORS": "tracecontext",
            "OTEL_RESOURCE_ATTRIBUTES": "a=b%3D",
        }
    )
    collector = Collector(
        "collector.example:443",
        plaintext=False,
        headers=(("api-key", "a b"), ("x", "y=z")),
        timeout_seconds=1.5,
        gzip=True,
        root_certificates=str(tmp_path / "ca"),
        client_certificate=str(tmp_path / "cert"),
        client_key=str(tmp_path / "key"),
    )
    assert settings == TelemetrySettings(
        Traces(
            collector,
            sampler="traceidratio",
            ratio=0.25,
            queue_spans=100,
            batch_spans=50,
            delay_milliseconds=200,
            limits=Limits(99, attributes=10, event_attributes=10, links=2, link_attributes=1),
        ),
        Metrics(
            replace(
                collector,
                target="[::1]:9000",
                plaintext=True,
                headers=(("x", "1"),),
                timeout_seconds=2.5,
                gzip=False,
            ),
            interval_milliseconds=15000,
            exemplars="always_off",
        ),
        (("a", "b="),),
    )


def test_secrets_are_not_shown() -> None:
    settings = read_telemetry_settings({**ENDPOINT, "OTEL_EXPORTER_OTLP_HEADERS": "api-key=hidden"})
    assert "hidden" not in repr(settings)
    (problem,) = problems(OTEL_EXPORTER_OTLP_TRACES_HEADERS="a=b,hidden")
    assert problem == "OTEL_EXPORTER_OTLP_TRACES_HEADERS: number 2 is no key=value of printable ASCII"


@pytest.mark.parametrize(
    "endpoint", ["http://me:hidden@collector:4317", "http://me:hidden@collector:99999", "me:hidden@collector:4317"]
)
def test_credentials_in_an_endpoint_are_a_problem_that_does_not_show_them(endpoint: str) -> None:
    (problem,) = problems(OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=endpoint)
    assert problem.startswith("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: has credentials")
    assert "hidden" not in problem


@pytest.mark.parametrize(
    ("variable", "value", "problem"),
    [
        ("OTEL_TRACES_EXPORTER", "zipkin", "'zipkin' is none of otlp, none"),
        ("OTEL_METRICS_EXPORTER", "console", "'console' is none of otlp, prometheus, none"),
        ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "http/protobuf", "'http/protobuf' is not there; grpc is"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "ftp://collector:1", "'ftp://collector:1' is no http://host:port"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://collector:99999", "'http://collector:99999' is no http://"),
        ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "10s", "'10s' is no number"),
        ("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "zstd", "'zstd' is none of none, gzip"),
        ("OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", "/nowhere", "'/nowhere' cannot be read: No such file or directory"),
        ("OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY", "/dev/null", "one of the two is not set"),
        ("OTEL_TRACES_SAMPLER", "jaeger_remote", "'jaeger_remote' is none of always_on, "),
        ("OTEL_TRACES_SAMPLER_ARG", "2", "2 is more than 1"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "0", "0 is less than 1"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "4096", "4096 is more than OTEL_BSP_MAX_QUEUE_SIZE, 2048"),
        ("OTEL_BSP_SCHEDULE_DELAY", "soon", "'soon' is no number"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "0", "0 is less than 1"),
        ("OTEL_METRICS_EXEMPLAR_FILTER", "some", "'some' is none of trace_based, always_on, always_off"),
        ("OTEL_SPAN_EVENT_COUNT_LIMIT", "-1", "-1 is less than 0"),
        ("OTEL_RESOURCE_ATTRIBUTES", "a=b,c", "'c' is no key=value"),
        ("OTEL_PROPAGATORS", "tracecontext,b3", "'b3' is not installed; there are tracecontext, baggage and none"),
        ("OTEL_SDK_DISABLED", "maybe", "'maybe' is neither 1 nor 0"),
    ],
)
def test_what_cannot_be_used_is_a_problem_that_names_its_variable(variable: str, value: str, problem: str) -> None:
    (found,) = problems(**{variable: value})
    assert problem in found
    assert "OTEL_EXPORTER_OTLP_TRACES_CLIENT" in found or found.startswith(f"{variable}: ")


def test_all_problems_are_reported_at_once() -> None:
    wrong = dict.fromkeys(("OTEL_TRACES_SAMPLER", "OTEL_BSP_SCHEDULE_DELAY", "OTEL_EXPORTER_OTLP_TIMEOUT"), "x")
    assert sorted(problem.partition(":")[0] for problem in problems(**wrong)) == sorted(wrong)


def test_pulling_without_its_extra_says_what_to_install() -> None:
    program = (
        "import sys; sys.modules['prometheus_client'] = None\n"
        "from agentmesh.telemetry.setup import read_telemetry_settings\n"
        "read_telemetry_settings({'OTEL_METRICS_EXPORTER': 'prometheus'})\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "OTEL_METRICS_EXPORTER: prometheus needs an extra: pip install 'agentmesh[prometheus]'" in done.stderr
