"""Reads a file of agents' addresses: a list in YAML or JSON, or one a line in any other file."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import yaml

_MAX_BYTES: Final = 1024 * 1024
"""More is not a list of addresses but the wrong file."""
_YAML: Final = (".yaml", ".yml", ".json")


class AddressFileInvalid(ValueError):
    """The file cannot be read; the text says why."""


def read_addresses(path: Path) -> tuple[str, ...]:
    """Return the addresses in the order of the file, each once. In a text, what follows a `#` is a comment.

    Raises:
        AddressFileInvalid: It is missing, too large, or holds something else.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
        if len(content) > _MAX_BYTES:
            raise AddressFileInvalid(f"it has more than {_MAX_BYTES} bytes")
        text = content.decode()
        found = yaml.safe_load(text) if path.suffix in _YAML else _lines(text)
    except OSError as error:
        raise AddressFileInvalid(error.strerror or str(error)) from None
    except (UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise AddressFileInvalid(f"it does not parse: {str(error).partition(chr(10))[0]}") from None
    if not isinstance(found, list) or not all(isinstance(address, str) for address in found):
        raise AddressFileInvalid("it holds no list of addresses such as `host:50061`")
    return tuple(dict.fromkeys(address.strip() for address in found))


def _lines(text: str) -> list[str]:
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return [line for line in lines if line]
