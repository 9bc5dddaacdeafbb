"""Which language model is asked, and how hard it is tried. Plain values; importing this imports no client."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from orchestrator_svc.adapters.pricing import Price

_KEY: Final = re.compile(r"[!-~]+")
_OPENAI: Final = "https://api.openai.com/v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class LlmSettings:
    """One provider: OpenAI, Azure OpenAI, or any server with Chat Completions.

    Raises:
        ValueError: Without a model or an attempt, or with a combination that no provider serves.
    """

    models: tuple[str, ...]
    """In the order in which they are tried. On Azure OpenAI without `azure_deployment`: the names of deployments."""
    base_url: str | None = None
    """Of a compatible server, up to and with `/v1`; None: OpenAI."""
    api_key: str | None = field(default=None, repr=False)
    """None for servers that want none."""
    azure_endpoint: str | None = None
    """Of the Azure OpenAI resource, such as `https://name.openai.azure.com`; excludes `base_url`."""
    azure_deployment: str | None = None
    """The one deployment to use; `models` then only names its model."""
    azure_api_version: str | None = None
    max_attempts: int = 3
    """HTTP requests for one completion, over all models; a request repeated without a refused parameter counts."""
    silence_seconds: float | None = None
    """A provider that sends nothing for so long, before or within its reply, is given up and asked again. None: half of
    the time that is left and 15 s at least, so that a retry has time; the last request gets all of it."""
    prices: Mapping[str, Price] = field(default_factory=lambda: MappingProxyType({}))
    """By model; dated versions of a model need no entry of their own."""
    reply_cap_tokens: int = 8192
    """Most tokens of one reply where a budget limits tokens or cost; without such a budget no limit is sent. Providers
    refuse a limit above what the model can give."""
    result_cap_bytes: int = 16_384
    """Most of one step's result that is sent for writing the answer, as JSON."""
    results_cap_bytes: int = 131_072
    """Most of all results together; many large ones get an equal share each."""
    trace_context: bool = False
    """Whether the provider is told which trace a request belongs to, and the baggage of the trace."""

    def __post_init__(self) -> None:
        if not self.models or self.max_attempts < 1:
            raise ValueError("at least one model and one attempt are needed")
        if self.api_key is not None and not _KEY.fullmatch(self.api_key):
            raise ValueError("api_key holds a character that no header can carry, or a space, or nothing")
        if self.azure_endpoint is None:
            return
        if self.base_url is not None:
            raise ValueError("azure_endpoint and base_url exclude each other")
        if not self.azure_api_version or not self.api_key:
            raise ValueError("azure_endpoint also needs azure_api_version and api_key")
        if self.azure_deployment is not None and len(self.models) > 1:
            raise ValueError(
                "with azure_deployment there is one model; to fall back from one deployment to another, leave it out "
                "and list the deployments as models"
            )

    @property
    def url(self) -> str:
        """Where the provider is."""
        return self.azure_endpoint or self.base_url or _OPENAI

    @property
    def limit_parameters(self) -> tuple[str, ...]:
        """The names of the limit on a reply, the first to be tried first.

        OpenAI calls it `max_completion_tokens`, and its newer models refuse `max_tokens`; of the compatible servers all
        know `max_tokens`, and some ignore the newer name without a word.
        """
        if self.base_url is not None:
            return ("max_tokens", "max_completion_tokens")
        return ("max_completion_tokens", "max_tokens")
