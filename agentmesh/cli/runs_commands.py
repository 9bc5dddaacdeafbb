"""What the commands about runs do: one call of the client, then its answer on the output."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice

from agentmesh.cli.commands import answered, form_of
from agentmesh.cli.exits import ExitCode
from agentmesh.cli.follow import follow
from agentmesh.cli.options import Target
from agentmesh.cli.output import open_output
from agentmesh.cli.show_run import show_record
from agentmesh.cli.show_runs import show_runs
from agentmesh.client import MeshClient, RunOutcome, RunState
from agentmesh.client.wire_json import message_json

_MOST_A_PAGE = 1000


def list_runs(
    target: Target,
    *,
    state: str | None,
    outcome: str | None,
    started_after: datetime | None,
    conversation_id: str,
    limit: int,
    as_json: bool,
    timeout_seconds: float | None,
) -> None:
    with MeshClient(target.address, token=target.token) as mesh:
        runs = mesh.list_runs(
            state=None if state is None else RunState(state),
            outcome=None if outcome is None else RunOutcome(outcome),
            started_after=started_after,
            conversation_id=conversation_id,
            page_size=min(limit, _MOST_A_PAGE),
            timeout_seconds=timeout_seconds,
        )
        listed = list(islice(runs, limit))
    output = open_output()
    if as_json:
        for run in listed:
            output.json_line(message_json(run.wire))
    else:
        show_runs(output, listed, datetime.now(UTC))


def show(
    target: Target, run_id: str, *, step_id: str, item_index: int | None, as_json: bool, timeout_seconds: float | None
) -> None:
    with MeshClient(target.address, token=target.token) as mesh:
        record = mesh.get_run(run_id, step_id=step_id, item_index=item_index, timeout_seconds=timeout_seconds)
    output = open_output()
    if as_json:
        output.json(message_json(record.wire))
    else:
        show_record(output, record)


def watch(
    target: Target, run_id: str, *, after_sequence: int, as_json: bool, events: bool, timeout_seconds: float | None
) -> ExitCode:
    form = form_of(as_json=as_json, events=events)
    with MeshClient(target.address, token=target.token) as mesh:
        happening = mesh.watch_run(run_id, after_sequence=after_sequence, timeout_seconds=timeout_seconds)
        answer = follow(happening, form, on_the_way="watching the run ...")
        if answer is None:  # the answer is older than what was asked for
            answer = mesh.get_run(run_id, timeout_seconds=timeout_seconds).answer
    return ExitCode.OK if answer is None else answered(answer, form)


def cancel(target: Target, run_id: str, *, timeout_seconds: float | None) -> None:
    with MeshClient(target.address, token=target.token) as mesh:
        state = mesh.cancel_run(run_id, timeout_seconds=timeout_seconds)
    how = "" if state is RunState.CANCELLED else "; it had ended before"
    open_output().line(("run ", "dim"), (run_id, "bold"), f" is {state}{how}")
