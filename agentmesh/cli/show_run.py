"""A run that the orchestrator remembers, as people read it."""

from __future__ import annotations

from agentmesh.cli.output import Output
from agentmesh.cli.problems import explain_error
from agentmesh.cli.show_answer import show_answer, show_results
from agentmesh.client.values import RunRecord


def show_record(output: Output, record: RunRecord) -> None:
    output.line(("run      ", "dim"), (record.run_id, "bold"))
    output.line(("state    ", "dim"), str(record.state))
    if record.query:
        output.line(("question ", "dim"), record.query.replace("\n", " "))
    if record.conversation_id:
        output.line(("talk     ", "dim"), record.conversation_id)
    if record.started_at is not None:
        output.line(("started  ", "dim"), record.started_at.isoformat(timespec="milliseconds").replace("+00:00", "Z"))
    if record.ended_at is not None:
        output.line(("ended    ", "dim"), record.ended_at.isoformat(timespec="milliseconds").replace("+00:00", "Z"))
    if record.error is not None:
        failed = explain_error(record.error)
        output.line(("error    ", "red"), failed.message)
        for detail in failed.details:
            output.line("         ", detail)
    if record.answer is not None:
        show_answer(output, record.answer)
        if record.answer.text:
            show_results(output, record.answer.steps)
