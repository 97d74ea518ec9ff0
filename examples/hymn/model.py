"""A text model that needs no network: a small grammar, and chance that depends on nothing but the prompt.

The same prompt gives the same text on every machine, so a flow built on it can be tested word for word.
"""

import hashlib
import random
import re

_SYMBOL = re.compile(r"<(\w+)>")
_DEPTH_MAX = 20


class GrammarModel:
    """Writes text by replacing each `<symbol>` with one of its alternatives."""

    def __init__(self, rules: dict[str, list[str]]) -> None:
        """`rules` maps a symbol to its alternatives; `<topic>` and other slots come with the prompt."""
        self._rules = rules

    def complete(self, prompt: str, symbol: str, **slots: str) -> str:
        """Return a text for `symbol`.  Slots are put in as they are: what they contain is never expanded.

        Raises `KeyError` for a symbol that has neither rule nor slot, `RecursionError` for rules without an end.
        """
        chance = random.Random(hashlib.sha256(prompt.encode()).digest())
        return self._expand(symbol, chance, slots, {}, 0)

    def _expand(
        self, symbol: str, chance: random.Random, slots: dict[str, str], used: dict[str, set[str]], depth: int
    ) -> str:
        if symbol in slots:
            return slots[symbol]
        if depth > _DEPTH_MAX:
            raise RecursionError(f"the rules of <{symbol}> never end")
        choices = self._rules[symbol]
        taken = used.setdefault(symbol, set())
        if taken.issuperset(choices):  # all were used: they may come again
            taken.clear()
        choice = chance.choice([text for text in choices if text not in taken])
        taken.add(choice)
        return _SYMBOL.sub(lambda match: self._expand(match[1], chance, slots, used, depth + 1), choice)


HYMNS = GrammarModel(
    {
        "outline": [
            "1. <opening>\n2. <tension>\n3. <ending>",
        ],
        "opening": [
            "We meet <topic> at the break of day.",
            "Somebody sings of <topic> for the first time.",
            "All is silent, until <topic> is named.",
        ],
        "tension": [
            "The night falls and doubt asks whether the song will last.",
            "The road grows long, and the choir loses its way.",
            "A storm drowns every voice but one.",
        ],
        "ending": [
            "All voices join, and the song goes on.",
            "Morning returns, and everybody knows the tune.",
            "The last chord stays in the air.",
        ],
        "title": ["<topic>", "Song of <topic>", "A Hymn to <topic>", "<topic> Evermore"],
        "hymn": ["<verse>\n\n*<refrain>*\n\n<verse>\n\n*<refrain>*\n\n<coda>"],
        "refrain": [
            "O sing, o sing, of <topic>, and let the echo ring!",
            "Rise up, rise up, for <topic>, and lift your voice and sing!",
        ],
        "verse": [
            "When <time> the <light> comes to <motion>,\nand <place> wakes from <rest>,\n"
            "we carry a song like <gift> to the ocean,\nthe one that we love best.",
            "There once was a word in the hush of the <place_short>,\nso small that it hardly was heard,\n"
            "till somebody sang it with <gift> in the voice,\nand hundreds repeated the word.",
            "No <weather> can end it, no <power> can defeat it,\nno distance can make it grow cold:\n"
            "the <light> that was lent us, we borrow and treat it\nas <gift>, far more than gold.",
            "Come near, you who wander through <place> unguided,\ncome near, you who stand at the door:\n"
            "the <light> is for all, and whatever divided\nthe many divides them no more.",
        ],
        "coda": ["Amen to <topic>, amen to the day.", "So be it, dear <topic>, so let it stay."],
        "time": ["at dawn", "at noon", "at dusk", "in winter", "in summer"],
        "light": ["morning", "lantern", "starlight", "sunlight"],
        "motion": ["motion", "devotion"],
        "place": ["the valley", "the city", "the harbour", "the mountain"],
        "place_short": ["hall", "field", "glade"],
        "rest": ["rest", "its rest", "its nest"],
        "gift": ["joy", "a promise", "a treasure", "wonder"],
        "power": ["darkness", "silence", "kingdom"],
        "weather": ["winter", "thunder", "tempest"],
    }
)
