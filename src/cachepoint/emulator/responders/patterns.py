"""A text that a regular expression allows, read off the expression, which is never run.

A client's expression may take for ever on the wrong text, `^(a+)+$` for one, and a thread cannot be
stopped at it.
"""

import re
from collections.abc import Callable

__all__ = ["sample"]

_MOST_CHARS = 10_000
_MOST_DEPTH = 50
_CANDIDATES = "a1A -_.,/:@#+"
_QUANTIFIER = re.compile(r"(?:([*+?])|\{(\d{1,9})(?:,\d{0,9})?\})[?+]?")
_GROUP = re.compile(r"\((?!\?)|\(\?(?::|P?<[A-Za-z_]\w{0,99}>)")
_HEX = re.compile(r"x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})")
_LEAST = {"*": 1, "+": 1, "?": 0}
_NOTHING = frozenset("bBAZ")
_CONTROLS = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "v": "\v", "0": "\0"}
_Test = Callable[[str], bool]
_KINDS: dict[str, tuple[str, _Test]] = {
    "d": ("1", str.isdigit),
    "D": ("a", lambda char: not char.isdigit()),
    "w": ("a", lambda char: char.isalnum() or char == "_"),
    "W": ("-", lambda char: not char.isalnum() and char != "_"),
    "s": (" ", str.isspace),
    "S": ("a", lambda char: not char.isspace()),
}


def sample(pattern: str) -> str | None:
    """A short text that matches, or None where the pattern has what this does not read.

    It does not read look-around, back references, properties and flags. The first alternative is taken, and
    of what may repeat as little as fits, though at least one of `*`.
    """
    reader = _Reader(pattern)
    try:
        text = reader.alternatives(0)
    except (_UnreadError, IndexError):
        return None
    return text if reader.at == len(pattern) else None


class _UnreadError(Exception):
    pass


class _Reader:
    def __init__(self, pattern: str) -> None:
        self.pattern, self.at = pattern, 0

    def alternatives(self, depth: int) -> str:
        if depth > _MOST_DEPTH:
            raise _UnreadError
        first = self._sequence(depth)
        while self._ahead() == "|":
            self.at += 1
            self._sequence(depth)
        return first

    def _sequence(self, depth: int) -> str:
        parts, length = list[str](), 0
        while self._ahead() not in ("", "|", ")"):
            parts.append(self._repeated(self._atom(depth)))
            length += len(parts[-1])
            if length > _MOST_CHARS:
                raise _UnreadError
        return "".join(parts)

    def _repeated(self, text: str) -> str:
        found = _QUANTIFIER.match(self.pattern, self.at)
        if not found:
            return text
        self.at = found.end()
        times = _LEAST[found[1]] if found[1] else int(found[2])
        if times * len(text) > _MOST_CHARS:
            raise _UnreadError
        return text * times

    def _atom(self, depth: int) -> str:
        char = self._ahead()
        if char == "(":
            return self._group(depth)
        self.at += 1
        if char == "[":
            return self._class()
        if char == "\\":
            return self._escape()[0]
        return {"^": "", "$": "", ".": "a"}.get(char, char)

    def _group(self, depth: int) -> str:
        found = _GROUP.match(self.pattern, self.at)
        if not found:
            raise _UnreadError
        self.at = found.end()
        text = self.alternatives(depth + 1)
        if self._ahead() != ")":
            raise _UnreadError
        self.at += 1
        return text

    def _class(self) -> str:
        negated = self._ahead() == "^"
        self.at += negated
        start, members = self.at, list[tuple[str, _Test]]()
        while self._ahead() != "]" or self.at == start:
            members.append(self._member())
        self.at += 1
        if not negated:
            return members[0][0]
        free = (char for char in _CANDIDATES if not any(test(char) for _, test in members))
        return next(free, None) or self._unread()

    def _member(self) -> tuple[str, _Test]:
        low, test = self._class_char()
        if self.pattern[self.at : self.at + 1] != "-" or self.pattern[self.at + 1] == "]":
            return low, test
        self.at += 1
        high, _ = self._class_char()
        return low, lambda char: low <= char <= high

    def _class_char(self) -> tuple[str, _Test]:
        char = self.pattern[self.at]
        self.at += 1
        return self._escape() if char == "\\" else _literal(char)

    def _escape(self) -> tuple[str, _Test]:
        char = self.pattern[self.at]
        if found := _HEX.match(self.pattern, self.at):
            self.at = found.end()
            return _literal(chr(int(found[1] or found[2], 16)))
        self.at += 1
        if char in _KINDS:
            return _KINDS[char]
        if char in _NOTHING:
            return "", lambda _: False
        if char.isalnum() and char not in _CONTROLS:
            self._unread()
        return _literal(_CONTROLS.get(char, char))

    def _ahead(self) -> str:
        return self.pattern[self.at : self.at + 1]

    def _unread(self) -> str:
        raise _UnreadError


def _literal(char: str) -> tuple[str, _Test]:
    return char, lambda other: other == char
