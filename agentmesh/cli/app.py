"""The commands and their options. What they do is imported when they run."""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Final

import typer

from agentmesh.cli import agents_app, options, runs_app
from agentmesh.cli.exits import MEANINGS
from agentmesh.cli.options import DEFAULT_ADDRESS, DEFAULT_TRACE_API
from agentmesh.cli.plugins import PluginGroup

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
    app.add_typer(agents_app.build(markup), name="agents")
    app.command()(agents_app.register)
    app.add_typer(runs_app.build(markup), name="runs")
    app.command()(trace)
    return typer.main.get_command(app)


def _exit_codes() -> str:
    return "\n\n".join(["Exit codes:", *(f"{int(code)}: {meaning}." for code, meaning in MEANINGS.items())])


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"agentmesh {importlib.metadata.version('agentmesh')}")
        raise typer.Exit


def ask(
    question: options.Question,
    *,
    raw: options.Raw = False,
    as_json: options.Json = False,
    events: options.Events = False,
    plan_only: Annotated[bool, typer.Option("--plan-only", help="Show what would run, and run nothing.")] = False,
    skill: options.Skills = None,
    max_effect: options.MaxEffect = None,
    cache_mode: options.CacheMode = None,
    request_id: options.RequestId = "",
    conversation: options.Conversation = "",
    budget_llm_calls: options.LlmCallBudget = None,
    budget_tokens: options.TokenBudget = None,
    budget_usd: options.DollarBudget = None,
    budget_agent_calls: options.AgentCallBudget = None,
    keep_running: Annotated[
        bool, typer.Option("--keep-running", help="Leave the run going on when this command is left, as by Ctrl-C.")
    ] = False,
    with_trace: options.WithTrace = False,
    trace_api: options.TraceApi = DEFAULT_TRACE_API,
    trace_ui: options.TraceUi = "",
    timeout: options.Timeout = None,
    address: options.Address = DEFAULT_ADDRESS,
    token: options.Token = "",
) -> None:
    """Ask a question and show plan, steps, answer and cost."""
    options.one_form(as_json=as_json, events=events)
    traces_at = options.traces_at(trace_api, trace_ui, wanted=with_trace, as_json=as_json, events=events)
    if plan_only:
        if raw or events or keep_running or with_trace:
            raise typer.BadParameter(
                "--plan-only runs nothing, so --raw, --events, --keep-running and --trace say nothing"
            )
        plan(
            question,
            as_json=as_json,
            skill=skill,
            max_effect=max_effect,
            cache_mode=cache_mode,
            timeout=timeout,
            address=address,
            token=token,
        )
        return
    from agentmesh.cli import commands  # noqa: PLC0415

    code = commands.ask(
        options.Target(address, token),
        question,
        as_json=as_json,
        events=events,
        traces_at=traces_at,
        timeout_seconds=timeout,
        raw=raw,
        allowed_skills=tuple(skill or ()),
        max_effect=max_effect,
        cache_mode=commands.cache_mode(cache_mode),
        request_id=request_id,
        conversation_id=conversation,
        budget=commands.budget(budget_llm_calls, budget_tokens, budget_usd, budget_agent_calls),
        keep_running=keep_running,
    )
    raise typer.Exit(code)


def plan(
    question: options.Question,
    *,
    as_json: options.Json = False,
    skill: options.Skills = None,
    max_effect: options.MaxEffect = None,
    cache_mode: options.CacheMode = None,
    timeout: options.Timeout = None,
    address: options.Address = DEFAULT_ADDRESS,
    token: options.Token = "",
) -> None:
    """Show what would run for a question, and run nothing."""
    from agentmesh.cli import commands  # noqa: PLC0415

    code = commands.plan(
        options.Target(address, token),
        question,
        as_json=as_json,
        allowed_skills=tuple(skill or ()),
        max_effect=max_effect,
        cache_mode=commands.cache_mode(cache_mode),
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
    raw: options.Raw = False,
    as_json: options.Json = False,
    max_effect: options.MaxEffect = None,
    request_id: options.RequestId = "",
    conversation: options.Conversation = "",
    budget_llm_calls: options.LlmCallBudget = None,
    budget_tokens: options.TokenBudget = None,
    budget_usd: options.DollarBudget = None,
    budget_agent_calls: options.AgentCallBudget = None,
    with_trace: options.WithTrace = False,
    trace_api: options.TraceApi = DEFAULT_TRACE_API,
    trace_ui: options.TraceUi = "",
    timeout: options.Timeout = None,
    address: options.Address = DEFAULT_ADDRESS,
    token: options.Token = "",
) -> None:
    """Run a plan of your own: no routing, so no model decides."""
    traces_at = options.traces_at(trace_api, trace_ui, wanted=with_trace, as_json=as_json)
    from agentmesh.cli import commands  # noqa: PLC0415

    code = commands.run_plan(
        options.Target(address, token),
        plan_file,
        as_json=as_json,
        traces_at=traces_at,
        timeout_seconds=timeout,
        query=query,
        raw=raw or not query.strip(),
        max_effect=max_effect,
        request_id=request_id,
        conversation_id=conversation,
        budget=commands.budget(budget_llm_calls, budget_tokens, budget_usd, budget_agent_calls),
    )
    raise typer.Exit(code)


def trace(
    given: Annotated[str, typer.Argument(metavar="RUN_ID", help="Of the run, or of the trace itself: 32 hex digits.")],
    *,
    as_json: Annotated[
        bool, typer.Option("--json", help="Write the spans as one JSON document, for programs.")
    ] = False,
    trace_api: options.TraceApi = DEFAULT_TRACE_API,
    trace_ui: options.TraceUi = "",
    timeout: options.Timeout = None,
    address: options.Address = DEFAULT_ADDRESS,
    token: options.Token = "",
) -> None:
    """Draw the trace of a run: who was called when, for how long, and how it went."""
    from agentmesh.cli import trace_commands  # noqa: PLC0415

    trace_commands.trace(
        options.Target(address, token),
        options.TracesAt(trace_api, trace_ui),
        given,
        as_json=as_json,
        timeout_seconds=timeout,
    )
