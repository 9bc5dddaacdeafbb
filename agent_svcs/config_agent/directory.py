"""Finds and reads the configuration files of one directory, and nothing outside it.

A component's name is never made into a path: it is looked up among the names of the files that are there. Links are
followed only as far as they stay inside the directory (that is how Kubernetes mounts a ConfigMap).
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from agent_svcs.unknown import unknown
from agentmesh import errors

MAX_FILE_BYTES: Final = 128 * 1024
SCHEMA_SUFFIX: Final = ".schema.json"

Format = Literal["yaml", "toml", "json"]
_FORMATS: Final[dict[str, Format]] = {".yaml": "yaml", ".yml": "yaml", ".toml": "toml", ".json": "json"}
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", re.ASCII)


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """A configuration file that was found."""

    component: str
    name: str
    """Relative to the directory."""
    format: Format
    size_bytes: int
    modified: float
    """Seconds since 1970."""


@dataclass(frozen=True, slots=True)
class Content:
    """What a file held at one moment."""

    data: bytes
    sha256: str
    modified: float
    """Seconds since 1970."""


class ConfigDirectory:
    """One directory of configuration files, `<component>.yaml`, `.yml`, `.toml` or `.json`, without subdirectories."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def files(self) -> dict[str, list[ConfigFile]]:
        """The files by component, in the order of their names; more than one of a component is a mistake of theirs.

        Raises errors.SkillFailed if the directory cannot be read.
        """
        try:
            names = sorted(path.name for path in self._root.iterdir())
        except OSError as error:
            raise errors.SkillFailed(f"the configuration directory cannot be read: {error.strerror}") from error
        found: dict[str, list[ConfigFile]] = {}
        for name in names:
            one = self._file(name)
            if one is not None:
                found.setdefault(one.component, []).append(one)
        return found

    def find(self, component: str) -> ConfigFile:
        """The file of a component.

        Raises errors.ArgumentsInvalid for what cannot be a name, errors.NotFound naming the nearest, and
        errors.SkillFailed where two files claim the name.
        """
        if not _NAME.fullmatch(component):
            problem = "is no component name: at most 64 ASCII letters, digits, `_`, `-`, `.`, a letter or digit first"
            violation = errors.Violation("arguments.component", errors.ViolationReason.ARGUMENT_INVALID, problem)
            raise errors.ArgumentsInvalid(f"component {problem}", violations=[violation])
        files = self.files()
        if component not in files:
            raise unknown("component", component, files)
        if len(files[component]) > 1:
            names = ", ".join(one.name for one in files[component])
            raise errors.SkillFailed(f"{component} has several files: {names}; keep one")
        return files[component][0]

    def has_schema(self, component: str) -> bool:
        """Whether `<component>.schema.json` is there."""
        return self._inside(f"{component}{SCHEMA_SUFFIX}") is not None

    def read(self, name: str) -> Content:
        """A file of the directory, by its name as `files` or `SCHEMA_SUFFIX` give it.

        Raises errors.SkillFailed if it cannot be read or has more than `MAX_FILE_BYTES`.
        """
        try:
            data, status = _read_regular(self._inside(name))
        except OSError as error:
            raise errors.SkillFailed(f"{name} cannot be read: {error.strerror}") from error
        if len(data) > MAX_FILE_BYTES:
            raise errors.SkillFailed(f"{name} has {status.st_size} bytes, at most {MAX_FILE_BYTES} are read")
        return Content(data, hashlib.sha256(data).hexdigest(), status.st_mtime)

    def _file(self, name: str) -> ConfigFile | None:
        stem, suffix = Path(name).stem, Path(name).suffix
        known = suffix in _FORMATS and not name.endswith(SCHEMA_SUFFIX) and _NAME.fullmatch(stem)
        path = self._inside(name) if known else None
        if path is None:
            return None
        try:
            status = path.stat()
        except OSError:  # gone meanwhile
            return None
        return ConfigFile(stem, name, _FORMATS[suffix], status.st_size, status.st_mtime)

    def _inside(self, name: str) -> Path | None:
        """The regular file that `name` is or links to, if it lies in the directory."""
        try:
            root = self._root.resolve(strict=True)
            path = (root / name).resolve(strict=True)
            return path if path.is_relative_to(root) and path.is_file() else None
        except (OSError, RuntimeError):  # gone meanwhile; RuntimeError: links in a circle, before Python 3.13
            return None


def _read_regular(path: Path | None) -> tuple[bytes, os.stat_result]:
    """Up to one byte more than is allowed, and the status of what was read. Raises OSError."""
    if path is None:
        raise FileNotFoundError(errno.ENOENT, "no such regular file in the directory")
    # There is no link in the last place any more; NONBLOCK because what was a file may be a pipe by now.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        return file.read(MAX_FILE_BYTES + 1), status
