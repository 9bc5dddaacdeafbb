"""Finds the cycles of a graph, to say them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise


def cycles(needs: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, ...]]:
    """Cycles that share no edge, until without these edges there is none left.

    Each is `a, b, a` where every name needs the next, and begins with the one that comes first in `needs`. The same
    graph gives the same cycles in every process.
    """
    left = {name: dict.fromkeys(others) for name, others in needs.items()}
    order = {name: position for position, name in enumerate(needs)}
    for name, others in left.items():
        if name in others:
            del others[name]
            yield name, name
    while cycle := _cycle(left):
        for name, other in pairwise(cycle):
            del left[name][other]
        first = cycle.index(min(cycle, key=order.__getitem__))
        yield (*cycle[first:-1], *cycle[: first + 1])


def _cycle(needs: Mapping[str, Mapping[str, None]]) -> list[str]:
    """A cycle, closed by its first name again; empty if there is none."""
    try:
        TopologicalSorter(needs).prepare()
    except CycleError as error:
        found: list[str] = error.args[1]
        return found[::-1]  # graphlib lists each name before those that need it
    return []
