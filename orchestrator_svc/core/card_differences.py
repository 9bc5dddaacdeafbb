"""Where two cards differ, for whoever registers one and serves the other."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Final

from agentmesh.jsonvalues import Json, JsonObject, canonical, path_text

_MOST_NAMED: Final = 3
_MOST_CHARACTERS: Final = 200


def card_differences(one: JsonObject, other: JsonObject) -> str:
    """Name up to three places where they differ, as `card.version, card.skills[0].effect`; "" if they are equal."""
    places = (f"card{path_text(path)}" for path in _places((), one, other))
    return ", ".join(islice(places, _MOST_NAMED))[:_MOST_CHARACTERS]


def _places(path: tuple[str | int, ...], one: Json, other: Json) -> Iterator[tuple[str | int, ...]]:
    if isinstance(one, dict) and isinstance(other, dict):
        for key in sorted(one.keys() | other.keys()):
            if key in one and key in other:
                yield from _places((*path, key), one[key], other[key])
            else:
                yield (*path, key)
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for index, (mine, theirs) in enumerate(zip(one, other, strict=True)):
            yield from _places((*path, index), mine, theirs)
    elif canonical(one) != canonical(other):
        yield path
