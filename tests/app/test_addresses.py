"""Which addresses may be called: what is written counts, and nothing is resolved."""

from __future__ import annotations

import pytest

from agentmesh.errors import AddressNotAllowed
from orchestrator_svc.app.addresses import EVERY_ADDRESS, AllowedAddresses

RULES = ("10.0.0.0/8", "fd00::/8", "192.0.2.7", ".svc.cluster.local", "agents.example", "unix:")


def allows(address: str, *rules: str) -> bool:
    try:
        AllowedAddresses.of(rules or RULES).check(address)
    except AddressNotAllowed as refusal:
        return [violation.path for violation in refusal.violations] != ["address"]
    return True


@pytest.mark.parametrize(
    "address",
    [
        "10.1.2.3:80",
        "ipv4:10.1.2.3:80",
        "dns:///10.1.2.3:80",
        "[fd00::1]:80",
        "ipv6:[fd00::1]:80",
        "[::ffff:10.0.0.1]:80",
        "192.0.2.7:80",
        "data.mesh.svc.cluster.local:80",
        "dns:///DATA.mesh.svc.cluster.local.:80",
        "agents.example:80",
        "dns:agents.example:80",
        "unix:/run/agent.sock",
        "unix-abstract:agent",
    ],
)
def test_what_a_rule_names_may_be_called(address: str) -> None:
    assert allows(address)


@pytest.mark.parametrize(
    "address",
    [
        "11.1.2.3:80",
        "127.0.0.1:80",
        "[::1]:80",
        "[fe80::1]:80",
        "[::ffff:127.0.0.1]:80",
        "192.0.2.8:80",
        "localhost:80",
        "svc.cluster.local:80",
        "evilsvc.cluster.local:80",
        "data.svc.cluster.local.evil.example:80",
        "more.agents.example:80",
        "10.1:80",
        "0x0a000001:80",
        "167772161:80",
        "10.0.0.1.evil.example:80",
        "unixhost:80",
    ],
)
def test_nothing_else_may_be_called(address: str) -> None:
    """Also not what a resolver would read as an address of an allowed network, or what merely looks like one."""
    assert not allows(address)


@pytest.mark.parametrize("address", ["127.0.0.1:80", "anything.example:80", "[::1]:80", "unix:/run/agent.sock"])
def test_without_a_rule_everything_may_be_called(address: str) -> None:
    AllowedAddresses.of(()).check(address)
    EVERY_ADDRESS.check(address)


def test_sockets_of_this_machine_need_their_rule() -> None:
    assert not allows("unix:/run/agent.sock", "0.0.0.0/0", "::/0")
    assert not allows("127.0.0.1:80", "unix:")


@pytest.mark.parametrize("rule", ["10.0.0.0/33", "10.0.0.1/8", "*.example", "http://a", "unix:/run", "a b", "10.0", ""])
def test_what_is_no_rule_is_refused(rule: str) -> None:
    with pytest.raises(ValueError, match="is n"):
        AllowedAddresses.of(["10.0.0.0/8", rule])
