"""Values that a question mentions: quoted text, identifiers, names, numbers with units, values of the catalog."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum, auto
from functools import lru_cache
from typing import Final

from orchestrator_svc.adapters.offline.words import FUNCTION_WORDS, REQUEST_WORDS, TIME_WORDS, stem


class Kind(Enum):
    """How a value was recognised; where several overlap, the earlier kind wins."""

    QUOTED = auto()
    """Between quotation marks or backticks."""
    KNOWN = auto()
    """A value that a schema of the catalog names."""
    IDENTIFIER = auto()
    """Letters and digits or underscores that no ordinary word has: `A-1042`, `data_agent`, `10.0.0.7`."""
    DURATION = auto()
    """A number of a unit of time: `last 2 hours`."""
    NUMBER = auto()
    """Any other number, with the unit that follows it, if any."""
    NAME = auto()
    """Capitalised within a sentence: `Lisbon`, `New York`."""
    WORD = auto()
    """A plain word after a preposition that nothing else is known of: `for checkout`. The weakest."""


@dataclass(frozen=True, slots=True)
class Mention:
    """One value and where it stands in the text."""

    kind: Kind
    text: str
    start: int
    end: int
    number: float = 0.0
    """For NUMBER as written; for DURATION in seconds."""
    unit: str = ""
    """For NUMBER: the word after it, lower-case."""
    before: str = ""
    """The word before it, lower-case: `order` in `order A-1042`."""


MAX_MENTIONS: Final = 40
"""Of one text; a question that has more is a list that somebody pasted."""
MAX_VALUE_CHARACTERS: Final = 200
"""Of an identifier; longer ones are no values that people type."""
SECONDS: Final = {
    "second": 1,
    "minute": 60,
    "hour": 3600,
    "day": 86400,
    "week": 604800,
    "month": 2592000,
    "year": 31536000,
}
"""Units of time; a month is 30 days, a year 365."""

_SHORT_UNITS: Final = {"s": "second", "sec": "second", "min": "minute", "h": "hour", "hr": "hour", "d": "day"}
_NUMBER_WORDS: Final = {
    "half a": 0.5, "half an": 0.5, "one": 1.0, "two": 2.0, "a couple of": 2.0, "three": 3.0, "a few": 3.0, "four": 4.0,
    "five": 5.0, "six": 6.0, "seven": 7.0, "eight": 8.0, "nine": 9.0, "ten": 10.0, "eleven": 11.0, "twelve": 12.0,
    "fifteen": 15.0, "twenty": 20.0, "thirty": 30.0, "forty-five": 45.0, "sixty": 60.0, "ninety": 90.0,
}  # fmt: skip
_COUNT: Final = rf"(?P<count>\d+(?:[.,]\d+)?|{'|'.join(sorted(_NUMBER_WORDS, key=len, reverse=True))})"
_LONG_UNIT: Final = "second|minute|hour|day|week|month|year"
_ONE: Final = rf"(?:last|past|previous|next|coming|within an?|in an?|for an?) (?=(?:{_LONG_UNIT})\b)"
_DURATION: Final = re.compile(
    rf"(?<![\w.-])(?:{_COUNT}[ -]?|{_ONE})(?P<unit>(?:{_LONG_UNIT}|sec|min|hr)s?|[shd])(?!\w)", re.IGNORECASE
)
_QUOTED: Final = re.compile(r"\"([^\"\n]+)\"|`([^`\n]+)`|“([^”\n]+)”|(?<!\w)'([^'\n]+)'(?!\w)")
_IDENTIFIER: Final = re.compile(r"(?<![\w@/.-])(?=[\w@./:-]*[\d_@])[A-Za-z0-9](?:[\w@./:-]*\w)?(?![\w-])")
_NUMBER: Final = re.compile(r"(?<![\w.-])-?\d+(?:,\d{3})*(?:\.\d+)?(?:\s*(?P<unit>[A-Za-z]+|%|€|\$|£))?(?![\w])")
_PLAIN_NUMBER: Final = re.compile(r"-?\d+(?:,\d{3})*(?:\.\d+)?[A-Za-z]?\Z")
_NAME: Final = re.compile(r"(?<![\w'])[A-ZÀ-Þ][\w'-]+(?: [A-ZÀ-Þ][\w'-]+)*")
_AFTER_PREPOSITION: Final = re.compile(
    r"\b(?:of|for|in|on|at|about|to|from|named|called) (?:the )?([A-Za-z][a-z]{2,})\b"
)
_WORD_BEFORE: Final = re.compile(r"([A-Za-z]+)(?:'s)?[\s#:.\"'`“]*\Z")
_SENTENCE_START: Final = re.compile(r"(?:\A|[.?!:;\n])[\s\"'“(-]*\Z")


def find_mentions(text: str, known: Iterable[str]) -> list[Mention]:
    """The values in the text, from left to right; they do not overlap.

    Args:
        text: A question.
        known: Values that the catalog names; found in any case, and with space, hyphen or underscore between words.
    """
    found: list[Mention] = []
    for mention in _candidates(text, known):
        if len(found) == MAX_MENTIONS:
            break
        if not any(mention.start < other.end and other.start < mention.end for other in found):
            found.append(mention)
    return sorted(found, key=lambda mention: mention.start)


def _candidates(text: str, known: Iterable[str]) -> Iterator[Mention]:
    for match in _QUOTED.finditer(text):
        yield _mention(Kind.QUOTED, text, match.start(), match.end(), next(group for group in match.groups() if group))
    for value in sorted(known, key=lambda value: (-len(value), value)):
        for match in known_pattern(value).finditer(text):
            yield _mention(Kind.KNOWN, text, match.start(), match.end(), value)
    yield from (_duration(match, text) for match in _DURATION.finditer(text))
    for match in _IDENTIFIER.finditer(text):
        if not _PLAIN_NUMBER.match(match[0]) and len(match[0]) <= MAX_VALUE_CHARACTERS:
            yield _mention(Kind.IDENTIFIER, text, match.start(), match.end(), match[0])
    yield from (_number(match, text) for match in _NUMBER.finditer(text))
    for match in _NAME.finditer(text):
        yield from _name(match, text)
    yield from _plain_words(text)


def _plain_words(text: str) -> Iterator[Mention]:
    for match in _AFTER_PREPOSITION.finditer(text):
        word = match[1].lower()
        if word not in FUNCTION_WORDS | REQUEST_WORDS | TIME_WORDS:
            yield _mention(Kind.WORD, text, match.start(1), match.end(1), match[1])


@lru_cache(maxsize=4096)
def known_pattern(value: str) -> re.Pattern[str]:
    """Matches a value in running text, in any case and whatever stands between its words."""
    parts = [re.escape(part) for part in re.split(r"[\s_-]+", value) if part]
    return re.compile(r"(?<![\w-])" + r"[\s_-]?".join(parts) + r"(?![\w]|-\w)", re.IGNORECASE)


def _name(match: re.Match[str], text: str) -> Iterator[Mention]:
    """A capitalised phrase, without a first word that is capital only because the sentence begins there."""
    start, end = match.span()
    if _SENTENCE_START.search(text[:start]):
        first, _, rest = match[0].partition(" ")
        if not rest:
            return
        start += len(first) + 1
    phrase = re.sub(r"'s?\Z", "", text[start:end])
    first_word = phrase.split()[0].lower()
    if phrase.isupper() and len(phrase) <= 4:
        return  # CPU, RAM: an abbreviation is a word
    if first_word in FUNCTION_WORDS | REQUEST_WORDS | TIME_WORDS:
        return
    yield _mention(Kind.NAME, text, start, start + len(phrase), phrase)


def _number(match: re.Match[str], text: str) -> Mention:
    unit = (match["unit"] or "").lower()
    digits = match[0][: len(match[0]) - len(unit)].strip() if unit else match[0]
    mention = _mention(Kind.NUMBER, text, match.start(), match.start() + len(digits), digits)
    value = float(digits.replace(",", ""))
    return Mention(Kind.NUMBER, digits, mention.start, mention.end, value, unit, mention.before)


def _duration(match: re.Match[str], text: str) -> Mention:
    count = (match["count"] or "1").lower()
    number = _NUMBER_WORDS[count] if count in _NUMBER_WORDS else float(count.replace(",", "."))
    unit = match["unit"].lower()
    unit = _SHORT_UNITS.get(unit.removesuffix("s") or unit) or unit.removesuffix("s")
    seconds = number * SECONDS[unit]
    before = _word_before(text, match.start())
    return Mention(Kind.DURATION, match[0], match.start(), match.end(), seconds, unit, before)


def _mention(kind: Kind, text: str, start: int, end: int, value: str) -> Mention:
    return Mention(kind, value, start, end, before=_word_before(text, start))


def _word_before(text: str, start: int) -> str:
    found = _WORD_BEFORE.search(text[max(0, start - 40) : start])
    word = found[1].lower() if found else ""
    if word in ("number", "no", "nr", "id", "code", "named", "called", "name"):
        # "order number 17": the word that says what kind of thing it is stands one further to the left
        assert found is not None
        return _word_before(text, max(0, start - 40) + found.start()) or word
    return word


def same_word(text: str, value: str) -> bool:
    """Whether a word of the text is an inflection of a value that is a word."""
    return value.isalpha() and len(value) >= 4 and stem(text.lower()) == stem(value.lower())


def without(text: str, mentions: Iterable[Mention]) -> str:
    """The text with the mentions taken out, so that only its own words are left; positions stay."""
    for mention in mentions:
        text = text[: mention.start] + " " * (mention.end - mention.start) + text[mention.end :]
    return text
