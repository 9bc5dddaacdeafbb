"""deploy/prometheus: alerts over metrics that exist, each explained, each tested in both directions."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from tests.deploy.compose_file import ROOT
from tests.deploy.metric_names import exported, unknown

DIRECTORY = ROOT / "deploy/prometheus"
RULES: list[dict[str, Any]] = [
    rule
    for path in sorted((DIRECTORY / "rules").glob("*.yaml"))
    for group in yaml.safe_load(path.read_text())["groups"]
    for rule in group["rules"]
]
ALERTS = {rule["alert"]: rule for rule in RULES if "alert" in rule}
RECORDED = {rule["record"] for rule in RULES if "record" in rule}


def test_every_metric_and_label_of_the_rules_exists() -> None:
    assert {name for rule in RULES for name in unknown(rule["expr"], RECORDED)} == set()


def test_names_are_those_that_the_exporter_makes() -> None:
    assert {
        "rpc_server_call_duration_seconds_bucket",
        "agentmesh_llm_calls_per_ask_count",
        "agentmesh_asks_shed_total",
        "agentmesh_asks_active",
        "agentmesh_registry_endpoints",
    } <= exported()


@pytest.mark.parametrize(
    ("expression", "name"),
    [
        ("rate(agentmesh_asks_shed[5m]) > 0", "agentmesh_asks_shed"),
        ("agentmesh_llm_calls_per_ask_calls_count", "agentmesh_llm_calls_per_ask_calls_count"),
        ("sum by (job) (rate(rpc_server_duration_seconds_count[5m]))", "rpc_server_duration_seconds_count"),
        ("rpc_server_call_duration_seconds_count{rpc_code='OK'}", "rpc_code"),
        ("sum by (agent) (agentmesh_steps_total)", "agent"),
        ("up * on (pod) group_left (name) target_info", "pod"),
        ("agentmesh:asks:count offset 5m", "agentmesh:asks:count"),
    ],
)
def test_a_name_that_nothing_makes_is_found(expression: str, name: str) -> None:
    assert name in unknown(expression, RECORDED)


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_says_what_it_is_and_what_to_do(alert: str) -> None:
    rule = ALERTS[alert]
    assert rule["labels"]["severity"] in {"warning", "critical"}
    assert {"summary", "description", "runbook"} == rule["annotations"].keys()
    page, _, anchor = rule["annotations"]["runbook"].partition("#")
    headings = re.findall(r"^#+ (.*)$", (ROOT / page).read_text(), re.MULTILINE)
    assert anchor == alert.lower()
    assert alert in headings


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_is_tested_to_fire_and_to_be_silent(alert: str) -> None:
    tested = [
        bool(case["exp_alerts"])
        for path in (DIRECTORY / "tests").glob("*.yaml")
        for test in yaml.safe_load(path.read_text())["tests"]
        for case in test["alert_rule_test"]
        if case["alertname"] == alert
    ]
    assert set(tested) == {True, False}
