"""The commands about runs: `agentmesh runs` lists them; with a further word it shows, watches or cancels one."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Final

import typer

from agentmesh.cli import options
from agentmesh.cli.options import DEFAULT_ADDRESS

_ABOUT: Final = "List your runs, newest first; or show, watch or cancel one."


class State(StrEnum):
    """States that runs can be listed by; as `agentmesh.client.RunState`, which would import gRPC."""

    RUNNING = "RUNNING"
    FINISHED = "FINISHED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


class Outcome(StrEnum):
    """Outcomes that runs can be listed by; as `agentmesh.client.RunOutcome`."""

    COMPLETE = "COMPLETE"
    PARTIAL = "PARTIAL"
    NO_AGENT = "NO_AGENT"


def build(markup: Any) -> typer.Typer:  # noqa: ANN401 - the library's own literal
    """Return the group of commands."""
    group = typer.Typer(invoke_without_command=True, rich_markup_mode=markup, help=_ABOUT)
    group.callback()(list_runs)
    group.command(name="show")(show)
    group.command(name="watch")(watch)
    group.command(name="cancel")(cancel)
    return group


def list_runs(
    context: typer.Context,
    *,
    state: Annotated[State | None, typer.Option(case_sensitive=False, help="Only runs in this state.")] = None,
    outcome: Annotated[Outcome | None, typer.Option(case_sensitive=False, help="Only runs that ended so.")] = None,
    since: Annotated[
        str | None, typer.Option(metavar="15m|2h|1d|TIME", help="Only runs that arrived since then.")
    ] = None,
    conversation: Annotated[str, typer.Option(metavar="ID", help="Only runs of this conversation.")] = "",
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="At most so many.")] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="Write each run as one line of JSON, for programs.")] = False,
    timeout: options.Timeout = None,
    address: options.Address = DEFAULT_ADDRESS,
    token: options.Token = "",
) -> None:
    if context.invoked_subcommand is not None:
        options.refuse_options_before(context, context.invoked_subcommand)
        return
    started_after = None if since is None else options.moment_since(since)
    from agentmesh.cli import runs_commands  # noqa: PLC0415

    runs_commands.list_runs(
        options.Target(address, token),
        state=state,
        outcome=outcome,
        started_after=started_after,
        conversation_id=conversation,
        limit=limit,
        as_json=as_json,
        timeout_seconds=timeout,
    )


def show(
    run_id: options.RunId,
    *,
    step: Annotated[str, typer.Option(metavar="STEP_ID", help="Only the result of this step.")] = "",
    item: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="Of a for_each step only this item, from 0.")
    ] = None,
    as_json: options.Json = False,
    timeout: options.Timeout = None,
    address: options.Address = DEFAULT_ADDRESS,
    token: options.Token = "",
) -> None:
    """Show a run with all its results."""
    if item is not None and not step:
        raise typer.BadParameter("--item is one of a step: name that with --step")
    from agentmesh.cli import runs_commands  # noqa: PLC0415

    runs_commands.show(
        options.Target(address, token), run_id, step_id=step, item_index=item, as_json=as_json, timeout_seconds=timeout
    )


def watch(
    run_id: options.RunId,
    *,
    after: Annotated[int, typer.Option(min=0, metavar="N", help="Only what happened after the first N events.")] = 0,
    as_json: options.Json = False,
    events: options.Events = False,
    timeout: options.Timeout = None,
    address: options.Address = DEFAULT_ADDRESS,
    token: options.Token = "",
) -> None:
    """Follow a run to its answer: what has happened, then what happens."""
    options.one_form(as_json=as_json, events=events)
    from agentmesh.cli import runs_commands  # noqa: PLC0415

    code = runs_commands.watch(
        options.Target(address, token),
        run_id,
        after_sequence=after,
        as_json=as_json,
        events=events,
        timeout_seconds=timeout,
    )
    raise typer.Exit(code)


def cancel(
    run_id: options.RunId,
    *,
    timeout: options.Timeout = None,
    address: options.Address = DEFAULT_ADDRESS,
    token: options.Token = "",
) -> None:
    """Cancel a run, for everybody who waits for it; one that has ended stays as it is."""
    from agentmesh.cli import runs_commands  # noqa: PLC0415

    runs_commands.cancel(options.Target(address, token), run_id, timeout_seconds=timeout)
