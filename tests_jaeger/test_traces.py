"""A mesh of real processes as Jaeger shows it: its services, the trace of every question, who called whom, what failed.

Read through Jaeger's HTTP API. Where Jaeger has not been built the receiver of `agentmesh up` stands in; the summary
of the run says which it was.
"""

from __future__ import annotations

from dataclasses import astuple

import pytest

from agentmesh.traces.model import Trace, calls_between
from tests_jaeger.recorded import Recorded, drawn
from tests_jaeger.story import MODEL

pytestmark = pytest.mark.timeout(180)  # the first test starts Jaeger and the mesh, and asks; the others read

AGENTS = {"analytics_agent", "config_agent", "data_agent", "troubled_agent"}

BEGINNING = f"""\
orchestrator SERVER agentmesh.v1.Orchestrator/Ask
  orchestrator INTERNAL invoke_workflow ask
    orchestrator INTERNAL plan orchestrator
      orchestrator CLIENT chat {MODEL}"""
END = f"""\
    orchestrator INTERNAL synthesize
      orchestrator CLIENT chat {MODEL}"""


def call(agent: str, skill: str) -> str:
    """The spans of a step that goes well at once."""
    return f"""\
    orchestrator CLIENT invoke_agent {agent}
      orchestrator CLIENT agentmesh.v1.Agent/Execute
        {agent} SERVER agentmesh.v1.Agent/Execute
          {agent} INTERNAL execute_tool {skill}"""


def tree(*parts: str) -> list[str]:
    return "\n".join(parts).splitlines()


def test_every_process_is_a_service(recorded: Recorded) -> None:
    assert AGENTS | {"orchestrator"} <= set(recorded.reader.services())


def test_steps_side_by_side_are_children_of_the_run(recorded: Recorded) -> None:
    trace = recorded.reader.trace(recorded.ids.parallel)
    steps = [
        call("data_agent", "get_report"),
        call("analytics_agent", "get_trends"),
        call("config_agent", "check_config"),
    ]
    lines = drawn(trace)
    beginning, end = tree(BEGINNING), tree(END)
    assert lines[: len(beginning)] == beginning
    assert lines[-len(end) :] == end
    middle = "\n".join(lines[len(beginning) : -len(end)])
    assert len(middle) == len("\n".join(steps))
    assert all(step in middle for step in steps), "they may begin in any order"
    assert linked(trace, "synthesize") == {f"invoke_agent {step}" for step in AGENTS - {"troubled_agent"}}


def test_a_step_that_waited_for_another_is_its_sibling_and_linked_to_it(recorded: Recorded) -> None:
    trace = recorded.reader.trace(recorded.ids.sequential)
    steps = call("analytics_agent", "get_trends"), call("config_agent", "check_config")
    assert drawn(trace) == tree(BEGINNING, *steps, END)
    assert linked(trace, "invoke_agent config_agent") == {"invoke_agent analytics_agent"}


def test_a_step_that_fails_is_an_error_and_the_question_that_is_answered_all_the_same_is_none(
    recorded: Recorded,
) -> None:
    trace = recorded.reader.trace(recorded.ids.failing)
    failing = """\
    orchestrator CLIENT invoke_agent troubled_agent ERROR AGENT_ERROR
      orchestrator CLIENT agentmesh.v1.Agent/Execute ERROR NOT_FOUND
        troubled_agent SERVER agentmesh.v1.Agent/Execute
          troubled_agent INTERNAL execute_tool fail ERROR NOT_FOUND"""
    steps = call("data_agent", "get_report"), failing
    assert drawn(trace) in (tree(BEGINNING, *steps, END), tree(BEGINNING, *reversed(steps), END))


def test_a_question_whose_caller_went_is_told_to_its_leaf_and_only_the_call_that_was_cut_is_an_error(
    recorded: Recorded,
) -> None:
    trace = recorded.reader.trace(recorded.ids.cancelled)
    cut = """\
    orchestrator CLIENT invoke_agent troubled_agent
      orchestrator CLIENT agentmesh.v1.Agent/Execute ERROR CANCELLED
        troubled_agent SERVER agentmesh.v1.Agent/Execute
          troubled_agent INTERNAL execute_tool hang"""
    assert drawn(trace) == tree(BEGINNING, cut)
    (asked,) = trace.named("agentmesh.v1.Orchestrator/Ask")
    (served,) = (span for span in trace.spans if span.service == "troubled_agent" and span.kind == "SERVER")
    assert (asked.get("rpc.status_code"), served.get("rpc.status_code")) == ("CANCELLED", "CANCELLED")


def test_a_question_whose_time_was_up_is_told_to_its_leaf_and_an_error_up_to_the_caller(recorded: Recorded) -> None:
    trace = recorded.reader.trace(recorded.ids.timed_out)
    asked, run = (f"{line} ERROR ALL_STEPS_FAILED" for line in tree(BEGINNING)[:2])
    served = "        troubled_agent SERVER agentmesh.v1.Agent/Execute"
    late = f"""\
    orchestrator CLIENT invoke_agent troubled_agent ERROR DEADLINE_EXCEEDED
      orchestrator CLIENT agentmesh.v1.Agent/Execute ERROR DEADLINE_EXCEEDED
{served}
          troubled_agent INTERNAL execute_tool hang"""
    # Both sides have the deadline. Whether the agent sees it pass or its caller leave is a matter of microseconds.
    lines = [served if line == f"{served} ERROR DEADLINE_EXCEEDED" else line for line in drawn(trace)]
    assert lines == tree(asked, run, *tree(BEGINNING)[2:], late)
    assert trace.spans[0].get("rpc.status_code") == "DEADLINE_EXCEEDED"


def test_whoever_begins_a_trace_is_the_parent_of_the_question(recorded: Recorded) -> None:
    for trace_id in (recorded.ids.cancelled, recorded.ids.timed_out):
        trace = recorded.reader.trace(trace_id)
        assert [span.name for span in trace.orphans] == ["agentmesh.v1.Orchestrator/Ask"]
        assert trace.roots == ()


def test_the_graph_of_services_has_an_edge_for_every_call_of_an_agent(recorded: Recorded) -> None:
    traces = [recorded.reader.trace(trace_id) for trace_id in astuple(recorded.ids)]
    calls = calls_between(span for trace in traces for span in trace.spans)
    assert calls == {("orchestrator", agent): 3 if agent == "troubled_agent" else 2 for agent in AGENTS}
    graph = recorded.reader.dependencies()
    assert all(graph.get(edge, 0) >= count for edge, count in calls.items()), graph


def test_what_failed_can_be_found(recorded: Recorded) -> None:
    found = {trace.trace_id for trace in recorded.reader.find("troubled_agent") if trace.named("invoke_workflow ask")}
    assert found == {recorded.ids.failing, recorded.ids.cancelled, recorded.ids.timed_out}


def linked(trace: Trace, name: str) -> set[str]:
    """Names of the spans that the one of this name is linked to."""
    (span,) = trace.named(name)
    targets = [trace.span(link.span_id) for link in span.links]
    return {target.name for target in targets if target is not None}
