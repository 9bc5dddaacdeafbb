"""Which addresses of agents may be called: an operator sets rules, so that a registration cannot point anywhere."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, TypeAlias

from agentmesh.errors import AddressNotAllowed, Violation, ViolationReason

_Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
_Ip: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

_UNIX: Final = "unix:"
_SOCKETS: Final = (_UNIX, "unix-abstract:")
_LABEL: Final = r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?"
_NAME: Final = re.compile(rf"\.?{_LABEL}(\.{_LABEL})*")
_ADDRESS_LIKE: Final = re.compile(r"[0-9a-f.:/]*")
"""What was meant as an address or a network; no name ends in a number."""
_SCHEME: Final = re.compile(r"(dns:(///)?|ipv4:|ipv6:)")


@dataclass(frozen=True)
class AllowedAddresses:
    """Rules, of which one must match. Names are never resolved here: a rule for names matches what is written.

    `10.0.0.0/8` or `::1`: IP addresses that are written as such. `.svc.cluster.local`: names that end so.
    `agents.example`: this name alone. `unix:`: sockets of this machine.
    """

    networks: tuple[_Network, ...] = ()
    names: frozenset[str] = frozenset()
    suffixes: tuple[str, ...] = ()
    unix: bool = False
    everything: bool = False

    @classmethod
    def of(cls, rules: Iterable[str]) -> AllowedAddresses:
        """Read rules; without one everything is allowed.

        Raises:
            ValueError: One of them is no rule.
        """
        written = [rule.strip().lower() for rule in rules]
        names = [rule for rule in written if rule != _UNIX and not _ADDRESS_LIKE.fullmatch(rule)]
        for name in names:
            if not _NAME.fullmatch(name):
                raise ValueError(f"{name!r} is neither a CIDR nor a name or suffix of names nor `unix:`")
        return cls(
            networks=tuple(_network(rule) for rule in written if rule != _UNIX and rule not in names),
            names=frozenset(name for name in names if not name.startswith(".")),
            suffixes=tuple(name for name in names if name.startswith(".")),
            unix=_UNIX in written,
            everything=not written,
        )

    def check(self, address: str) -> None:
        """Return if the address may be called.

        Args:
            address: In a form that `RegisterRequest.address` allows.

        Raises:
            AddressNotAllowed: No rule matches.
        """
        if self.everything or self._matches(address):
            return
        message = f"{address} is not among the addresses that this server calls (AGENTMESH_ALLOWED_ADDRESSES)"
        raise AddressNotAllowed(
            message, violations=[Violation("address", ViolationReason.ADDRESS_NOT_ALLOWED, message)]
        )

    def _matches(self, address: str) -> bool:
        if address.startswith(_SOCKETS):
            return self.unix
        host = _SCHEME.sub("", address, count=1).rpartition(":")[0].strip("[]").lower().removesuffix(".")
        ip = _ip(host)
        if ip is not None:
            return any(ip in network for network in self.networks)
        return host in self.names or host.endswith(self.suffixes)


EVERY_ADDRESS: Final = AllowedAddresses(everything=True)


def _network(rule: str) -> _Network:
    try:
        return ipaddress.ip_network(rule)
    except ValueError as error:
        raise ValueError(f"{rule!r} is no IP address and no CIDR: {error}") from None


def _ip(host: str) -> _Ip | None:
    try:
        ip = ipaddress.ip_address(host)
    except ValueError:
        return None
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    return mapped or ip
