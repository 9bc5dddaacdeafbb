"""A step that was done once for each of several things: its results side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from agentmesh.jsonvalues import WRAPPED, Json, JsonObject
from orchestrator_svc.adapters.rendering.budget import fit
from orchestrator_svc.adapters.rendering.endings import failure
from orchestrator_svc.adapters.rendering.fields import is_flat, result_lines, unwrapped
from orchestrator_svc.adapters.rendering.figures import and_more
from orchestrator_svc.adapters.rendering.order import arranged
from orchestrator_svc.adapters.rendering.tables import table
from orchestrator_svc.adapters.rendering.titles import named
from orchestrator_svc.core.outcome import Outcome

_MOST_ITEMS: Final = 12
_MOST_FAILED: Final = 10
_ITEMS_BYTES: Final = 12_000
"""Of all items that are not rows of one table; each gets an equal share at most."""


def item_lines(items: Sequence[Outcome], names: Sequence[JsonObject], schema: JsonObject) -> Iterator[str]:
    """The items that failed, then the results of the others: one table if they are flat, else one after the other."""
    if not items:
        yield "There was nothing to do it for: the list is empty."
        return
    good = [
        (name, unwrapped(arranged(item.result, schema)))
        for name, item in zip(names, items, strict=True)
        if item.succeeded
    ]
    bad = [(name, item) for name, item in zip(names, items, strict=True) if not item.succeeded]
    if bad:
        yield f"{len(bad)} of {len(items)} did not succeed:"
        yield ""
        yield from (f"- {named(name)}: {failure(item)}" for name, item in bad[:_MOST_FAILED])
        if len(bad) > _MOST_FAILED:
            yield f"- {and_more(len(bad) - _MOST_FAILED)}"
        yield ""
    if good and all(is_flat(result) for _, result in good):
        yield from table([_row(name, result) for name, result in good])
    else:
        yield from _one_by_one(good)


def _row(name: JsonObject, result: Json) -> JsonObject:
    return {**name, **(result if isinstance(result, dict) else {WRAPPED: result})}


def _one_by_one(results: Sequence[tuple[JsonObject, Json]]) -> Iterator[str]:
    shown = results[:_MOST_ITEMS]
    for name, result in shown:
        yield f"### {named(name)}"
        yield ""
        yield from fit(result_lines(result), _ITEMS_BYTES // len(shown))
        yield ""
    if len(results) > len(shown):
        yield f"... {and_more(len(results) - len(shown))}"
