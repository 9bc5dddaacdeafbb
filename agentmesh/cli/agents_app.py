"""The commands about agents: `agentmesh agents` lists or watches them, with a further word it shows one; `register`."""

from __future__ import annotations

from typing import Annotated, Any, Final

import typer

from agentmesh.cli import options
from agentmesh.cli.options import DEFAULT_ADDRESS

_ABOUT: Final = "Show the agents that are in the mesh now, watch them come and go, or show one."


def build(markup: Any) -> typer.Typer:  # noqa: ANN401 - the library's own literal
    """Return the group of commands."""
    group = typer.Typer(invoke_without_command=True, rich_markup_mode=markup, help=_ABOUT)
    group.callback()(list_agents)
    group.command(name="show")(show)
    return group


def list_agents(
    context: typer.Context,
    *,
    skills: Annotated[bool, typer.Option("--skills", help="Show every skill with its arguments.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Go on showing who is there, until Ctrl-C.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Write JSON: one document, or with --watch one in a line for each change.")
    ] = False,
    timeout: options.Timeout = None,
    address: options.Address = DEFAULT_ADDRESS,
    token: options.Token = "",
) -> None:
    if context.invoked_subcommand is not None:
        options.refuse_options_before(context, context.invoked_subcommand)
        return
    if watch and skills:
        raise typer.BadParameter("--watch shows endpoints and --skills what they do: choose one")
    from agentmesh.cli import agents_commands  # noqa: PLC0415

    target = options.Target(address, token)
    if watch:
        agents_commands.watch(target, as_json=as_json, timeout_seconds=timeout)
    else:
        agents_commands.list_agents(target, skills=skills, as_json=as_json, timeout_seconds=timeout)


def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the agent, as `agentmesh agents` shows it.")],
    *,
    as_json: options.Json = False,
    timeout: options.Timeout = None,
    address: options.Address = DEFAULT_ADDRESS,
    token: options.Token = "",
) -> None:
    """Show an agent: where it runs, its skills with schemas, effects and examples."""
    from agentmesh.cli import agents_commands  # noqa: PLC0415

    agents_commands.show(options.Target(address, token), name, as_json=as_json, timeout_seconds=timeout)


def register(
    *,
    card: Annotated[
        str,
        typer.Option(metavar="FILE", help="Card of the agent: AgentCard in JSON or YAML; - reads standard input."),
    ],
    at: Annotated[
        str,
        typer.Option("--address", metavar="HOST:PORT", help="Where the orchestrator reaches the agent, which serves."),
    ],
    ttl: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", callback=options.positive, help="How long the lease lasts; by default 15."),
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Register, show the lease, and leave it to others.")] = False,
    as_json: options.Json = False,
    timeout: options.Timeout = None,
    orchestrator: options.Orchestrator = DEFAULT_ADDRESS,
    token: options.Token = "",
) -> None:
    """Register an agent that does not do it by itself, and keep it registered until Ctrl-C."""
    from agentmesh.cli import registering  # noqa: PLC0415

    registering.register(
        options.Target(orchestrator, token),
        card_file=card,
        address=at,
        ttl_seconds=ttl,
        once=once,
        as_json=as_json,
        timeout_seconds=timeout,
    )
