"""What Prometheus gets from Jaeger: metrics of the mesh, by the names that the alerts use, and metrics of its spans."""

from __future__ import annotations

import re
from dataclasses import astuple

import pytest

from tests.deploy.metric_names import OF_OTHERS, used
from tests.deploy.test_prometheus import RECORDED, RULES
from tests_jaeger.recorded import Recorded

pytestmark = pytest.mark.timeout(180)

SERIES = re.compile(r"^(\w+)\{([^}]*)\}", re.MULTILINE)
LABEL = re.compile(r'(\w+)="')


def test_every_metric_and_label_of_the_alerts_arrives(recorded: Recorded) -> None:
    series = SERIES.findall(recorded.metrics)
    served, labels = {name for name, _ in series}, {label for _, said in series for label in LABEL.findall(said)}
    for rule in RULES:
        names, attributes = used(rule["expr"])
        assert names - OF_OTHERS - RECORDED <= served, rule["expr"]
        assert attributes <= labels, rule["expr"]


def test_the_spans_of_every_service_are_counted(recorded: Recorded) -> None:
    counted = {said for name, said in SERIES.findall(recorded.metrics) if name == "traces_span_metrics_calls_total"}
    assert any('service_name="orchestrator"' in said and 'span_name="invoke_workflow ask"' in said for said in counted)
    failed = [said for said in counted if 'span_name="invoke_agent troubled_agent"' in said]
    assert any('status_code="STATUS_CODE_ERROR"' in said for said in failed)


def test_a_duration_leads_to_a_trace_that_it_was_measured_in(recorded: Recorded) -> None:
    durations = [line for line in recorded.metrics.splitlines() if line.startswith("rpc_server_call_duration_seconds")]
    exemplars = {found for line in durations for found in re.findall(r'# \{.*trace_id="(\w+)"', line)}
    assert exemplars & set(astuple(recorded.ids))
