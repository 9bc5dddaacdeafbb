"""The settings themselves: names, defaults, what is allowed, one sentence each. Reading them is not done here.

The variable of a field is `AGENTMESH_` and its name in capitals; in a configuration file it has its name, and
`llm_models` may also be written as `models` in a section `llm`. The description of a field is what `agentmesh config`
prints.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Final, Literal
from urllib.parse import parse_qs, urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, model_validator

from orchestrator_svc.app.addresses import AllowedAddresses
from orchestrator_svc.config.addresses import (
    OFF,
    checked_http_listen,
    checked_listen_address,
    checked_origins,
    is_local,
    next_to,
)
from orchestrator_svc.config.caller_tokens import checked_tokens

_STRICT: Final = ConfigDict(
    frozen=True, extra="forbid", allow_inf_nan=False, str_strip_whitespace=True, hide_input_in_errors=True
)


class ModelPrice(BaseModel):
    """What a model costs, in US dollars a million tokens."""

    model_config = _STRICT

    input_per_million: float = Field(ge=0)
    output_per_million: float = Field(ge=0)


@dataclass(frozen=True, slots=True)
class Conflict:
    """Settings that are allowed each by itself and not together."""

    fields: tuple[str, ...]
    """The first is the one to change."""
    message: str


class ConflictsFound(ValueError):
    """Carries every conflict of a configuration through pydantic."""

    def __init__(self, conflicts: tuple[Conflict, ...]) -> None:
        super().__init__("; ".join(f"{c.fields[0]} {c.message}" for c in conflicts))
        self.conflicts = conflicts


def _names_in(value: object) -> object:
    """A list of names as a variable writes it: separated by commas."""
    if isinstance(value, str):
        return tuple(name for name in (part.strip() for part in value.split(",")) if name)
    return value


def _json_in(value: object) -> object:
    """An object as a variable writes it: JSON. What it raises (json.JSONDecodeError) is a ValueError."""
    return json.loads(value) if isinstance(value, str) else value


def _off_of_yaml(value: object) -> object:
    """YAML reads `off` as false."""
    return OFF if value is False else value


def _lower(value: object) -> object:
    return value.strip().lower() if isinstance(value, str) else value


def _no_boolean(value: object) -> object:
    """YAML reads `yes` as true, and true would pass as the number 1."""
    if isinstance(value, bool):
        raise ValueError("a boolean is no number")  # noqa: TRY004 - pydantic reports a ValueError
    return value


def _http_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("no http:// or https:// URL")
    return value


def _store_url(value: str) -> str:
    parts = urlsplit(value)
    where = {"redis": parts.hostname, "rediss": parts.hostname, "unix": parts.path}.get(parts.scheme)
    if not where or "password" in parse_qs(parts.query):  # a password is masked where it belongs, before the host
        raise ValueError("no redis://, rediss:// or unix:// URL")
    return value


def _address_rules(value: tuple[str, ...]) -> tuple[str, ...]:
    AllowedAddresses.of(value)
    return value


def _frozen(value: dict[str, ModelPrice]) -> Mapping[str, ModelPrice]:
    return MappingProxyType(value)


Seconds = Annotated[float, BeforeValidator(_no_boolean)]
Count = Annotated[int, BeforeValidator(_no_boolean)]
Share = Annotated[float, BeforeValidator(_no_boolean)]
Url = Annotated[str, AfterValidator(_http_url), Field(json_schema_extra={"allowed": "an http:// or https:// URL"})]
StoreUrl = Annotated[
    str,
    AfterValidator(_store_url),
    Field(json_schema_extra={"allowed": "a redis://, rediss:// or unix:// URL, a password before the host"}),
]
Name = Annotated[str, Field(min_length=1, max_length=256)]


class Config(BaseModel):
    """Everything that can be set about the orchestrator. Times are in seconds, sizes in bytes."""

    model_config = _STRICT

    listen: Annotated[
        str,
        AfterValidator(checked_listen_address),
        Field(json_schema_extra={"allowed": "host:port, [ipv6]:port or unix:/path; port 0 lets the system choose"}),
    ] = Field(default="127.0.0.1:50051", description="Where the orchestrator serves gRPC.")
    allow_plaintext: bool = Field(
        default=False,
        description="Allow an address that other machines reach, without TLS: everybody there can read and call.",
    )
    http_listen: Annotated[
        Annotated[
            str,
            AfterValidator(checked_http_listen),
            Field(
                json_schema_extra={
                    "allowed": "host:port, [ipv6]:port, unix:/path, or off; unset: the port after that of listen"
                }
            ),
        ]
        | None,
        BeforeValidator(_off_of_yaml),
    ] = Field(default=None, description="Where the same rpcs are served over HTTP, as JSON, to curl and browsers.")
    http_allowed_origins: Annotated[tuple[Name, ...], BeforeValidator(_names_in), AfterValidator(checked_origins)] = (
        Field(
            default=(),
            max_length=100,
            description="Web pages that may call over HTTP; others are refused, as is every page by default.",
            json_schema_extra={"allowed": "origins such as https://console.example, separated by commas; * for all"},
        )
    )
    caller_tokens: Annotated[
        Mapping[str, SecretStr],
        BeforeValidator(_json_in),
        AfterValidator(checked_tokens),
        Field(
            json_schema_extra={
                "allowed": 'JSON such as {"billing": "<token>"}: names like those of agents, each with a token of its '
                "own of 16 to 1024 printable characters"
            }
        ),
    ] = Field(
        default_factory=lambda: MappingProxyType({}),
        description="Bearer token by caller: each sees only its own runs; without a token a caller is `anonymous`.",
    )
    registry_url: StoreUrl | None = Field(
        default=None,
        description="Redis or Valkey that keeps who is in the mesh, for several orchestrators; unset: this process.",
    )
    allowed_addresses: Annotated[
        tuple[Name, ...],
        BeforeValidator(_names_in),
        AfterValidator(_address_rules),
        Field(json_schema_extra={"allowed": "CIDRs, names, suffixes such as .svc.cluster.local, and unix:"}),
    ] = Field(default=(), description="Addresses of agents that may be called; empty: all.")
    agents_file: Annotated[str, Field(min_length=1, max_length=4096)] | None = Field(
        default=None,
        description="File with addresses of agents that need not register: a list in YAML or JSON, or one a line.",
    )
    log_level: Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(_lower)] = Field(
        default="info", description="Least severity that is logged."
    )
    capture_content: bool = Field(
        default=False,
        description="Put what is asked, answered and sent into traces and logs; for places where nobody's data passes.",
    )

    max_ask_seconds: Seconds = Field(
        default=60,
        gt=0,
        le=3600,
        description="Time for a question whose caller sets no deadline, and the most that any gets.",
    )
    skill_timeout_seconds: Seconds = Field(
        default=20, gt=0, le=3600, description="Time for one attempt at a skill whose card names none."
    )
    drain_seconds: Seconds = Field(
        default=30,
        ge=0,
        le=3600,
        description="Time that runs in flight get to end after SIGTERM, before they are cancelled.",
    )
    max_steps: Count = Field(default=32, ge=1, le=1000, description="Most steps of a plan.")
    max_fan_out: Count = Field(
        default=64, ge=1, le=1000, description="Most items of a for_each step; a longer list fails."
    )
    max_concurrent_calls: Count = Field(
        default=32, ge=1, le=1000, description="Most agent calls in flight for one run."
    )
    runs_kept: Count = Field(
        default=1000, ge=1, le=100_000, description="Most recent runs that GetRun remembers, in memory."
    )
    replay_seconds: Seconds = Field(
        default=86_400,
        gt=0,
        le=604_800,
        description="Time for which the same request_id gets the same answer, as long as the run is remembered.",
    )
    catalog_grace_seconds: Seconds = Field(
        default=60,
        ge=0,
        le=3600,
        description="Time for which a skill is still planned with after its last endpoint has left.",
    )
    stream_stall_seconds: Seconds = Field(
        default=10, gt=0, le=600, description="Time after which a stream is ended whose reader takes nothing."
    )

    max_concurrent_asks: Count = Field(
        default=100, ge=1, le=100_000, description="Most questions and plans that are worked on at the same time."
    )
    admission_wait_seconds: Seconds = Field(
        default=0.5, ge=0, le=60, description="Time that one more may wait for its turn, before it is refused."
    )

    max_attempts: Count = Field(
        default=3, ge=1, le=10, description="Most attempts at one agent call whose failure may pass."
    )
    retry_backoff_seconds: Seconds = Field(
        default=0.1, gt=0, le=60, description="Pause before the second attempt; doubles with every further one."
    )
    retry_max_backoff_seconds: Seconds = Field(default=2, gt=0, le=60, description="Longest of these pauses.")
    retry_share: Share = Field(
        default=0.2,
        ge=0,
        le=1,
        description="Retries allowed for each first attempt at an agent, so that an outage is not multiplied.",
    )
    retry_burst: Count = Field(
        default=10, ge=0, le=10_000, description="Retries that an agent may get beyond that share, once."
    )

    budget_llm_calls: Annotated[Annotated[int, Field(ge=0, le=2)] | None, BeforeValidator(_no_boolean)] = Field(
        default=None, description="Most completions of one run, whatever its request allows."
    )
    budget_tokens: Annotated[Annotated[int, Field(ge=0, le=1_000_000_000)] | None, BeforeValidator(_no_boolean)] = (
        Field(default=None, description="Most prompt and completion tokens of one run, whatever its request allows.")
    )
    budget_cost_usd: Annotated[Annotated[float, Field(gt=0, le=1_000_000)] | None, BeforeValidator(_no_boolean)] = (
        Field(
            default=None,
            description="Most US dollars of one run, whatever its request allows; needs the prices of all models.",
        )
    )
    budget_agent_calls: Annotated[Annotated[int, Field(ge=0, le=1_000_000)] | None, BeforeValidator(_no_boolean)] = (
        Field(default=None, description="Most agent calls of one run, whatever its request allows.")
    )

    plan_cache_seconds: Seconds = Field(
        default=3600, ge=0, le=604_800, description="Time for which the plan of a question is used again; 0: never."
    )
    plan_cache_bytes: Count = Field(
        default=16_777_216,
        ge=0,
        le=1_073_741_824,
        description="Most that kept plans take, as JSON; at the registry URL, all together.",
    )
    route_share: Share = Field(
        default=0.4, gt=0, lt=1, description="Part of the time of a question that routing may use."
    )
    synthesis_reserve_seconds: Seconds = Field(
        default=8, ge=0, le=600, description="Time kept back for writing the answer, unless the share below is less."
    )
    synthesis_reserve_share: Share = Field(
        default=0.3,
        ge=0,
        lt=1,
        description="Part of what is left after routing that is kept back for writing the answer.",
    )
    router_max_tools: Count = Field(
        default=20, ge=1, le=127, description="Most skills shown to the model; with more, a shortlist is made first."
    )

    llm_base_url: Url | None = Field(
        default=None,
        description="Chat Completions server (OpenAI, vLLM, Ollama, llama.cpp ...), usually ending in /v1.",
    )
    llm_api_key: SecretStr | None = Field(
        default=None, max_length=4096, description="Its key; OPENAI_API_KEY is used where this is unset."
    )
    llm_models: Annotated[tuple[Name, ...], BeforeValidator(_names_in)] = Field(
        default=("gpt-4.1-mini",),
        min_length=1,
        max_length=10,
        description="Models in the order in which they are tried.",
        json_schema_extra={"allowed": "1 to 10 names, separated by commas"},
    )
    llm_max_attempts: Count = Field(default=3, ge=1, le=10, description="Most HTTP requests for one completion.")
    llm_azure_endpoint: Url | None = Field(default=None, description="Azure OpenAI resource; replaces the base URL.")
    llm_azure_deployment: Name | None = Field(
        default=None,
        description="The one Azure OpenAI deployment; without it the models are the deployments, in order.",
    )
    llm_azure_api_version: Name | None = Field(default=None, description="Azure OpenAI version, e.g. 2024-10-21.")
    llm_prices: Annotated[
        Mapping[str, ModelPrice],
        BeforeValidator(_json_in),
        AfterValidator(_frozen),
        Field(
            json_schema_extra={
                "allowed": 'JSON such as {"some-model": {"input_per_million": 0.4, "output_per_million": 1.6}}'
            }
        ),
    ] = Field(
        default_factory=lambda: MappingProxyType({}),
        description="US dollars a million tokens, by model; without one a cost is not given.",
    )
    llm_result_cap_bytes: Count = Field(
        default=16_384,
        ge=256,
        le=1_048_576,
        description="Most of one result that the model gets for writing the answer.",
    )
    llm_trace_context: bool = Field(
        default=False, description="Tell the model's provider the trace context and the baggage of each request."
    )

    @property
    def http_address(self) -> str | None:
        """Where HTTP is served; None for nowhere."""
        if self.http_listen is None:
            return next_to(self.listen)
        return None if self.http_listen == OFF else self.http_listen

    @property
    def llm_configured(self) -> bool:
        """Whether a language model is used; otherwise the mesh works offline."""
        return any((self.llm_api_key, self.llm_base_url, self.llm_azure_endpoint))

    @model_validator(mode="after")
    def _refuse_conflicts(self) -> Config:
        found = tuple(conflict for check in _CHECKS if (conflict := check(self)))
        if found:
            raise ConflictsFound(found)
        return self


def _open_without_consent(config: Config) -> Conflict | None:
    if config.allow_plaintext or is_local(config.listen):
        return None
    return Conflict(
        ("listen", "allow_plaintext"),
        "is reached by other machines, in plain text; set AGENTMESH_ALLOW_PLAINTEXT=1 to want that",
    )


def _http_open_without_consent(config: Config) -> Conflict | None:
    if config.allow_plaintext or config.http_listen in (None, OFF) or is_local(str(config.http_listen)):
        return None
    return Conflict(
        ("http_listen", "allow_plaintext"),
        "is reached by other machines, in plain text; set AGENTMESH_ALLOW_PLAINTEXT=1 to want that",
    )


def _same_address_twice(config: Config) -> Conflict | None:
    address = config.http_address
    if address != config.listen or address.endswith(":0"):
        return None
    return Conflict(("http_listen", "listen"), "is where gRPC is served; choose another port")


def _incomplete_azure(config: Config) -> Conflict | None:
    parts = ("llm_azure_api_version", "llm_api_key")
    missing = tuple(part for part in parts if getattr(config, part) is None)
    if config.llm_azure_endpoint is None or not missing:
        return None
    needed = " and ".join(variable_of(part) for part in missing)
    return Conflict(("llm_azure_endpoint", *missing), f"also needs {needed}")


def _azure_without_endpoint(config: Config) -> Conflict | None:
    if config.llm_azure_endpoint or not (config.llm_azure_deployment or config.llm_azure_api_version):
        return None
    parts = ("llm_azure_deployment", "llm_azure_api_version")
    first = next(part for part in parts if getattr(config, part))
    return Conflict((first, "llm_azure_endpoint"), "is set without AGENTMESH_LLM_AZURE_ENDPOINT")


def _one_deployment_for_many_models(config: Config) -> Conflict | None:
    if config.llm_azure_deployment is None or len(config.llm_models) == 1:
        return None
    return Conflict(
        ("llm_azure_deployment", "llm_models"),
        "names one deployment for several models; leave it out, and name the deployments in AGENTMESH_LLM_MODELS",
    )


def _two_providers(config: Config) -> Conflict | None:
    if config.llm_azure_endpoint is None or config.llm_base_url is None:
        return None
    return Conflict(
        ("llm_base_url", "llm_azure_endpoint"), "and AGENTMESH_LLM_AZURE_ENDPOINT exclude each other; unset one"
    )


_CHECKS: Final[tuple[Callable[[Config], Conflict | None], ...]] = (
    _open_without_consent,
    _http_open_without_consent,
    _same_address_twice,
    _incomplete_azure,
    _azure_without_endpoint,
    _one_deployment_for_many_models,
    _two_providers,
)


def variable_of(field: str) -> str:
    """The variable that sets a field."""
    return f"AGENTMESH_{field.upper()}"
