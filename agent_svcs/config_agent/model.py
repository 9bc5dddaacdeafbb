"""What config_agent answers. Plans refer to these fields."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from pydantic import ConfigDict

_DOCUMENTED = ConfigDict(use_attribute_docstrings=True)
"""The texts under the fields become the descriptions in the output schema."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with a configuration."""

    __pydantic_config__: ClassVar[ConfigDict] = _DOCUMENTED

    path: str
    """Where, e.g. `server.port`; empty for the file as a whole."""
    message: str
    line: int | None
    """Line of the file, counted from 1, for what cannot be read; null for what the schema finds."""


@dataclass(frozen=True, slots=True)
class CheckedConfig:
    """The effective configuration of a component: its file and the defaults of the schema beside it."""

    __pydantic_config__: ClassVar[ConfigDict] = _DOCUMENTED

    component: str
    file: str
    """Source of the configuration, relative to the configuration directory."""
    format: Literal["yaml", "toml", "json"]
    sha256: str
    """Of the bytes of the file: equal hashes, equal configuration."""
    modified_at: str
    """ISO 8601, UTC."""
    size_bytes: int
    schema_file: str | None
    """The JSON Schema that it was checked against, if there is one beside it."""
    valid: bool
    """Whether there is no finding."""
    findings: list[Finding]
    """At most 100."""
    config: dict[str, Any]
    """The configuration, secrets masked as `***`; empty if the file cannot be read."""
    defaulted: list[str]
    """Paths that the file does not set and the schema's defaults fill."""
    masked: list[str]
    """Paths where a secret was masked."""


@dataclass(frozen=True, slots=True)
class Component:
    """A component that has a configuration."""

    component: str
    files: list[str]
    """One; more are a mistake that check_config refuses."""
    format: Literal["yaml", "toml", "json"]
    size_bytes: int
    modified_at: str
    has_schema: bool


@dataclass(frozen=True, slots=True)
class Components:
    """Every component that has a configuration, by name."""

    components: list[Component]
