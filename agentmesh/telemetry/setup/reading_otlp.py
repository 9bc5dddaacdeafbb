"""Reads OTEL_EXPORTER_OTLP_*: of one signal where it is set, else of all."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from agentmesh.env import Environment
from agentmesh.telemetry.setup.settings import Collector

_DEFAULT_ENDPOINT: Final = "http://localhost:4317"
_PORTS: Final = {"http": 80, "https": 443}
_MAX_MILLISECONDS: Final = 3_600_000.0
_HEADER: Final = re.compile(r"[0-9a-z_.-]+")


def read_collector(env: Environment, signal: str, *, export_timeout: str) -> Collector:
    """Read where `signal` (TRACES or METRICS) goes; `env` remembers the problems.

    `export_timeout` names the other variable that bounds one export: the shorter of the two holds.
    """

    def variable(what: str) -> str:
        own = f"OTEL_EXPORTER_OTLP_{signal}_{what}"
        return own if env.text(own) else f"OTEL_EXPORTER_OTLP_{what}"

    protocol = variable("PROTOCOL")
    if env.text(protocol, "grpc").lower() != "grpc":
        env.problem(protocol, f"{env.text(protocol)!r} is not there; grpc is, which collectors take at port 4317")
    target, plaintext = _endpoint(env, variable("ENDPOINT"), insecure=env.flag(variable("INSECURE")))
    certificate, key = _file(env, variable("CLIENT_CERTIFICATE")), _file(env, variable("CLIENT_KEY"))
    if (certificate is None) != (key is None):
        env.problem(
            variable("CLIENT_CERTIFICATE"), f"goes with {variable('CLIENT_KEY')}, and one of the two is not set"
        )
    milliseconds = min(
        env.number(name, Collector.timeout_seconds * 1000, at_least=1, at_most=_MAX_MILLISECONDS)
        for name in (variable("TIMEOUT"), export_timeout)
    )
    return Collector(
        target=target,
        plaintext=plaintext,
        headers=_headers(env, variable("HEADERS")),
        timeout_seconds=milliseconds / 1000,
        gzip=env.choice(variable("COMPRESSION"), "none", ("none", "gzip")) == "gzip",
        root_certificates=_file(env, variable("CERTIFICATE")),
        client_certificate=certificate,
        client_key=key,
    )


def _endpoint(env: Environment, name: str, *, insecure: bool) -> tuple[str, bool]:
    """Return the target, and whether it is spoken to without TLS: of a URL its scheme says so, else `insecure`."""
    text = env.text(name, _DEFAULT_ENDPOINT)
    if "@" in text and not text.startswith("unix"):  # said without the value
        env.problem(name, "has credentials, which gRPC takes from no address; OTEL_EXPORTER_OTLP_HEADERS sends some")
        return "", True
    if "://" not in text or text.startswith("dns://"):
        return text, insecure
    try:
        url = urlsplit(text)
        usual_port = _PORTS[url.scheme]
        port = url.port or usual_port
    except (ValueError, KeyError):
        url, port = urlsplit(""), 0
    if not url.hostname:
        env.problem(name, f"{text!r} is no http://host:port, https://host:port or target of gRPC")
        return "", True
    host = f"[{url.hostname}]" if ":" in url.hostname else url.hostname
    return f"{host}:{port}", url.scheme == "http"


def _headers(env: Environment, name: str) -> tuple[tuple[str, str], ...]:
    """Read `key=value,key=value`, percent-encoded. What is wrong with them is said without the values."""
    headers: dict[str, str] = {}
    for number, pair in enumerate(filter(None, map(str.strip, env.text(name).split(","))), start=1):
        key, equals, value = (unquote(part).strip() for part in pair.partition("="))
        key = key.lower()
        if not equals or not _HEADER.fullmatch(key) or not value.isascii() or not value.isprintable():
            env.problem(name, f"number {number} is no key=value of printable ASCII")
        headers[key] = value
    return tuple(headers.items())


def _file(env: Environment, name: str) -> str | None:
    path = env.text(name)
    if not path:
        return None
    try:
        with Path(path).open("rb"):
            pass
    except OSError as error:
        env.problem(name, f"{path!r} cannot be read: {error.strerror or error}")
    return path
