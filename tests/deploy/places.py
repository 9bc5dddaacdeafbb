"""Who listens where, and whether what the files name is there: addresses, ports, networks, mounted files."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final

import yaml

from tests.deploy.compose_file import COMPOSE, ROOT, Compose, Service

JAEGER: Final = ROOT / "deploy/jaeger/config.yaml"
PROMETHEUS: Final = ROOT / "deploy/prometheus/prometheus.yml"

_EVERYWHERE: Final = "0.0.0.0"  # noqa: S104 - where containers listen
_LISTEN: Final = ("AGENTMESH_LISTEN", "AGENTMESH_HTTP_LISTEN", "AGENTMESH_AGENT_LISTEN")
_NAMING: Final = re.compile(r"_ADDRESS$|_ADVERTISE$|_URL$|_ENDPOINT$")
_ADDRESS: Final = re.compile(r"(?:^|//)(?P<host>[a-z0-9.-]+):(?P<port>[0-9]+)")
_OF_JAEGER: Final = re.compile(r"\$\{env:JAEGER_LISTEN_HOST:-127\.0\.0\.1\}\"?:(?P<port>[0-9]+)")
_PORT_BELOW: Final = re.compile(r"host: \"\$\{env:JAEGER_LISTEN_HOST:-127\.0\.0\.1\}\"\n *port: (?P<port>[0-9]+)")
_PUBLISHED: Final = re.compile(r"(?:(?P<ip>[0-9.]+):)?(?P<host>[0-9]+):(?P<container>[0-9]+)")


def problems_of_places(compose: Compose) -> Iterator[str]:
    yield from _addresses(compose)
    yield from _own_addresses(compose)
    yield from _published(compose)
    yield from _doors(compose)
    yield from _mounted(compose)
    yield from _scraped(compose)


def jaeger_ports() -> set[int]:
    text = JAEGER.read_text()
    return {int(found["port"]) for pattern in (_OF_JAEGER, _PORT_BELOW) for found in pattern.finditer(text)}


def ports_of(name: str, service: Service) -> set[int]:
    """Where a service takes connections of other containers."""
    if service.is_ours:
        listens = (service.environment.get(variable) or "" for variable in _LISTEN)
        return {int(address.rpartition(":")[2]) for address in listens if address.startswith(f"{_EVERYWHERE}:")}
    if name == "jaeger":
        return jaeger_ports() if service.environment.get("JAEGER_LISTEN_HOST") == _EVERYWHERE else set()
    return {"store": {6379}, "prometheus": {9090}}[name]


def _names(compose: Compose) -> Mapping[tuple[str, str], list[str]]:
    """Services by network and a name that they have in it."""
    found: dict[tuple[str, str], list[str]] = {}
    for name, service in compose.services.items():
        for network, membership in service.networks.items():
            for host in (name, *membership.aliases):
                found.setdefault((network, host), []).append(name)
    return found


def _addresses(compose: Compose) -> Iterator[str]:
    for name, service in compose.services.items():
        for variable, value in service.set_environment.items():
            found = _ADDRESS.search(value) if _NAMING.search(variable) else None
            if found is not None:
                yield from _unreachable(compose, name, variable, found["host"], int(found["port"]))


def _unreachable(compose: Compose, name: str, what: str, host: str, port: int) -> Iterator[str]:
    names = _names(compose)
    peers = [peer for network in compose.services[name].networks for peer in names.get((network, host), [])]
    if not peers:
        yield f"{name}: {what} names {host}, which is in no network of it"
    for peer in dict.fromkeys(peers):
        if port not in ports_of(peer, compose.services[peer]):
            yield f"{name}: {what} names port {port} of {peer}, which does not listen there"


def _own_addresses(compose: Compose) -> Iterator[str]:
    for name, service in compose.services.items():
        advertised = service.environment.get("AGENTMESH_AGENT_ADVERTISE")
        if advertised is not None and advertised.partition(":")[0] != name:
            yield f"{name}: advertises {advertised}, which is somebody else"


def _published(compose: Compose) -> Iterator[str]:
    taken: Counter[str] = Counter()
    for name, service in compose.services.items():
        for port in service.ports:
            found = _PUBLISHED.fullmatch(port)
            if found is None or found["ip"] != "127.0.0.1":
                yield f"{name}: publishes {port}, which is not on loopback"
            elif int(found["container"]) not in ports_of(name, service):
                yield f"{name}: publishes {port}, and does not listen at {found['container']}"
            taken.update([found["host"]] if found else [])
    yield from (f"port {port} is published by {times} services" for port, times in taken.items() if times > 1)


def _doors(compose: Compose) -> Iterator[str]:
    for name, service in compose.services.items():
        outside = [network for network in service.networks if not compose.networks[network].internal]
        if outside and not service.ports:
            yield f"{name}: is in {outside[0]}, though nothing of it is published"
        if service.ports and not outside:
            yield f"{name}: publishes ports out of internal networks, which does not work"


def _mounted(compose: Compose) -> Iterator[str]:
    for name, service in compose.services.items():
        for volume in service.volumes:
            source = volume.partition(":")[0]
            if source.startswith(".") and not (COMPOSE.parent / source).exists():
                yield f"{name}: mounts {source}, which is not there"
            if source.startswith(".") and not volume.endswith(":ro"):
                yield f"{name}: may write to {source}"


def _scraped(compose: Compose) -> Iterator[str]:
    config = yaml.safe_load(PROMETHEUS.read_text())
    targets = [t for job in config["scrape_configs"] for group in job["static_configs"] for t in group["targets"]]
    for target in targets:
        host, _, port = target.partition(":")
        if host != "127.0.0.1":
            yield from _unreachable(compose, "prometheus", PROMETHEUS.name, host, int(port))
