"""The configurations that config_agent ships say what the code does."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from agent_svcs.analytics_agent import detector, history, level, metrics, trends
from agent_svcs.analytics_agent import settings as analytics_settings
from agent_svcs.components import HOST, MODULES
from agent_svcs.config_agent import checking, directory, parsing, schema
from agent_svcs.config_agent.checking import check_component
from agent_svcs.config_agent.directory import ConfigDirectory
from agent_svcs.config_agent.masking import MASK
from agent_svcs.config_agent.settings import SHIPPED
from agent_svcs.data_agent import report, skills
from agentmesh.agent.settings import read_settings
from orchestrator_svc.config import Config, read_config

AGENTS = [service for service in MODULES if service.endswith("_agent")]


def _shipped(component: str) -> dict[str, Any]:
    return check_component(ConfigDirectory(SHIPPED), component).config


def test_the_orchestrators_file_is_one_that_it_reads_and_changes_no_default() -> None:
    file = SHIPPED / "orchestrator.yaml"
    assert read_config({"AGENTMESH_CONFIG_FILE": str(file)}).config == Config()


def test_the_orchestrators_schema_knows_every_setting_and_its_default() -> None:
    properties = json.loads((SHIPPED / "orchestrator.schema.json").read_text())["properties"]
    sections = {"llm": properties.pop("llm")["properties"]}
    known = {**properties, **{f"{name}_{key}": one for name, inside in sections.items() for key, one in inside.items()}}
    assert set(known) == set(Config.model_fields)
    defaults = {name: getattr(Config(), name) for name, one in known.items() if "default" in one}
    assert {name: known[name]["default"] for name in defaults} == {
        name: list(value) if isinstance(value, tuple) else value for name, value in defaults.items()
    }


def test_tokens_of_callers_pass_the_orchestrators_schema_and_are_not_shown(tmp_path: Path) -> None:
    for name in ("orchestrator.yaml", "orchestrator.schema.json"):
        shutil.copy(SHIPPED / name, tmp_path)
    with (tmp_path / "orchestrator.yaml").open("a") as file:
        file.write("caller_tokens:\n  billing: correct-horse-battery-staple\n")
    checked = check_component(ConfigDirectory(tmp_path), "orchestrator")
    assert (checked.valid, checked.config["caller_tokens"]) == (True, {"billing": MASK})


@pytest.mark.parametrize("component", AGENTS)
def test_the_common_settings_of_an_agent_are_the_defaults_of_agents(component: str) -> None:
    settings = read_settings({})
    assert _shipped(component)["agent"] == {
        "listen": settings.options.listen,
        "orchestrator_address": settings.options.orchestrator,
        "ttl_seconds": settings.options.ttl_seconds,
        "drain_seconds": settings.options.grace_seconds,
        "log_level": settings.log_level,
        "capture_content": settings.capture_content,
        "allow_plaintext": settings.options.allow_plaintext,
    }


def test_the_common_settings_are_described_alike_for_every_agent() -> None:
    texts = [json.loads((SHIPPED / f"{one}.schema.json").read_text())["$defs"]["agent"] for one in AGENTS]
    assert all(text == texts[0] for text in texts)


def test_data_agent() -> None:
    assert _shipped("data_agent")["report"] == {
        "interval_seconds": skills.INTERVAL_SECONDS,
        "top_processes_of_host": report.TOP_OF_HOST,
        "most_processes": report.MOST_PROCESSES,
        "most_process_names": report.MOST_NAMES,
    }


def test_analytics_agent() -> None:
    shipped, settings = _shipped("analytics_agent"), analytics_settings.Settings()
    assert settings.store is None
    assert shipped["history"] == {
        "interval_seconds": settings.interval_seconds,
        "retention_hours": settings.retention_seconds / 3600.0,
        "store": ":memory:",
        "live_rounds": history.LIVE_ROUNDS,
    }
    assert shipped["detector"] == {
        "spike_sigma": level.SPIKE_SIGMA,
        "step_sigma": detector.STEP_SIGMA,
        "most_anomalies": trends.MOST_ANOMALIES,
    }
    assert shipped["resolution"] == {one.name: one.resolution for one in metrics.SERVICE_METRICS}


def test_config_agent() -> None:
    shipped = _shipped("config_agent")
    assert shipped["directory"] == SHIPPED.name
    assert shipped["limits"] == {
        "file_bytes": directory.MAX_FILE_BYTES,
        "depth": parsing.MAX_DEPTH,
        "findings": schema.MOST_FINDINGS,
        "components": checking.MOST_COMPONENTS,
    }


def test_host() -> None:
    shipped, settings = _shipped(HOST), analytics_settings.Settings()
    assert shipped["sampling"] == {
        "interval_seconds": settings.interval_seconds,
        "retention_hours": settings.retention_seconds / 3600.0,
    }
    assert shipped["metrics"] == {
        one.name: {"unit": one.unit, "resolution": one.resolution} for one in metrics.HOST_METRICS
    }
