"""What a dialect brings back from the wire, and what both wire forms share."""

import json
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from cachepoint.core.models.rules import MAX_CHECKPOINTS
from cachepoint.core.prompt.prefix import Mark, RawBlock

Marks = Mapping[tuple[str, tuple[int, ...]], Any]
Touched = AbstractSet[tuple[str | int, ...]] | None
Cuts = Mapping[tuple[str, tuple[int, ...]], tuple[int, ...]]
Kinds = frozenset[str]

NOTHING: Kinds = frozenset()
NO_MESSAGES = "no body with messages was read"
NO_FIELDS: Mapping[str, Any] = {}

# Measured on Bedrock (CacheCanary 0.4.0, Sonnet 4.6, 2026-10): a change of thinking or effort loses
# everything, the system included; absent, disabled and effort "high" are the same.
_EFFORT_FIELDS = (
    "thinking",
    "reasoning_config",
    "reasoningConfig",
    "output_config",
    "output_format",
    "effort",
)


class UnreadableError(ValueError):
    """The request is none that boto3 or Bedrock would take: it goes out as it came, for them to say so."""


@dataclass(frozen=True)
class Reading:
    """A request read off the wire.

    `invalidates` is what a change of which loses everything (thinking, effort), `turn` what loses
    only the messages (a forced tool choice). `orphans` counts checkpoints with nothing before them.
    `refusal` says why none of ours may be placed, `slots` how many may leave at all, the caller's
    among them; `automatic` is one that Bedrock itself places behind the last block that takes one, as
    the caller asked. `tier` is the service tier where the request names one. `growth` says what it
    goes on from, where that is known. `settings` are those that are not known to be harmless, by name.
    """

    raw: list[RawBlock]
    invalidates: str
    turn: str
    orphans: int
    refusal: str | None = None
    slots: int = MAX_CHECKPOINTS
    automatic: Mark | None = None
    tier: str | None = None
    growth: Any = None
    settings: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Stand:
    """Where a checkpoint may stand in a list: behind which kinds of block.

    We place one where it is known to be taken, `ours`; the caller's stays wherever nothing is known
    against it, so only behind `refused` it goes. None: all kinds.
    """

    ours: Kinds | None = None
    refused: Kinds | None = NOTHING


ANYWHERE = Stand()
NOWHERE = Stand(ours=NOTHING, refused=None)


def may_stay(stand: Stand, kind: str) -> bool:
    """Whether nothing is known against a checkpoint of the caller's behind this kind of block."""
    return stand.refused is not None and kind not in stand.refused


def pieces(text: str, cuts: Sequence[int]) -> list[str]:
    """A text, cut."""
    return [text[start:stop] for start, stop in pairwise((0, *cuts, len(text)))]


# A test for dict alone comes first: asking the abstract class takes half of all the reading.
def listed(value: Any, what: str) -> Sequence[Any]:
    """The items of a list of the request; none where it is None.

    Raises:
        UnreadableError: Where it is no list.
    """
    if value is None:
        return ()
    if type(value) is list or isinstance(value, list | tuple):
        return value
    raise UnreadableError(f"{what} is of {type(value)!r}; a list was expected")


def mapped(value: Any, what: str) -> Mapping[str, Any]:
    """An item of the request, which must be a mapping.

    Raises:
        UnreadableError: Where it is none.
    """
    if type(value) is dict or isinstance(value, Mapping):
        return value
    raise UnreadableError(f"{what} is of {type(value)!r}; a mapping was expected")


def texted(value: Any, what: str) -> str:
    """A text of the request.

    Raises:
        UnreadableError: Where it is none.
    """
    if isinstance(value, str):
        return value
    raise UnreadableError(f"{what} is of {type(value)!r}; a str was expected")


def fields_of(value: Any) -> Mapping[str, Any]:
    """The fields of an optional part of the request; none where it is no mapping."""
    if value is None:
        return NO_FIELDS
    return value if type(value) is dict or isinstance(value, Mapping) else NO_FIELDS


def as_json(value: Any, default: Callable[[Any], Any] = repr, *, in_order: bool = False) -> str:
    """A value of the request as a text of JSON.

    Args:
        value: The value.
        default: What stands for what JSON does not know.
        in_order: Whether members stand in the order of their names.

    Raises:
        UnreadableError: Where no client could write it: it holds itself, is nested too deeply, or has
            members whose names are none.
    """
    try:
        return json.dumps(_named(value, default) if in_order else value, sort_keys=in_order, default=default)
    except (TypeError, ValueError, RecursionError) as error:
        raise UnreadableError(f"it cannot be written as JSON ({type(error).__name__})") from None


def _named(value: Any, default: Callable[[Any], Any]) -> Any:
    """The value with names that can be compared: JSON writes a number as its text."""
    try:
        json.dumps(value, sort_keys=True, default=default)
    except TypeError:
        return json.loads(json.dumps(value, default=default))
    return value


def encoded(text: str) -> bytes:
    """A text as bytes, also where it holds half a surrogate pair, which JSON allows and UTF-8 does not."""
    return text.encode("utf-8", "surrogatepass")


def as_bytes(source: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A source whose base64 under a name is bytes: these are told apart and weighed by themselves."""
    data = source.get(name)
    return {**source, name: encoded(data)} if isinstance(data, str) else source


def rewritten(request: Mapping[str, Any], touched: Touched, rewrite: Callable[..., Any]) -> dict[str, Any]:
    """A copy of the request with its system prompt and messages rewritten, where they are touched.

    Args:
        request: It stays as it is, and so does every list inside it.
        touched: The lists to look at; None: all.
        rewrite: Gives a list anew, from its layer, the path of what holds it, and itself.
    """
    out = dict(request)
    if request.get("system") and is_touched(touched, "system"):
        out["system"] = rewrite("system", (), request["system"])
    if request.get("messages"):
        out["messages"] = with_content(
            request["messages"], touched, lambda i, content: rewrite("messages", (i,), content)
        )
    return out


def is_touched(touched: Touched, *place: str | int) -> bool:
    """Whether a list is to be looked at."""
    return touched is None or place in touched


def with_content(messages: Sequence[Any], touched: Touched, rewrite: Callable[[int, Any], Any]) -> list[Any]:
    """The messages, those touched as copies with other content."""
    out = list(messages)
    places = range(len(out)) if touched is None else [p[1] for p in touched if p[0] == "messages"]
    for i in map(int, places):
        if out[i].get("content"):
            out[i] = {**out[i], "content": rewrite(i, out[i]["content"])}
    return out


def is_text(text: str) -> bool:
    """Whether a text is one behind which a checkpoint may stand.

    Empty text can't be cached (Anthropic's prompt caching docs, 2026-11; the least length in
    botocore's SystemContentBlock is 1).
    """
    return bool(text) and not text.isspace()


def effort_settings(fields: Any) -> str:
    """The thinking and effort settings in one normal form; empty where they are the default."""
    if not fields:
        return ""
    known = fields_of(fields)
    live = {k: v for k in _EFFORT_FIELDS if (v := normal(known.get(k)))}
    return as_json(live, in_order=True) if live else ""


def normal(value: Any) -> Any:
    """A setting in one normal form; empty where it is the default."""
    if value == "high":
        return None
    if not isinstance(value, Mapping):
        return value
    if value.get("type") == "disabled":
        return None
    return {str(k): v for k, v in value.items() if not (k == "effort" and v == "high")}
