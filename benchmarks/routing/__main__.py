"""Prints how often the offline planner routes a question right: `python -m benchmarks.routing [--wrong] [--odd]`."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence

from benchmarks.routing.measure import Measurement, Router, even, odd
from benchmarks.routing.questions import HELD_OUT, RoutingQuestion, load_questions
from benchmarks.routing.scoring import KINDS
from orchestrator_svc.adapters.offline.embeddings import Embedder, WordllamaEmbedder, installed
from orchestrator_svc.adapters.offline.thresholds import WITH_EMBEDDINGS, WORDS_ONLY


def main() -> None:
    """Measures on the even questions and on the held-out ones, with and without embeddings."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.routing", description=__doc__)
    parser.add_argument("--wrong", action="store_true", help="also print the wrong plans, but for those held out")
    parser.add_argument(
        "--odd", action="store_true", help="the questions that set the thresholds, not those that measure"
    )
    arguments = parser.parse_args()
    questions, held_out = load_questions(), load_questions(HELD_OUT)
    chosen = odd(questions) if arguments.odd else even(questions)
    print(f"{len(chosen)} {'odd' if arguments.odd else 'even'} of {len(questions)} questions over 2 catalogs;")
    print("right: the same skills, mode and edges, conditions and repetitions as expected, and a plan that validates")
    print(f"held out: {len(held_out)} questions by a writer who had not seen the planner nor the other questions\n")
    print(f"{'':<32}" + "".join(f"{kind:>12}" for kind in KINDS) + f"{'overall':>12}{'arguments':>12}{'ms each':>10}")
    embedders: list[tuple[str, Embedder | None]] = [("words (BM25)", None)]
    if installed():
        embedders.append(("words and embeddings", WordllamaEmbedder()))
    for name, embedder in embedders:
        for row, measured in ((name, chosen), (f"  held out, {name}", held_out)):
            found, milliseconds = _measured(embedder, measured)
            print(_row(row, found, milliseconds))
            if arguments.wrong and measured is not held_out:  # nobody is to improve the planner on those
                _print_wrong(found)
    if not installed():
        print("\nsentence embeddings are not installed (extra `offline`)")


def _measured(embedder: Embedder | None, questions: Sequence[RoutingQuestion]) -> tuple[Measurement, float]:
    """What was right, and the milliseconds a question, measured when caches are warm."""
    router = Router(embedder)
    thresholds = WORDS_ONLY if embedder is None else WITH_EMBEDDINGS
    for question in questions:
        router.plan(question, thresholds)
    begun = time.perf_counter()
    found = router.measure(questions, thresholds)
    return found, (time.perf_counter() - begun) * 1000 / len(questions)


def _row(name: str, found: Measurement, milliseconds: float) -> str:
    tallies = [*(found.tallies[kind] for kind in KINDS), found.overall]
    shares = "".join(f"{f'{one.exact}/{one.asked} {one.share:.0%}':>12}" for one in tallies)
    right = f"{found.overall.arguments}/{found.overall.exact}"
    return f"{name:<32}{shares}{right:>12}{milliseconds:>10.1f}"


def _print_wrong(found: Measurement) -> None:
    for question, verdict in found.wrong:
        what = "arguments" if verdict.exact else "plan"
        print(f"    {question.number:>3} {question.kind}, {what}: {question.text}\n        {verdict.said}")


if __name__ == "__main__":
    main()
