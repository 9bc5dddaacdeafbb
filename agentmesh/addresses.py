"""Where orchestrators serve: one address, or several whose processes are equally good."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Final

_LITERAL: Final = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<v4>[0-9.]+|localhost)):(?P<port>[0-9]{1,5})")
_HIGHEST_PORT: Final = 65_535


@dataclass(frozen=True, slots=True)
class Target:
    """What a channel is opened to."""

    uri: str
    """As gRPC takes it."""
    several: bool
    """Whether calls go round several processes: those of a list, or with `dns:///` all that a name stands for."""


def read_target(address: str) -> Target:
    """Read `host:port`, another gRPC target, or several: `10.0.0.1:50051,10.0.0.2:50051`, `dns:///name:50051`.

    Raises:
        ValueError: A list has something else than IP addresses of one family with their ports; gRPC takes no others.
    """
    if "," not in address:
        return Target(address, several=address.startswith("dns:"))
    parts = [_literal(part.strip()) for part in re.sub("^ipv[46]:", "", address).split(",")]
    families = {family for family, _ in parts}
    if len(families) > 1:
        raise ValueError(f"{address} mixes IPv4 and IPv6; list addresses of one family")
    return Target(f"{families.pop()}:{','.join(part for _, part in parts)}", several=True)


def each_of(address: str) -> tuple[str, ...]:
    """Return the addresses of a list one by one, and any other address as it is.

    Raises:
        ValueError: As `read_target` does.
    """
    if "," not in address:
        return (address,)
    _, _, listed = read_target(address).uri.partition(":")
    return tuple(listed.split(","))


def _literal(part: str) -> tuple[str, str]:
    found = _LITERAL.fullmatch(part)
    if found is None or int(found["port"]) > _HIGHEST_PORT:
        raise ValueError(
            f"{part or 'nothing'} cannot be one of several addresses: each is an IP address with its port;"
            " a name that stands for several is given alone, as dns:///name:port"
        )
    host = found["v6"] or found["v4"].replace("localhost", "127.0.0.1")
    try:
        version = ipaddress.ip_address(host).version
    except ValueError:
        raise ValueError(f"{host} is no IP address") from None
    return f"ipv{version}", f"[{host}]:{found['port']}" if found["v6"] else f"{host}:{found['port']}"
