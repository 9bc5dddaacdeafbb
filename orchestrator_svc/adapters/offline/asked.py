"""A question, read once: its values, its parts, and the words of each."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator_svc.adapters.offline.clauses import Reading, Span, read
from orchestrator_svc.adapters.offline.mentions import Kind, Mention
from orchestrator_svc.adapters.offline.skill_index import SkillIndex
from orchestrator_svc.adapters.offline.words import terms


@dataclass(frozen=True)
class Asked:
    """What is known of a question before skills are chosen."""

    text: str
    mentions: tuple[Mention, ...]
    guesses: tuple[Mention, ...]
    """Plain words that no card has, so that they may be values."""
    reading: Reading

    @classmethod
    def of(cls, text: str, index: SkillIndex) -> Asked:
        found = index.mentions(text)
        mentions = tuple(mention for mention in found if mention.kind is not Kind.WORD)
        guesses = tuple(
            mention for mention in found if mention.kind is Kind.WORD and not any(map(index.knows, terms(mention.text)))
        )
        return cls(text, mentions, guesses, read(text, mentions))

    def said(self, *spans: Span) -> str:
        """The words of the spans."""
        return " ".join(self.text[start:end] for start, end in spans)

    def within(self, *spans: Span) -> tuple[Mention, ...]:
        """The values in the spans, in the order of the text."""
        return _within(self.mentions, spans)

    def guesses_within(self, *spans: Span) -> tuple[Mention, ...]:
        """The plain words in the spans that may be values."""
        return _within(self.guesses, spans)


def _within(mentions: tuple[Mention, ...], spans: tuple[Span, ...]) -> tuple[Mention, ...]:
    return tuple(
        mention for mention in mentions if any(start <= mention.start and mention.end <= end for start, end in spans)
    )
