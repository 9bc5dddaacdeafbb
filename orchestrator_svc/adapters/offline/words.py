"""English words as the word index sees them: stems of words that carry meaning, and classes of words that do not.

General English only: nothing here knows what agents are about.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

_WORD: Final = re.compile(r"[a-z]+(?:'[a-z]+)?")
_CAMEL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def _listed(text: str) -> frozenset[str]:
    return frozenset(text.split())


FUNCTION_WORDS: Final = _listed("""
    a about above again all along also am an and another any anybody anyone anything are as at be because been being
    both but by can cannot could did do does doing done each either else ever every everybody everyone everything
    for from further had has have having he her here hers him his how i if in instead into is it its itself just
    least less like many may maybe me might mine more most much must my myself neither never no nobody none nor not
    nothing now of off often on once one ones only onto or other others our ours out over own per perhaps please
    quite rather really same shall she should since so some somebody someone something sometimes somewhere still
    such than that the their theirs them themselves then there these they this those though through till to together
    too toward towards under until up upon us very was we well were what whatever when where whether which while who
    whom whose why will with within without would yes yet you your yours yourself
""")
"""Words that carry grammar, not meaning."""

REQUEST_WORDS: Final = _listed("""
    ask bring come coming could display fetch find first finally get give go going got grab happen hello hey hi know let
    like look looking make mean need next obtain okay ok print provide pull put request retrieve return run say
    see show start take tell thank thanks thing things try understand use using view want wanted would wonder
    right moment today please kindly quick quickly overview info information detail details
""")
"""Words of asking: in every request, whatever it is about."""

TIME_WORDS: Final = _listed("""
    second seconds sec secs minute minutes min mins hour hours day days week weeks month months year years last past
    previous recent recently coming following ago yesterday tomorrow tonight morning afternoon evening night noon
    midnight monday tuesday wednesday thursday friday saturday sunday weekend january february march april june july
    august september october november december time times date
""")

CHANGE_VERBS: Final = _listed("""
    add adjust approve archive assign ban block book build buy cancel change clear close compose copy correct create
    deactivate decrease delete deploy disable discard draft drop edit email enable erase execute fix forward grant
    hire increase insert install invite invoice kill launch lock lower mail migrate modify move mute notify
    overwrite patch pause pay post postpone publish purchase purge raise reboot refund reject remove rename replace
    reply reschedule reserve reset resize restart restore resume revert revoke rewrite scale schedule send set sign
    stop submit subscribe suspend terminate transfer translate trigger uninstall unlock unsubscribe update upgrade
    upload wipe write
""")
"""Verbs that ask for something to be made or changed. A skill that does not name such a verb does not do it."""

QUESTION_VERBS: Final = _listed("""
    analyse analyze assess audit calculate check compare compute convert count describe detect determine diagnose
    display estimate evaluate examine explain explore fetch figure find forecast get give go grab identify inspect
    investigate list load locate look lookup measure monitor obtain open outline predict print provide pull
    query quote rank read report request retrieve return review run scan search see show sum summarise summarize
    survey take tell test trace track validate verify view watch
""")
"""Verbs that begin a request for something to be found out."""

NOUNS_AS_WELL: Final = _listed("""
    block book build change check compose copy count display draft drop email estimate figure fix forecast grant hire
    invoice launch load lock look mail measure monitor move outline patch pause pay post purchase query quote raise rank
    read refund reply report request reset review run scale scan schedule search set sign stop sum survey test trace
    track transfer trigger update upgrade upload view watch
""")
"""Verbs that are nouns as often: they are read as verbs only before an object."""

ASKING_WORDS: Final = _listed("""
    list check compare count search describe explain review examine look verify current currently latest present
""")
"""Words that carry some meaning, but stand in questions about anything."""


@lru_cache(maxsize=8192)
def stem(word: str) -> str:
    """The word without its inflection and commonest derivations: `configuration` and `configurable` are `configur`."""
    word = word.removesuffix("'s").replace("'", "").replace("yz", "ys")
    for ending, replacement in (("iest", "y"), ("ies", "y"), ("ied", "y"), ("sses", "ss"), ("ers", "er")):
        if word.endswith(ending) and len(word) > len(ending) + 1:
            word = word.removesuffix(ending) + replacement
            break
    else:
        if word.endswith("s") and not word.endswith(("ss", "us")) and len(word) > 3:
            word = word[:-1]
    return _without_suffix(word)


def _without_suffix(word: str) -> str:
    for ending in ("ations", "ation", "able", "ment", "ness", "ing", "age", "ed", "ly", "i"):
        rest = word.removesuffix(ending)
        if rest != word and len(rest) >= 2 and re.search("[aeiouy]", rest):
            word = rest[:-1] if len(rest) > 3 and rest[-1] == rest[-2] and rest[-1] not in "lsz" else rest
            break
    if word.endswith("e") and len(word) > 2:
        word = word[:-1]
    if word.endswith("y") and len(word) > 3 and word[-2] not in "aeiou":
        word = word[:-1] + "i"
    return word


def words(text: str) -> list[str]:
    """The words of a text, lower-case, in order; `snake_case` and `camelCase` are several."""
    return _WORD.findall(_CAMEL.sub(" ", text).lower())


def carries_meaning(word: str) -> bool:
    """Whether a word says what a question is about."""
    bare = word.split("'", maxsplit=1)[0]
    return len(bare) > 1 and bare not in FUNCTION_WORDS and bare not in REQUEST_WORDS and bare not in TIME_WORDS


def terms(text: str) -> list[str]:
    """The stems of the words that carry meaning, in order."""
    return [stem(word) for word in words(text) if carries_meaning(word)]
