"""What kind of text moved, told from the place at which two texts part."""

import json
import re
import unicodedata
from collections.abc import Callable, Iterator

WHITE_SPACE = "white space"
KEY_ORDER = "the order of JSON keys"
LIST_ORDER = "the order of a list"
LINE_ORDER = "the order of lines"
AN_ID = "an id"

# What is looked at of a line, on either side of the place; most that names a kind is far shorter.
_AROUND = 120
# So much must be alike behind white space that moved, or to the end.
_AGAIN = 16
# A number that goes up by no more is a counter.
_STEP = 10
# How many braces before the place are tried as the beginning of the JSON that it is in.
_BRACES = 12
# What was put in is looked into where it is no longer than a line.
_LINE = 200

_MONTH = (
    r"(?:Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|Sept?(?:ember)?"
    r"|Oct(?:ober)?|Nov(?:ember)?|Dec(?:ember)?)\.?"
)
_WEEKDAY = r"(?:Mon|Tues?|Wed(?:nes)?|Thu(?:rs)?|Fri|Sat(?:ur)?|Sun)(?:day)?"
_DAY = r"\d{1,2}(?:st|nd|rd|th)?\.?"
_TIME = r"\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?(?:\s?[AaPp]\.?[Mm]\b\.?)?(?:Z|\s?[+-]\d{2}:?\d{2}\b)?"
_DATE = (
    rf"(?:\d{{4}}[-/]\d{{1,2}}[-/]\d{{1,2}}|\d{{1,2}}[/.-]\d{{1,2}}[/.-]\d{{2,4}}|20\d{{2}}[01]\d[0-3]\d"
    rf"|{_MONTH}\s+{_DAY}(?:,?\s+\d{{4}})?|{_DAY}\s+(?:of\s+)?{_MONTH}(?:,?\s+\d{{4}})?|{_MONTH}\s+\d{{4}})"
)

_Test = Callable[[str, str], bool]


def _always(_: str, __: str) -> bool:
    return True


def _step(before: str, after: str) -> bool:
    return 0 < int(after) - int(before) <= _STEP


def _mixed(*tokens: str) -> bool:
    return all(any(c.isdigit() for c in t) and any(c.isalpha() for c in t) for t in tokens)


# What both texts must hold where they part, the narrower kinds first; the words of `cuts.CLOCKS` where they
# say the same.
_KINDS: tuple[tuple[str, re.Pattern[str], _Test], ...] = (
    ("a UUID", re.compile(r"(?<!\w)[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\b"), _always),
    ("a time of day", re.compile(rf"(?<![\w:]){_TIME}(?![\w:])"), _always),
    ("a unix time", re.compile(r"(?<![\w.])1[5-9]\d{8}(?:\d{3})?(?:\.\d+)?\b"), _always),
    ("an e-mail address", re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+"), _always),
    ("an address", re.compile(r"\b\w+://[^\s\"'<>)]+"), _always),
    ("a path", re.compile(r"(?<![\w/])(?:~|[A-Za-z]:)?[\\/][\w.-]+(?:[\\/][\w.-]*)+"), _always),
    ("a version", re.compile(r"(?<![\w.])v?\d+(?:\.\d+){2,}[\w.+-]*"), _always),
    ("a counter", re.compile(r"(?<![^\W_]|[.,])\d{1,15}(?![^\W_]|[.,]\d)"), _step),
    (AN_ID, re.compile(r"(?<![\w-])[\w-]{6,}(?![\w-])"), _mixed),
    ("a number", re.compile(r"(?<![^\W_]|[.,])\d+(?:[.,]\d+)*"), _always),
)
_WHEN = re.compile(
    rf"(?<![\w-])(?:{_WEEKDAY},?\s+)?(?:{_DATE})(?:(?:T|,?\s+(?:at\s+)?)(?P<time>{_TIME}))?"
    rf"|\b(?:{_WEEKDAY})\b"
)
_WORD = re.compile(r"\S+")
_CAPITAL = re.compile(r"[^\W\d_][\w'\u2019-]*")
# Behind these a word is written with a capital whatever it is.
_BEGINS = re.compile(r"(?:^|[.!?\n]|^\s*[-*#>]+)\s*$")
_CLOCKLIKE = frozenset({"a UUID", "a time of day", "a unix time"})


def parting(before: str, after: str) -> int:
    """How many characters two texts begin with alike."""
    low, high = 0, min(len(before), len(after))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if before[low:middle] == after[low:middle] else (low, middle - 1)
    return low


def kind_of(before: str, after: str) -> str | None:
    """What kind of text moved, where two texts part first; None: of no kind that is known.

    Args:
        before: A text.
        after: What stands in its place.
    """
    at = parting(before, after)
    tests = (_spaced, _ordered, _dated, _patterned, _formed, _called)
    return next((kind for test in tests if (kind := test(before, after, at))), None)


def kind_inside(fragment: str) -> str | None:
    """What kind of changing text was put in or taken out; None where it is no line that holds one."""
    if len(fragment) > _LINE:
        return None
    found = (name for name, pattern, _ in _KINDS if name in _CLOCKLIKE and pattern.search(fragment))
    return next(found, "a date" if _WHEN.search(fragment) else None)


def _spaced(before: str, after: str, at: int) -> str | None:
    """White space alone moved: in all of the text, or here."""
    if "".join(before.split()) == "".join(after.split()):
        return WHITE_SPACE
    b, a = before[at:].lstrip(), after[at:].lstrip()
    moved = len(b) < len(before) - at or len(a) < len(after) - at
    alike = b[:_AGAIN] == a[:_AGAIN] and len(a) >= _AGAIN
    return WHITE_SPACE if moved and alike else None


def _ordered(before: str, after: str, at: int) -> str | None:
    if _reordered_json(before, after, at):
        return KEY_ORDER
    lines = before.splitlines(), after.splitlines()
    return LINE_ORDER if len(lines[0]) > 1 and sorted(lines[0]) == sorted(lines[1]) else None


def _reordered_json(before: str, after: str, at: int) -> bool:
    """Whether the place is in JSON that says the same with its keys in another order."""
    for start in _openings(before, at):
        try:
            b, end = _decoder.raw_decode(before, start)
            a, _ = _decoder.raw_decode(after, start)
        except (ValueError, RecursionError):
            continue
        if end > at and json.dumps(b) != json.dumps(a):
            return json.dumps(b, sort_keys=True) == json.dumps(a, sort_keys=True)
    return False


_decoder = json.JSONDecoder()


def _openings(text: str, at: int) -> Iterator[int]:
    """Where braces open before a place, the nearest first."""
    start = at + 1
    for _ in range(_BRACES):
        start = text.rfind("{", 0, start)
        if start < 0:
            return
        yield start


def _dated(before: str, after: str, at: int) -> str | None:
    """A date, or a time of day where both change."""
    b, a = _touching(_WHEN, before, at), _touching(_WHEN, after, at)
    if b is None or a is None or b[0] == a[0]:
        return None
    return "a date" if b["time"] == a["time"] else "a time of day"


def _patterned(before: str, after: str, at: int) -> str | None:
    for name, pattern, test in _KINDS:
        b, a = _touching(pattern, before, at), _touching(pattern, after, at)
        if b is not None and a is not None and b[0] != a[0] and test(b[0], a[0]):
            return name
    return None


def _formed(before: str, after: str, at: int) -> str | None:
    """The same letters, written otherwise."""
    b, a = _touching(_WORD, before, at), _touching(_WORD, after, at)
    if b is None or a is None or b[0] == a[0]:
        return None
    if unicodedata.normalize("NFKC", b[0]) == unicodedata.normalize("NFKC", a[0]):
        return "the Unicode form of a letter"
    return "upper and lower case" if b[0].casefold() == a[0].casefold() else None


def _called(before: str, after: str, at: int) -> str | None:
    """Words that are written with a capital where a sentence does not begin."""
    b, a = _touching(_CAPITAL, before, at), _touching(_CAPITAL, after, at)
    if b is None or a is None or b[0] == a[0]:
        return None
    begins = _BEGINS.search(_window(before, at)[0][: b.start()])
    return "a name" if b[0][0].isupper() and a[0][0].isupper() and not begins else None


def _touching(pattern: re.Pattern[str], text: str, at: int) -> re.Match[str] | None:
    """What is found at a place, or ends or begins there."""
    window, here = _window(text, at)
    return next((m for m in pattern.finditer(window) if m.start() <= here <= m.end()), None)


def _window(text: str, at: int) -> tuple[str, int]:
    """The line at a place, as much of it as is looked at, and where the place is in it."""
    start = max(text.rfind("\n", 0, at) + 1, at - _AROUND)
    end = text.find("\n", at)
    end = min(len(text) if end < 0 else end, at + _AROUND)
    return text[start:end], at - start
