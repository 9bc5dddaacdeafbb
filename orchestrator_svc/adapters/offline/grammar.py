"""Patterns of English requests: what opens, joins and ends their parts. `#` stands for a value that was recognised."""

from __future__ import annotations

import re
from typing import Final

from orchestrator_svc.adapters.offline.words import CHANGE_VERBS, NOUNS_AS_WELL, QUESTION_VERBS


def _either(words: frozenset[str]) -> str:
    return "|".join(sorted(words, key=lambda word: (-len(word), word)))


OBJECT: Final = (
    r"(?:the|an?|its|their|his|her|my|our|your|all|any|every|each|me|us|it|them|this|that|these|those|whether|if|how|what"
    r"|which|who|where|on|up|out|for|#)"
)
VERB: Final = (
    rf"(?:(?:{_either((QUESTION_VERBS | CHANGE_VERBS) - NOUNS_AS_WELL)})\b|(?:{_either(NOUNS_AS_WELL)})\s+{OBJECT})"
)
QUESTION: Final = (
    r"(?:how|what|what's|which|who|who's|where|where's|when|why|whose|is|are|do|does|did|was|were|will|can|has|have)\b"
)


def _pattern(source: str) -> re.Pattern[str]:
    return re.compile(source, re.IGNORECASE)


SENTENCE_END: Final = _pattern(r"(?:[.?!;](?=\s|\Z)|\n|:(?=\s)|\s+[-\u2013\u2014]+\s+)")
FILLER: Final = _pattern(
    r"[\s,]*(?:(?:and|but|also|please|so|now|well|ok|okay|hi|hello|hey|kindly|firstly|first(?: of all)?|to start with"
    r"|(?:can|could|would|will) you(?: please)?|i(?:'d| would) like(?: you)? to|i want(?: you)? to|i need(?: you)? to"
    r"|let's)\b[\s,]*)?"
)
THEN_WORDS: Final = (
    r"(?:then|after (?:that|this)|afterwards?|after which|subsequently|thereafter|finally|lastly|followed by|from there"
    r"|once (?:that's|that is|it's|it is)? ?done|when (?:that's|that is)? ?done"
    r"|(?:based on|with|using) (?:that|it|this|the result)(?=,)|use (?:that|it|this|the result) to)"
)
THEN_CUT: Final = _pattern(
    rf"[\s,;]+(?:and\s+|but\s+)?(?:{THEN_WORDS}|(?<=, )next|(?<=and )next)\b[\s,]*"
    r"(?!#|days?\b|weeks?\b|hours?\b|months?\b)"
)
THEN_FIRST: Final = _pattern(rf"{THEN_WORDS}\b[\s,]*|next,\s*")
IF_FIRST: Final = _pattern(
    r"(?:if|only if|unless|in case|in the event(?: that)?|as long as|provided(?: that)?|assuming(?: that)?|whenever"
    r"|should(?= (?:there|any|it|something|anything|some|one))|in that case(?=,)"
    r"|when(?! (?:is|are|was|were|will|did|does|do|can|could|has|have|should)\b))\b\s*"
)
AFTER_FIRST: Final = _pattern(r"(?:after|once|as soon as)\s+(?!that\b|this\b)")
BEFORE_FIRST: Final = _pattern(r"before\s+(?!that\b|this\b)")
EACH_FIRST: Final = _pattern(r"for (?:each|every)\s+")
ABOUT_FIRST: Final = _pattern(r"(?:for|about|regarding|concerning|on|as for)\s+")
OPENER_CUT: Final = _pattern(
    r"[\s,;]+and,?\s+(?=(?:if|unless|in case|when|whenever|once|after|before|for each|for every)\b)"
    r"|,\s+(?=for (?:each|every)\b)"
)
IF_LAST: Final = _pattern(
    r"[\s,]+(?:only if|if|unless|in case|in the event(?: that)?|as long as|provided(?: that)?"
    r"|should(?= (?:there|any|it|something|anything|some|one))|when(?= (?:any|some|one|something|anything|found)))\s+"
)
WHETHER: Final = _pattern(
    r"\b(?:see|check|know|tell|out|verify|determine|look|ask|wonder|sure|me|us|test|confirm)\s*\Z"
)
UNLESS: Final = _pattern(r"unless\s+\Z")
OTHERWISE: Final = _pattern(r"(?:[\s,;]+|\b)(?:(?:and|or|but)\s+)?(?P<word>otherwise|or else|if not)\b[\s,]+")
AFTER_LAST: Final = _pattern(r"[\s,]+after\s+(?!that\b|this\b)")
BEFORE_LAST: Final = _pattern(r"[\s,]+before\s+(?!that\b|this\b)")
EACH_LAST: Final = _pattern(r"[\s,]+for (?:(?:each|every)\s+|all (?=of (?:them|these|those)\b)|(?=them all\b))")
EACH_INSIDE: Final = _pattern(
    r"\ball (?=of (?:them|these|those)\b)"
    r"|\b(?:each|every)\b(?!\s+(?:#|other\b|\d|(?:second|minute|hour|day|week|month)\b))\s*(?:single\s+)?"
)
HEAD_END: Final = _pattern(
    rf",\s*(?:then\s+)?|\s+then\s+|(?<!\bto)(?<!\byou)(?<!\bwe)(?<!\bi)(?<!\bit)(?<!\bthey)\s+(?={VERB})"
)
CLAUSE_CUT: Final = _pattern(
    rf"(?:[,;]\s*(?:(?:and|but)\s+)?|\s+(?:and|but)\s+)(?:also\s+|please\s+)*(?={VERB}|{QUESTION})"
)
UNIT_CUT: Final = _pattern(
    r"[\s,]*,\s*(?:(?:and|or)\s+)?(?:also\s+)?(?:plus\s+|as well as\s+)?"
    r"|[\s,]+(?:and also|and|or|as well as|plus|along with|together with|in addition to|&|\+)\s+(?:also\s+)?"
)
TRAILING: Final = _pattern(r"(?:[\s,;.?!:]|\bplease\b|\band\b)+\Z")
