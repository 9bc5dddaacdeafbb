"""How much evidence is enough; `python -m benchmarks.routing.thresholds` writes it."""

from __future__ import annotations

from typing import Final

from orchestrator_svc.adapters.offline.evidence import Thresholds

WORDS_ONLY: Final = Thresholds(enough=0.15, another_skill=-0.2, similar=1.0)
WITH_EMBEDDINGS: Final = Thresholds(enough=0.2, another_skill=-0.2, similar=0.5)
