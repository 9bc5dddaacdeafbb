"""What `agentmesh.transport` promises to have."""

import agentmesh.transport


def test_every_name_of_the_facade_is_there_and_in_order() -> None:
    names = agentmesh.transport.__all__
    assert names == sorted(names)
    assert [name for name in names if getattr(agentmesh.transport, name).__name__ != name] == []
