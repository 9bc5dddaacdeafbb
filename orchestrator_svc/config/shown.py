"""The effective configuration as people may see it: every setting, its variable, where it comes from, no secret."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from pydantic import BaseModel, SecretStr

from orchestrator_svc.config.addresses import MASK, without_password
from orchestrator_svc.config.allowed import allowed
from orchestrator_svc.config.reading import FALLBACK_KEY, LoadedConfig
from orchestrator_svc.config.settings import Config, variable_of


class Source(StrEnum):
    """Where a value comes from."""

    DEFAULT = "default"
    ENVIRONMENT = "environment"
    FILE = "file"


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting."""

    variable: str
    value: str
    """As the variable would write it; secrets masked, empty where nothing is set."""
    source: Source
    origin: str
    """The variable or the path of the file; empty for a default."""
    description: str
    allowed: str


def settings_of(loaded: LoadedConfig) -> tuple[Setting, ...]:
    """Return every setting, in the order in which they are declared."""
    return tuple(_setting(name, loaded) for name in Config.model_fields)


def _setting(name: str, loaded: LoadedConfig) -> Setting:
    origin = loaded.sources.get(name, "")
    if not origin:
        source = Source.DEFAULT
    elif origin in (variable_of(name), FALLBACK_KEY):
        source = Source.ENVIRONMENT
    else:
        source = Source.FILE
    return Setting(
        variable=variable_of(name),
        value=_shown(getattr(loaded.config, name)),
        source=source,
        origin=origin,
        description=Config.model_fields[name].description or "",
        allowed=allowed(name),
    )


def _shown(value: object) -> str:
    match value:
        case None:
            return ""
        case SecretStr():
            return MASK
        case bool():
            return str(int(value))
        case float():
            return str(int(value)) if value.is_integer() else repr(value)
        case tuple():
            return ",".join(map(str, value))
        case Mapping():
            plain = {key: _plain(part) for key, part in value.items()}
            return json.dumps(plain, ensure_ascii=False) if plain else ""
        case _:
            return without_password(str(value))


def _plain(part: object) -> object:
    match part:
        case SecretStr():
            return MASK
        case BaseModel():
            return part.model_dump()
        case _:
            return part
