"""deploy/compose.yaml as values: its services, what each is told, where each listens."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, field_validator

from agentmesh.jsonvalues import JsonObject

ROOT: Final = Path(__file__).parents[2]
COMPOSE: Final = ROOT / "deploy/compose.yaml"
_FROM_THE_SHELL: Final = re.compile(r"\$\{\w+(?::-(?P<default>[^}]*))?\}")


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class Dependency(_Part):
    """Who is waited for, and for what."""

    condition: str = "service_started"


class HealthCheck(_Part):
    """How a container is asked how it is."""

    test: tuple[str, ...] = ()
    disable: bool = False


class Membership(_Part):
    """In a network."""

    aliases: tuple[str, ...] = ()


class Limits(_Part):
    """Of resources."""

    cpus: str | None = None
    memory: str | None = None
    pids: int | None = None


class Resources(_Part):
    """As `deploy` has them."""

    limits: Limits = Limits()


class Deployment(_Part):
    """The part `deploy`."""

    resources: Resources = Resources()


class Service(_Part):
    """One service. What compose takes from the shell has its default here; without one it is None."""

    image: str
    build: Mapping[str, str] | None = None
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    environment: Mapping[str, str | None] = Field(default_factory=dict)
    networks: Mapping[str, Membership] = Field(default_factory=dict)
    ports: tuple[str, ...] = ()
    depends_on: Mapping[str, Dependency] = Field(default_factory=dict)
    healthcheck: HealthCheck | None = None
    volumes: tuple[str, ...] = ()
    read_only: bool = False
    cap_drop: tuple[str, ...] = ()
    security_opt: tuple[str, ...] = ()
    restart: Literal["no", "always", "on-failure", "unless-stopped"] | None = None
    stop_grace_period: str = "10s"
    profiles: tuple[str, ...] = ()
    deploy: Deployment = Deployment()

    @field_validator("image", mode="before")
    @classmethod
    def _tag_without_shell(cls, value: str) -> str:
        return _resolved(value)

    @field_validator("environment", mode="before")
    @classmethod
    def _values_without_shell(cls, value: Mapping[str, str | None]) -> dict[str, str | None]:
        return {name: None if text is None else _resolved(str(text)) for name, text in value.items()}

    @field_validator("networks", mode="before")
    @classmethod
    def _named_networks(cls, value: list[str] | Mapping[str, JsonObject | None]) -> dict[str, JsonObject]:
        return {name: {} for name in value} if isinstance(value, list) else {n: m or {} for n, m in value.items()}

    @property
    def module(self) -> str | None:
        """The module of ours that it runs."""
        words = (*self.entrypoint, *self.command)
        return words[2] if words[:2] == ("python", "-m") else None

    @property
    def is_ours(self) -> bool:
        return self.build is not None

    @property
    def set_environment(self) -> dict[str, str]:
        """What the file itself sets."""
        return {name: value for name, value in self.environment.items() if value is not None}

    @property
    def has_health(self) -> bool:
        """Ours have that of the image."""
        if self.healthcheck is None:
            return self.is_ours
        return not self.healthcheck.disable and bool(self.healthcheck.test)


class Network(_Part):
    """A network of the file."""

    internal: bool = False


class Compose(_Part):
    """The whole file."""

    services: Mapping[str, Service]
    networks: Mapping[str, Network]

    @field_validator("networks", mode="before")
    @classmethod
    def _networks_with_defaults(cls, value: Mapping[str, JsonObject | None]) -> dict[str, JsonObject]:
        return {name: network or {} for name, network in value.items()}


def written() -> JsonObject:
    """The file with its anchors merged, for tests that change it."""
    document: JsonObject = yaml.safe_load(COMPOSE.read_text())
    return document


def read_compose(document: JsonObject) -> Compose:
    return Compose.model_validate(document)


def _resolved(text: str) -> str:
    return _FROM_THE_SHELL.sub(lambda found: found["default"] or "", text)
