"""Configuration of the orchestrator: read once, at the edge, into one frozen object; nothing else reads variables."""

from orchestrator_svc.config.reading import ConfigInvalid, LoadedConfig, Problem, read_config
from orchestrator_svc.config.settings import Config, ModelPrice
from orchestrator_svc.config.shown import Setting, Source, settings_of

__all__ = [
    "Config",
    "ConfigInvalid",
    "LoadedConfig",
    "ModelPrice",
    "Problem",
    "Setting",
    "Source",
    "read_config",
    "settings_of",
]
