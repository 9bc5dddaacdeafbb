"""Sets the thresholds of the offline planner on the odd questions: `python -m benchmarks.routing.thresholds`.

Every combination of a grid is tried. Of those that route most questions right, the one in their middle is taken: as far
as can be from where the figure falls. Writes orchestrator_svc/adapters/offline/thresholds.py; takes some minutes.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from pathlib import Path
from statistics import median
from typing import Final

from benchmarks.routing.measure import Router, odd
from benchmarks.routing.questions import load_questions
from orchestrator_svc.adapters import offline
from orchestrator_svc.adapters.offline.embeddings import Embedder, WordllamaEmbedder
from orchestrator_svc.adapters.offline.evidence import Thresholds

_ENOUGH: Final = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5)
_ANOTHER_SKILL: Final = (-0.5, -0.4, -0.3, -0.25, -0.2, -0.15, -0.1, -0.05, 0.0, 0.1, 0.2)
_SIMILAR: Final = (0.3, 0.4, 0.45, 0.5, 0.55, 0.6, 0.7)
_FILE: Final = Path(offline.__file__).parent / "thresholds.py"
_HEAD: Final = '''"""How much evidence is enough; `python -m benchmarks.routing.thresholds` writes it."""

from __future__ import annotations

from typing import Final

from orchestrator_svc.adapters.offline.evidence import Thresholds
'''


def main() -> None:
    """Replaces the file."""
    lines = [_HEAD]
    for name, embedder, similar in (
        ("WORDS_ONLY", None, (1.0,)),
        ("WITH_EMBEDDINGS", WordllamaEmbedder(), _SIMILAR),
    ):
        best, right, asked = _fitted(embedder, similar)
        print(f"{name}: {best}, {right} of {asked} odd questions")
        lines.append(
            f"{name}: Final = "
            f"Thresholds(enough={best.enough}, another_skill={best.another_skill}, similar={best.similar})"
        )
    _FILE.write_text("\n".join(lines) + "\n")
    print(f"wrote {_FILE}")


def _fitted(embedder: Embedder | None, similar: Sequence[float]) -> tuple[Thresholds, int, int]:
    """The thresholds, and how many of how many questions they route right."""
    router = Router(embedder)
    questions = odd(load_questions())
    tried = {
        Thresholds(*values): router.measure(questions, Thresholds(*values)).overall.exact
        for values in product(_ENOUGH, _ANOTHER_SKILL, similar)
    }
    most = max(tried.values())
    return _middle([thresholds for thresholds, right in tried.items() if right == most]), most, len(questions)


def _middle(candidates: Sequence[Thresholds]) -> Thresholds:
    """The candidate that is nearest to the median of all, each threshold in units of its own grid."""
    places = [
        (_place(_ENOUGH, c.enough), _place(_ANOTHER_SKILL, c.another_skill), _place(_SIMILAR, c.similar))
        for c in candidates
    ]
    middle = [median(values) for values in zip(*places, strict=True)]
    distances = [sum(abs(value - centre) for value, centre in zip(place, middle, strict=True)) for place in places]
    return candidates[distances.index(min(distances))]


def _place(grid: Sequence[float], value: float) -> int:
    return grid.index(value) if value in grid else 0


if __name__ == "__main__":
    main()
