"""Search over texts: small pieces are scored (BM25), the whole text that a piece is from is returned."""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping

_WORD = re.compile(r"[a-z][a-z0-9]+")
# Lists of fields are cut anywhere, so the length of a piece says little: b is low.
_K1, _B = 1.5, 0.3


class Search:
    """BM25 over the pieces of named texts.

    Args:
        texts: The texts by name.
        split: Cuts a text into pieces.
    """

    def __init__(self, texts: Mapping[str, str], split: Callable[[str], Iterable[str]]) -> None:
        pieces = [(name, words(f"{name} {piece}")) for name, text in texts.items() for piece in split(text)]
        self._owners = [name for name, _ in pieces]
        self._counts = [Counter(found) for _, found in pieces]
        self._sizes = [len(found) for _, found in pieces]
        self._mean = sum(self._sizes) / max(1, len(pieces))
        self._holding = Counter(word for count in self._counts for word in count)

    def best(self, question: str) -> str:
        """The name of the text whose best piece fits best; the first of equals."""
        asked = dict.fromkeys(words(question))
        scores = [self._score(asked, n) for n in range(len(self._owners))]
        return self._owners[scores.index(max(scores))]

    def _score(self, asked: Iterable[str], n: int) -> float:
        length = _K1 * (1 - _B + _B * self._sizes[n] / self._mean)
        counts = self._counts[n]
        return sum(
            self._rarity(w) * counts[w] * (_K1 + 1) / (counts[w] + length) for w in asked if w in counts
        )

    def _rarity(self, word: str) -> float:
        holding = self._holding[word]
        return math.log(1 + (len(self._owners) - holding + 0.5) / (holding + 0.5))


def words(text: str) -> list[str]:
    """The words of a text in lower case."""
    return _WORD.findall(text.lower())
