"""A run that the orchestrator remembers, as people read it."""

from __future__ import annotations

from collections.abc import Iterator

from agentmesh.cli.output import Output, Span
from agentmesh.cli.problems import explain_error
from agentmesh.cli.show_answer import moment, show_answer, show_results
from agentmesh.client.values import RunRecord


def show_record(output: Output, record: RunRecord) -> None:
    facts = list(_facts(record))
    width = max(len(name) for name, _ in facts)
    for name, fact in facts:
        output.line((f"{name.ljust(width)} ", "dim"), fact)
    if record.answer is not None:
        show_answer(output, record.answer)
        if record.answer.text:
            show_results(output, record.answer.steps)


def _facts(record: RunRecord) -> Iterator[tuple[str, Span]]:
    yield "run", (record.run_id, "bold")
    yield "state", str(record.state)
    if record.query:
        yield "question", record.query
    if record.conversation_id:
        yield "conversation", record.conversation_id
    if record.started_at is not None:
        yield "began", moment(record.started_at)
    if record.ended_at is not None:
        yield "ended", moment(record.ended_at)
    if record.error is not None:
        failed = explain_error(record.error)
        yield "error", (failed.message, "red")
        for detail in failed.details:
            yield "", detail
