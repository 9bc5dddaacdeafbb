"""The names that the three agents share, how processes get them, and what is said of other names."""

import json
import sys

import pytest

from agent_svcs.analytics_agent.metrics import METRICS
from agent_svcs.components import COMPONENTS, MODULES, service_of
from agent_svcs.config_agent.directory import ConfigDirectory
from agent_svcs.config_agent.settings import SHIPPED
from agent_svcs.data_agent.measure import take_snapshot
from agent_svcs.data_agent.report import list_all
from agent_svcs.unknown import check_name, unknown
from agentmesh import errors


def test_the_three_agents_know_the_same_components() -> None:
    reported = [one.name for one in list_all(take_snapshot()).entities if one.kind in {"host", "service"}]
    assert reported == list(COMPONENTS)
    assert list(METRICS) == list(COMPONENTS)
    assert sorted(ConfigDirectory(SHIPPED).files()) == sorted(COMPONENTS)


@pytest.mark.parametrize("service", MODULES)
@pytest.mark.parametrize(
    "before",
    [["python"], [sys.executable], ["python3.13t", "-u"], ["/usr/bin/python3", "-X", "dev", "-W", "error"], ["pypy3"]],
    ids=" ".join,
)
def test_a_process_is_a_service_if_it_is_a_python_that_runs_its_module(service: str, before: list[str]) -> None:
    assert service_of([*before, "-m", MODULES[service], "--more"]) == service


@pytest.mark.parametrize(
    "command_line",
    [
        [],
        [""],
        ["python"],
        ["python", "-m"],
        ["python", "-m", "agent_svcs"],
        ["python", "-m", "agent_svcs.data_agent.model"],
        ["python", "script.py", "-m", "agent_svcs.data_agent"],
        ["python", "-c", "pass", "-m", "agent_svcs.data_agent"],
        ["python", "-m", "pytest", "-m", "agent_svcs.data_agent"],
        ["bash", "-c", "python -m agent_svcs.data_agent"],
        ["vim", "-m", "agent_svcs.data_agent"],
        ["pythonic", "-m", "agent_svcs.data_agent"],
        ["python", "-X", "-m", "agent_svcs.data_agent"],
    ],
    ids=json.dumps,
)
def test_other_processes_are_no_service(command_line: list[str]) -> None:
    assert service_of(command_line) is None


@pytest.mark.parametrize("name", ["", "  ", "x" * 201, "a\0b", "a\nb", "\x1b[31m", "\u202e"])
def test_what_can_be_nobodys_name_is_refused_before_it_is_looked_up(name: str) -> None:
    with pytest.raises(errors.ArgumentsInvalid) as raised:
        check_name("entity", name)
    assert [violation.path for violation in raised.value.violations] == ["arguments.entity"]
    assert len(raised.value.message) < 200


def test_an_unknown_name_is_answered_with_the_nearest_and_else_with_some_that_exist() -> None:
    assert "did you mean data_agent?" in unknown("entity", "data-agnet", ["data_agent", "host"]).message
    assert "there is data_agent, host" in unknown("entity", "zzz", ["host", "data_agent"]).message
    assert "and 88 more" in unknown("entity", "zzz", [f"process{i}" for i in range(100)]).message
    assert "there is none" in unknown("entity", "zzz", []).message
