"""Which keys hold secrets, by their names."""

from __future__ import annotations

import itertools
import re
from typing import Final

_ANYWHERE: Final = (
    "password",
    "passwd",
    "passphrase",
    "passcode",
    "secret",
    "credential",
    "apikey",
    "privatekey",
    "accesskey",
    "authtoken",
    "accesstoken",
    "connectionstring",
)
"""Parts of a key, its words put together, that make it a secret's."""
_SECTIONS: Final = frozenset({"auth", "authorization", "cookie", "cookies", "jwt"})
"""Words that name a secret where a value stands, and a mere section where an object stands (`auth: {type: oidc}`)."""
_WORDS: Final = _SECTIONS | {"pass", "pwd", "pw", "pin", "otp", "token", "tokens", "dsn", "salt", "bearer"}
_WORDS_OF_FILES: Final = frozenset({"signature", "keytab", "htpasswd", "mnemonic", "pem", "pfx", "p12", "jks"})
_BEFORE_KEY: Final = frozenset(
    {"api", "private", "access", "signing", "encryption", "secret", "shared", "account", "master", "session", "ssh"}
    | {"tls", "ssl", "auth", "service", "storage", "subscription", "license", "hmac", "aes", "rsa", "host", "deploy"}
)
"""Before the word `key` or `keys`."""
_MEASURES: Final = frozenset(
    {"max", "min", "limit", "limits", "count", "counts", "size", "length", "ttl", "timeout", "budget", "per", "rate"}
    | {"seconds", "minutes", "hours", "days", "ms", "bytes", "expiry", "expires", "lifetime", "usd", "price", "cost"}
)
_PLACES: Final = frozenset({"file", "path", "dir", "directory", "filename"})
"""A key that ends in one of these says where a secret lies; the value is still searched for secrets."""
_WORD: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_A-Za-z]+")


def is_secret_name(name: str) -> bool:
    """Whether a value under this key is a secret, e.g. `db_password`, `apiKey`, `AUTH-TOKEN`, `ssh.private_key`."""
    words = _words(name)
    if not words or words[-1] in _PLACES:
        return False
    joined = "".join(words)
    if any(part in joined for part in _ANYWHERE) or not (_WORDS | _WORDS_OF_FILES).isdisjoint(words):
        return True
    return any(second in {"key", "keys"} and first in _BEFORE_KEY for first, second in itertools.pairwise(words))


def is_secret_section(name: str) -> bool:
    """Whether everything in an object under this key is a secret, e.g. `credentials`."""
    return is_secret_name(name) and _words(name)[-1] not in _SECTIONS


def is_measure(name: str) -> bool:
    """Whether a number under this key is a quantity (`max_tokens: 4096`) rather than a secret (`pin: 1234`)."""
    return not _MEASURES.isdisjoint(_words(name))


def _words(name: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(name)]
