"""Options that several commands have. Importing this imports no gRPC: `--help` must not wait for it."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Final
from urllib.parse import urlsplit

import typer

from agentmesh.addresses import read_target
from agentmesh.cards import Effect

DEFAULT_ADDRESS: Final = "127.0.0.1:50051"
DEFAULT_TRACE_API: Final = "http://127.0.0.1:50054"
"""Of `agentmesh up`."""
_HIGHEST_PORT: Final = 65_535
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


class Cache(StrEnum):
    """As `agentmesh.client.CacheMode`, which would import gRPC."""

    USE = "USE"
    BYPASS = "BYPASS"
    REFRESH = "REFRESH"


@dataclass(frozen=True, slots=True)
class Target:
    """Which mesh is asked, and who asks."""

    address: str
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class TracesAt:
    """Where traces are."""

    api: str
    """Where they are read."""
    ui: str
    """Base of the pages of a Jaeger; empty without one."""


def positive(value: float | None) -> float | None:
    if value is not None and not (math.isfinite(value) and value > 0):
        raise typer.BadParameter("must be more than 0")
    return value


def _address(value: str) -> str:
    if not value.strip() or any(character.isspace() for character in value):
        raise typer.BadParameter("must be host:port, unix:/path or another gRPC target")
    if value.startswith(("http:", "https:")):
        raise typer.BadParameter("must be host:port without a scheme: this is gRPC, no web page")
    try:
        read_target(value)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    port = value.rpartition(":")[2]
    if port.isdecimal() and int(port) > _HIGHEST_PORT:  # gRPC would take the remainder of 65536
        raise typer.BadParameter(f"has port {port}, and {_HIGHEST_PORT} is the highest")
    return value


def _url(value: str) -> str:
    if value and not _is_url(value):
        raise typer.BadParameter("must be a URL, as http://127.0.0.1:50054")
    return value


def _is_url(value: str) -> bool:
    try:
        return re.match(r"https?://[^/\s]+", value) is not None and urlsplit(value).port != 0
    except ValueError:  # a port out of range, half an IPv6 address
        return False


def moment_since(value: str) -> datetime:
    """Return the moment that `15m`, `2h`, `1d` ago was, or that ISO 8601 names; without a zone in that of this machine.

    Raises:
        typer.BadParameter: It is neither.
    """
    ago = re.fullmatch(r"(\d{1,6})([smhd])", value)
    try:
        if ago is not None:
            return datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        return datetime.fromisoformat(value).astimezone(UTC)
    except (ValueError, OverflowError):
        raise typer.BadParameter("must be as 15m, 2h or 1d, or a time as 2026-01-31T12:00:00Z") from None


def refuse_options_before(context: typer.Context, command: str) -> None:
    """Raise typer.BadParameter for `runs --json show ID`, which must not leave out the --json without a word."""
    for name in context.params:
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            option = "--json" if name == "as_json" else f"--{name}"
            raise typer.BadParameter(f"{option} belongs behind `{command}`, if that has it; here it is for the list")


def one_form(*, as_json: bool, events: bool) -> None:
    """Raise typer.BadParameter where both are asked for."""
    if as_json and events:
        raise typer.BadParameter("--json writes one document and --events a line for each event: choose one")


def traces_at(api: str, ui: str, *, wanted: bool, as_json: bool, events: bool = False) -> TracesAt | None:
    """Return where the trace is that is to be drawn as well; None if none is.

    Raises:
        typer.BadParameter: The output is for a program.
    """
    if wanted and (as_json or events):
        raise typer.BadParameter("--trace is drawn for people; for programs: agentmesh trace RUN_ID --json")
    return TracesAt(api, ui) if wanted else None


Address = Annotated[
    str,
    typer.Option(
        envvar="AGENTMESH_ORCHESTRATOR_ADDRESS",
        show_envvar=True,
        show_default=True,
        metavar="HOST:PORT",
        callback=_address,
        help="Where the orchestrator serves; several with commas between them.",
    ),
]
Orchestrator = Annotated[
    str,
    typer.Option(
        "--orchestrator",
        envvar="AGENTMESH_ORCHESTRATOR_ADDRESS",
        show_envvar=True,
        show_default=True,
        metavar="HOST:PORT",
        callback=_address,
        help="Where the orchestrator serves; several with commas between them.",
    ),
]
"""As Address, for a command whose --address is another."""
Token = Annotated[
    str,
    typer.Option(
        envvar="AGENTMESH_TOKEN",
        show_envvar=True,
        metavar="TOKEN",
        help="Bearer token that names you: runs are their caller's. Better as the variable, which others do not see.",
    ),
]
WithTrace = Annotated[
    bool, typer.Option("--trace", help="Draw the trace as well: who was called when, for how long, how it went.")
]
TraceApi = Annotated[
    str,
    typer.Option(
        "--trace-api",
        envvar="AGENTMESH_TRACE_API_URL",
        show_envvar=True,
        show_default=True,
        metavar="URL",
        callback=_url,
        help="Where traces are read: the HTTP API of `agentmesh up`, or of a Jaeger.",
    ),
]
TraceUi = Annotated[
    str,
    typer.Option(
        "--trace-ui",
        envvar="AGENTMESH_TRACE_UI_URL",
        show_envvar=True,
        metavar="URL",
        callback=_url,
        help="Base of the pages of a Jaeger: the trace is linked there.",
    ),
]
Timeout = Annotated[
    float | None,
    typer.Option(metavar="SECONDS", callback=positive, help="Give up after so long; by default the server decides."),
]
Json = Annotated[bool, typer.Option("--json", help="Write one JSON document, for programs.")]
Events = Annotated[bool, typer.Option("--events", help="Write each event as one line of JSON, for programs.")]
MaxEffect = Annotated[
    Effect | None,
    typer.Option(
        case_sensitive=False, help="Use no skill that may change more than this. By default that is IDEMPOTENT."
    ),
]
CacheMode = Annotated[
    Cache | None,
    typer.Option(case_sensitive=False, help="REFRESH: plan anew and keep that plan. BYPASS: neither use nor keep one."),
]
Skills = Annotated[
    list[str] | None, typer.Option("--skill", metavar="AGENT__SKILL", help="Use only this skill; may be repeated.")
]
Question = Annotated[str, typer.Argument(metavar="QUESTION", help="The question, in quotes; - reads standard input.")]
Raw = Annotated[bool, typer.Option("--raw", help="Give the results of the agents, and no text about them.")]
RequestId = Annotated[
    str,
    typer.Option(metavar="ID", help="Repeating a request with the same ID is safe: it gives the same answer."),
]
Conversation = Annotated[str, typer.Option(metavar="ID", help="The conversation that this belongs to.")]
LlmCallBudget = Annotated[
    int | None,
    typer.Option("--budget-llm-calls", min=0, metavar="N", help="Make at most so many calls of language models."),
]
TokenBudget = Annotated[
    int | None,
    typer.Option("--budget-tokens", min=0, metavar="N", help="Use at most so many tokens of language models."),
]
DollarBudget = Annotated[
    float | None,
    typer.Option("--budget-usd", metavar="USD", callback=positive, help="Spend at most so much on language models."),
]
AgentCallBudget = Annotated[
    int | None,
    typer.Option("--budget-agent-calls", min=0, metavar="N", help="Make at most so many calls of agents."),
]
RunId = Annotated[str, typer.Argument(metavar="RUN_ID", help="32 hex digits, as an answer shows them.")]
