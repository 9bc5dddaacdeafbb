"""Where orchestrators serve: one address stays as it is; a list is one that gRPC takes, or refused in words."""

import pytest

from agentmesh.addresses import Target, each_of, read_target


@pytest.mark.parametrize("address", ["127.0.0.1:50051", "mesh:50051", "unix:/run/mesh", "ipv6:[::1]:50051", ""])
def test_one_address_is_what_it_is(address: str) -> None:
    assert read_target(address) == Target(address, several=False)


def test_a_name_may_stand_for_several() -> None:
    assert read_target("dns:///mesh:50051") == Target("dns:///mesh:50051", several=True)


@pytest.mark.parametrize(
    ("address", "uri"),
    [
        ("10.0.0.1:1,10.0.0.2:2", "ipv4:10.0.0.1:1,10.0.0.2:2"),
        ("ipv4:10.0.0.1:1,10.0.0.2:2", "ipv4:10.0.0.1:1,10.0.0.2:2"),
        ("localhost:1, 127.0.0.1:2", "ipv4:127.0.0.1:1,127.0.0.1:2"),
        ("[::1]:1,[fd00::2]:2", "ipv6:[::1]:1,[fd00::2]:2"),
        ("ipv6:[::1]:1,[::1]:2", "ipv6:[::1]:1,[::1]:2"),
    ],
)
def test_a_list_is_put_as_grpc_takes_it(address: str, uri: str) -> None:
    assert read_target(address) == Target(uri, several=True)
    _, _, listed = uri.partition(":")
    assert each_of(address) == tuple(listed.split(","))


@pytest.mark.parametrize("address", ["mesh:50051", "dns:///mesh:50051", "ipv6:[::1]:50051"])
def test_what_is_no_list_is_one(address: str) -> None:
    assert each_of(address) == (address,)


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("mesh-1:50051,mesh-2:50051", "mesh-1:50051 cannot be one of several addresses"),
        ("10.0.0.1:1,unix:/run/mesh", "unix:/run/mesh cannot be one of several addresses"),
        ("10.0.0.1:1,", "nothing cannot be one of several addresses"),
        ("10.0.0.1:1,10.0.0.2", "10.0.0.2 cannot be one of several addresses"),
        ("10.0.0.1:1,10.0.0.2:70000", "10.0.0.2:70000 cannot be one"),
        ("10.0.0.1:1,10.0.0.300:2", "10.0.0.300 is no IP address"),
        ("10.0.0.1:1,[::1]:2", "mixes IPv4 and IPv6"),
    ],
)
def test_what_cannot_be_listed_is_refused_and_named(address: str, why: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        read_target(address)
    assert why in str(caught.value)
