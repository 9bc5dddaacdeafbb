"""The commands and their options. What they do is imported when they run."""

from __future__ import annotations

import importlib.metadata
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Final

import typer

from agentmesh.cards import Effect
from agentmesh.cli.exits import MEANINGS
from agentmesh.cli.plugins import PluginGroup

DEFAULT_ADDRESS: Final = "127.0.0.1:50051"
_HIGHEST_PORT: Final = 65_535

_ABOUT: Final = "Ask a mesh of AI agents: one question is routed once, its plan runs, one answer comes back."
_FIRST_STEPS: Final = 'First `agentmesh up`, then in another terminal `agentmesh ask "What are the current metrics?"`.'


@dataclass(slots=True)
class Invocation:
    """What holds for one run of the program."""

    debug: bool = False


def build_command(invocation: Invocation) -> Callable[..., Any]:
    """Return the program; what its options say about the whole run goes into `invocation`."""
    markup: Any = "rich" if sys.stdout.isatty() else None
    app = typer.Typer(
        name="agentmesh",
        cls=PluginGroup,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=markup,
        context_settings={"help_option_names": ["-h", "--help"]},
    )

    @app.callback(help=f"{_ABOUT}\n\n{_FIRST_STEPS}", epilog=_exit_codes())
    def all_commands(
        version: Annotated[  # noqa: ARG001 - ends the program by itself
            bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and leave.")
        ] = False,
        debug: Annotated[bool, typer.Option("--debug", help="Show where an error comes from.")] = False,
    ) -> None:
        invocation.debug = debug

    app.command()(ask)
    app.command()(plan)
    app.command(name="run")(run_plan)
    app.command()(agents)
    runs = typer.Typer(no_args_is_help=True, rich_markup_mode=markup, help="Look at runs that have been.")
    runs.command(name="show")(show_run)
    app.add_typer(runs, name="runs")
    return typer.main.get_command(app)


def _exit_codes() -> str:
    return "\n\n".join(["Exit codes:", *(f"{int(code)}: {meaning}." for code, meaning in MEANINGS.items())])


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"agentmesh {importlib.metadata.version('agentmesh')}")
        raise typer.Exit


def _positive(value: float | None) -> float | None:
    if value is not None and not (math.isfinite(value) and value > 0):
        raise typer.BadParameter("must be more than 0 seconds")
    return value


def _address(value: str) -> str:
    if not value.strip() or any(character.isspace() for character in value):
        raise typer.BadParameter("must be host:port, unix:/path or another gRPC target")
    if value.startswith(("http:", "https:")):
        raise typer.BadParameter("must be host:port without a scheme: this is gRPC, no web page")
    port = value.rpartition(":")[2]
    if port.isdecimal() and int(port) > _HIGHEST_PORT:  # gRPC would take the remainder of 65536
        raise typer.BadParameter(f"has port {port}, and {_HIGHEST_PORT} is the highest")
    return value


Address = Annotated[
    str,
    typer.Option(
        envvar="AGENTMESH_ORCHESTRATOR_ADDRESS",
        show_envvar=True,
        show_default=True,
        metavar="HOST:PORT",
        callback=_address,
        help="Where the orchestrator serves.",
    ),
]
Timeout = Annotated[
    float | None,
    typer.Option(metavar="SECONDS", callback=_positive, help="Give up after so long; by default the server decides."),
]
Json = Annotated[bool, typer.Option("--json", help="Write one JSON document, for programs.")]
MaxEffect = Annotated[
    Effect | None,
    typer.Option(
        case_sensitive=False, help="Use no skill that may change more than this. By default that is IDEMPOTENT."
    ),
]
Skills = Annotated[
    list[str] | None, typer.Option("--skill", metavar="AGENT__SKILL", help="Use only this skill; may be repeated.")
]
Question = Annotated[str, typer.Argument(metavar="QUESTION", help="The question, in quotes; - reads standard input.")]
Raw = Annotated[bool, typer.Option("--raw", help="Give the results of the agents, and no text about them.")]


def ask(
    question: Question,
    *,
    raw: Raw = False,
    as_json: Json = False,
    plan_only: Annotated[bool, typer.Option("--plan-only", help="Show what would run, and run nothing.")] = False,
    skill: Skills = None,
    max_effect: MaxEffect = None,
    timeout: Timeout = None,
    address: Address = DEFAULT_ADDRESS,
) -> None:
    """Ask a question and show plan, steps, answer and cost."""
    if plan_only:
        if raw:
            raise typer.BadParameter("--plan-only runs nothing, so there is nothing to show --raw")
        plan(question, as_json=as_json, skill=skill, max_effect=max_effect, timeout=timeout, address=address)
        return
    from agentmesh.cli import commands  # noqa: PLC0415

    code = commands.ask(
        address,
        question,
        raw=raw,
        as_json=as_json,
        allowed_skills=tuple(skill or ()),
        max_effect=max_effect,
        timeout_seconds=timeout,
    )
    raise typer.Exit(code)


def plan(
    question: Question,
    *,
    as_json: Json = False,
    skill: Skills = None,
    max_effect: MaxEffect = None,
    timeout: Timeout = None,
    address: Address = DEFAULT_ADDRESS,
) -> None:
    """Show what would run for a question, and run nothing."""
    from agentmesh.cli import commands  # noqa: PLC0415

    code = commands.plan(
        address,
        question,
        as_json=as_json,
        allowed_skills=tuple(skill or ()),
        max_effect=max_effect,
        timeout_seconds=timeout,
    )
    raise typer.Exit(code)


def run_plan(
    plan_file: Annotated[
        str, typer.Argument(metavar="PLAN_FILE", help="The plan, in JSON or YAML; - reads standard input.")
    ],
    *,
    query: Annotated[
        str, typer.Option(help="The question that the answer is to address; without one results are shown as --raw.")
    ] = "",
    raw: Raw = False,
    as_json: Json = False,
    max_effect: MaxEffect = None,
    timeout: Timeout = None,
    address: Address = DEFAULT_ADDRESS,
) -> None:
    """Run a plan of your own: no routing, so no model decides."""
    from agentmesh.cli import commands  # noqa: PLC0415

    code = commands.run_plan(
        address,
        plan_file,
        query=query,
        raw=raw or not query.strip(),
        as_json=as_json,
        max_effect=max_effect,
        timeout_seconds=timeout,
    )
    raise typer.Exit(code)


def agents(
    *,
    skills: Annotated[bool, typer.Option("--skills", help="Show every skill with its arguments.")] = False,
    as_json: Json = False,
    timeout: Timeout = None,
    address: Address = DEFAULT_ADDRESS,
) -> None:
    """Show the agents that are in the mesh now."""
    from agentmesh.cli import commands  # noqa: PLC0415

    commands.agents(address, skills=skills, as_json=as_json, timeout_seconds=timeout)


def show_run(
    run_id: Annotated[str, typer.Argument(metavar="RUN_ID", help="32 hex digits, as an answer shows them.")],
    *,
    step: Annotated[str, typer.Option(metavar="STEP_ID", help="Only the result of this step.")] = "",
    as_json: Json = False,
    timeout: Timeout = None,
    address: Address = DEFAULT_ADDRESS,
) -> None:
    """Show a run with all its results."""
    from agentmesh.cli import commands  # noqa: PLC0415

    commands.show_run(address, run_id, step_id=step, as_json=as_json, timeout_seconds=timeout)
