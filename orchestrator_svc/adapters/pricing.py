"""What tokens cost, by the configured table."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

_SNAPSHOT: Final = re.compile(r"[-@:](latest|\d{4}-?\d{2}-?\d{2}|\d{4}|\d{2}-\d{4})\Z")
"""What a provider adds to a model's name for one dated version of it, such as `-2024-08-06`, `@20250514`, `-0613`."""


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars for a million tokens."""

    input_per_million: float
    output_per_million: float


@dataclass(frozen=True, slots=True)
class Tokens:
    """What one request used."""

    input: int
    output: int


def price_of(model: str, prices: Mapping[str, Price]) -> Price | None:
    """Return the price of a model by its name, or by the name of which it is a dated version; None if there is none.

    A longer name with anything but a date behind it is another model: `gpt-4o-mini` does not cost what `gpt-4o` does.
    """
    while model not in prices:
        shorter = _SNAPSHOT.sub("", model)
        if shorter == model:
            return None
        model = shorter
    return prices[model]


def cost_usd(tokens: Tokens | None, price: Price | None) -> float | None:
    """Return what the tokens cost; None if that cannot be known. What is free costs nothing, however much it was."""
    if price is None:
        return None
    if price.input_per_million == price.output_per_million == 0:
        return 0.0
    if tokens is None:
        return None
    return (tokens.input * price.input_per_million + tokens.output * price.output_per_million) / 1_000_000
