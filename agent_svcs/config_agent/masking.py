"""Takes secrets out of a configuration, by the names of keys and by what values look like.

When in doubt it masks: a setting shown as `***` costs a look into the file, a leaked password costs more. Null, true,
false and empty text stay visible even under a secret's name: they say whether something is set, not what.
The patterns take linear time, whatever the text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from agent_svcs.config_agent.secret_names import is_measure, is_secret_name, is_secret_section
from agentmesh.jsonvalues import Json, JsonObject

MASK: Final = "***"

_LOOKS_SECRET: Final = re.compile(
    r"""
      -----BEGIN[ ][A-Z0-9 ]*PRIVATE[ ]KEY(?:[ ]BLOCK)?-----.*?(?:-----END[ ][A-Z0-9 ]*-----|\Z)
    | (?<=://)[^\s/@:]{0,256}:[^\s"'<>]{0,1024}(?=@)            # user and password of a URL
    | (?<=://)[^\s/@:]{16,1024}(?=@)                            # a token in the place of the user
    | \b(?:Bearer|Basic|Digest|Negotiate)[ ]+[\w.~+/=-]{6,}+
    | (?<![\w-])(?:
          eyJ[\w-]{8,}+\.[\w-]{8,}+(?:\.[\w-]*+)?               # JSON Web Token
        | (?:sk|pk|rk)[-_][\w-]{16,}+
        | gh[pousr]_\w{20,}+ | github_pat_\w{20,}+ | glpat-[\w-]{16,}+
        | xox[abeoprs]-[\w-]{10,}+ | (?:AKIA|ASIA)[A-Z0-9]{16}(?![\w-]) | AIza[\w-]{30,}+ | hvs\.[\w-]{20,}+
      )
    | \$(?:2[aby]|5|6|argon2id?|y)\$\S{20,}+                    # password hashes
    """,
    re.VERBOSE | re.DOTALL,
)
_ASSIGNED: Final = re.compile(r"""(?P<name>(?<![\w.-])[\w.-]++)["']?+\s*+[=:]\s*+""")
_OPTION: Final = re.compile(r"""(?P<name>(?<!\S)--?\w[\w.-]*+)\s++(?!-)""")
_VALUE: Final = re.compile(
    r""" "[^"]*+"?+ | '[^']*+'?+
    | [^\s"',;&]++(?:[,;&](?!\s*+[\w.-]++\s*+[=:])[^\s"',;&]*+)*+   # a separator before another name ends the value
    """,
    re.VERBOSE,
)


def mask_text(text: str) -> str:
    """The text without what looks like a secret: key material, tokens, credentials in URLs, `password=...`."""
    text = _LOOKS_SECRET.sub(MASK, text)
    return _mask_values_of(_OPTION, _mask_values_of(_ASSIGNED, text))


def _mask_values_of(names: re.Pattern[str], text: str) -> str:
    """Masks what follows each match of `names` that is a secret's name."""
    parts: list[str] = []
    done = at = 0
    while match := names.search(text, at):
        at = match.end()
        value = _VALUE.match(text, at) if is_secret_name(match["name"]) else None
        if value is not None:
            parts += [text[done:at], MASK]
            done = at = value.end()
    return "".join([*parts, text[done:]])


@dataclass(slots=True)
class Masked:
    """A configuration without its secrets."""

    config: JsonObject
    paths: list[str] = field(default_factory=list)
    """Where something was masked, e.g. `database.url`, `users[0].password`; in order."""


def mask_config(config: JsonObject) -> Masked:
    """A copy with `MASK` in the place of every secret."""
    masked = Masked({})
    masked.config = _object(config, (), masked, secret=False)
    return masked


def path_text(path: Sequence[str | int]) -> str:
    """`a.b[0]`; what looks like a secret in a key is masked."""
    text = ""
    for one in path:
        text += f"[{one}]" if isinstance(one, int) else f".{mask_text(one)}" if text else mask_text(one)
    return text


Path = tuple[str | int, ...]


def _object(value: JsonObject, path: Path, masked: Masked, *, secret: bool) -> JsonObject:
    result: JsonObject = {}
    named = value.get("name", value.get("key"))
    holds_value = isinstance(named, str) and is_secret_name(named)  # {name: DB_PASSWORD, value: ...}
    for key, member in value.items():
        shown = mask_text(key)
        while shown in result:  # two keys that are secrets
            shown += "*"
        inside = is_secret_section(key) if isinstance(member, dict) else is_secret_name(key)
        inside = secret or inside or (holds_value and key == "value")
        result[shown] = _any(member, (*path, shown), masked, secret=inside, measure=is_measure(key))
    return result


def _any(value: Json, path: Path, masked: Masked, *, secret: bool, measure: bool) -> Json:
    if isinstance(value, dict):
        return _object(value, path, masked, secret=secret)
    if isinstance(value, list):
        return [
            _any(
                one,
                (*path, i),
                masked,
                secret=secret or _is_secret_option(value[i - 1] if i else None),
                measure=measure,
            )
            for i, one in enumerate(value)
        ]
    shown = value
    if isinstance(value, str):
        shown = MASK if secret and value else mask_text(value)
    elif secret and not measure and isinstance(value, int | float) and not isinstance(value, bool):
        shown = MASK
    if shown != value:
        masked.paths.append(path_text(path))
    return shown


def _is_secret_option(before: Json) -> bool:
    """Whether the element before in a list of command line arguments is `--password` or the like."""
    return isinstance(before, str) and before.startswith("-") and is_secret_name(before)
