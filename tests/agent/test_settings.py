"""What the environment says about an agent's process."""

import pytest

from agentmesh.agent.running import Options
from agentmesh.agent.settings import Settings, read_settings
from agentmesh.env import EnvironmentInvalid


def test_an_empty_environment_gives_the_documented_defaults() -> None:
    assert read_settings({}) == Settings(
        Options(listen="127.0.0.1:0", orchestrator="127.0.0.1:50051", ttl_seconds=15, grace_seconds=30), "info"
    )


def test_every_setting_has_its_variable() -> None:
    assert read_settings(
        {
            "AGENTMESH_ORCHESTRATOR_ADDRESS": "orchestrator:50051",
            "AGENTMESH_AGENT_LISTEN": "[::]:6000",
            "AGENTMESH_AGENT_ADVERTISE": "agent:6000",
            "AGENTMESH_AGENT_TTL_SECONDS": "2.5",
            "AGENTMESH_ALLOW_PLAINTEXT": "1",
            "AGENTMESH_DRAIN_SECONDS": "7",
            "AGENTMESH_LOG_LEVEL": "DEBUG",
            "AGENTMESH_CAPTURE_CONTENT": "1",
        }
    ) == Settings(
        Options(
            listen="[::]:6000",
            orchestrator="orchestrator:50051",
            advertise="agent:6000",
            ttl_seconds=2.5,
            allow_plaintext=True,
            grace_seconds=7,
        ),
        "debug",
        capture_content=True,
    )


@pytest.mark.parametrize("listen", ["0.0.0.0:6000", "[::]:6000", "[0:0::0]:0"])
def test_every_interface_is_no_address_to_register(listen: str) -> None:
    with pytest.raises(EnvironmentInvalid, match="AGENTMESH_AGENT_ADVERTISE: is needed"):
        read_settings({"AGENTMESH_AGENT_LISTEN": listen})


def test_several_orchestrators_are_a_list_of_ip_addresses() -> None:
    assert read_settings({"AGENTMESH_ORCHESTRATOR_ADDRESS": "10.0.0.1:50051,10.0.0.2:50051"}).options.orchestrator
    with pytest.raises(EnvironmentInvalid, match="AGENTMESH_ORCHESTRATOR_ADDRESS: one:1 cannot be one of several"):
        read_settings({"AGENTMESH_ORCHESTRATOR_ADDRESS": "one:1,two:2"})


def test_all_problems_are_reported_at_once() -> None:
    with pytest.raises(EnvironmentInvalid) as invalid:
        read_settings(
            {
                "AGENTMESH_AGENT_TTL_SECONDS": "0.5",
                "AGENTMESH_DRAIN_SECONDS": "-1",
                "AGENTMESH_LOG_LEVEL": "loud",
                "AGENTMESH_ALLOW_PLAINTEXT": "perhaps",
            }
        )
    assert len(invalid.value.problems) == 4
