"""Probes that wait for nothing."""

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from cachepoint.cli.probe.asking import (
    HOUR,
    POINT,
    SHORTEST,
    Answer,
    Ask,
    Finding,
    Lab,
    Request,
    Steps,
    asked,
    in_system,
    user,
)

# Nova keeps no longer prefix (AWS model cards, 2026-10), and no model has a larger minimum.
_MOST_TOKENS = 20_000
_MOST_BLOCKS = 256
# So many misses count, of entries that were there; so many entries are tried.
_MISSES = 2
_TRIES = 6

Asking = Generator[Ask | Finding, Answer, Any]


def minimum(lab: Lab) -> Steps:
    """How many tokens a prefix needs to be kept: bisection over the length of a text."""
    high, wrote = yield from _long_enough(lab)
    if wrote is None:
        return
    lab.chars = _roomy(high)
    tail, size = wrote.uncached, wrote.size
    low = SHORTEST
    yield Finding("min_tokens", None, "between", 0, size)
    least = yield from _written(lab, low)
    if least.write:
        yield Finding("min_tokens", None, "between", 0, least.size, "the shortest text was kept")
        return
    unkept = least.total - tail
    while high - low > 1 and size - unkept > 1:
        yield Finding("min_tokens", None, "between", unkept, size)
        middle = (low + high) // 2
        answer = yield from _written(lab, middle)
        if answer.write:
            high, size = middle, answer.size
        else:
            low, unkept = middle, answer.total - tail
    lab.chars = _roomy(high)
    exact = size - unkept <= 1
    note = "" if exact else "no text of this run had a size in between"
    yield Finding("min_tokens", size, "found" if exact else "between", unkept, size, note)


def _roomy(chars: int) -> int:
    return chars + chars // 20 + 80


def sized(lab: Lab) -> Steps:
    """A text that is surely kept, where the minimum is not asked for."""
    chars, wrote = yield from _long_enough(lab)
    if wrote is not None:
        lab.chars = _roomy(chars)


def _long_enough(lab: Lab) -> Asking:
    chars = int(max(lab.rules.min_tokens, 64) * lab.rules.bytes_per_token * 1.15) + SHORTEST
    while True:
        answer = yield from _written(lab, chars)
        if answer.write:
            return chars, answer
        if answer.refused or answer.total * 2 > _MOST_TOKENS:
            why = "a checkpoint is refused" if answer.refused else f"{answer.total:,} tokens were not kept"
            yield Finding(
                "min_tokens", None, "refused" if answer.refused else "unknown", answer.total, note=why
            )
            return chars, None
        chars *= 2


def _written(lab: Lab, chars: int) -> Generator[Ask | Finding, Answer, Answer]:
    """Whether a text of this length is kept; that it is not is asked twice."""
    for _ in range(_MISSES):
        answer = yield Ask(in_system(lab.text(chars)))
        if answer.write or answer.refused:
            break
    return answer


@dataclass(frozen=True, slots=True)
class Pair:
    """A request that leaves an entry, and one that may read it."""

    write: Request
    read: Request


def share(make: Callable[[], Pair]) -> Generator[Ask | Finding, Answer, "float | str | None"]:
    """How much of an entry another request reads, 0 to 1.

    That it reads less is believed where the entry was there: the request that wrote it reads it afterwards.

    Returns:
        The error's code where the second request is refused; None where no entry stayed.
    """
    misses, most = 0, 0.0
    for _ in range(_TRIES):
        pair = make()
        wrote = yield Ask(pair.write)
        if wrote.refused:
            return None
        if not wrote.size:
            continue
        got = yield Ask(pair.read)
        if got.refused:
            return got.refused
        if not got.total:
            continue
        part = min(1.0, got.read / wrote.size)
        if part > _WHOLE:
            return 1.0
        again = yield Ask(pair.write)
        if again.read > _WHOLE * wrote.size:
            misses, most = misses + 1, max(most, part)
        if misses == _MISSES:
            return most
    return None


_WHOLE = 0.9
_NO_ENTRY = "no entry stayed long enough to be read"


def lookback(lab: Lab) -> Steps:
    """How many blocks may lie between an entry and the checkpoint that reads it."""
    low, high = 0, max(1, min(_MOST_BLOCKS, lab.rules.lookback + 5))
    while True:
        got = yield from share(partial(_further, lab, high))
        if not isinstance(got, float):
            yield Finding("lookback", None, "unknown", low, note=_NO_ENTRY)
            return
        if got < _WHOLE:
            break
        if high == _MOST_BLOCKS:
            yield Finding("lookback", None, "between", high, note="longer was not asked")
            return
        low, high = high, min(2 * high, _MOST_BLOCKS)
    while high - low > 1:
        yield Finding("lookback", None, "between", low, high - 1)
        middle = (low + high) // 2
        got = yield from share(partial(_further, lab, middle))
        if not isinstance(got, float):
            yield Finding("lookback", None, "unknown", low, high - 1, _NO_ENTRY)
            return
        low, high = (middle, high) if got > _WHOLE else (low, middle)
    yield Finding("lookback", low, low=low, high=low)


def _further(lab: Lab, blocks: int) -> Pair:
    first = {"text": lab.text()}
    added = [{"text": lab.text(SHORTEST)} for _ in range(blocks)]
    return Pair(asked([], [user(first, POINT)]), asked([], [user(first, *added, POINT)]))


def documents(lab: Lab) -> Steps:
    """Whether a document apart from its question shares an entry with both in one text."""
    yield from _shared("documents_read_whole", lambda: _split(lab, reverse=False))
    yield from _shared("whole_reads_documents", lambda: _split(lab, reverse=True))


def _split(lab: Lab, *, reverse: bool) -> Pair:
    text, question = lab.text(), "\n\nWhat did the keeper write down?"
    whole = asked([], [user({"text": text + question}, POINT)])
    apart = asked([], [user({"text": text}, POINT, {"text": question})])
    return Pair(apart, whole) if reverse else Pair(whole, apart)


def backfill(lab: Lab) -> Steps:
    """Whether a checkpoint ahead of what is read leaves an entry of its own."""

    def make() -> Pair:
        text, tail = {"text": lab.text()}, {"text": lab.text()}
        return Pair(asked([text], [user(tail, POINT)]), asked([text, POINT], [user(tail, POINT)]))

    for _ in range(_TRIES):
        pair = make()
        first = yield Ask(pair.write)
        second = yield Ask(pair.read)
        if second.read <= _WHOLE * first.size:
            continue
        text = pair.read["system"][0]["text"]
        third = yield Ask(in_system(text))
        yield Finding("backfill", bool(third.read))
        return
    yield Finding("backfill", None, "unknown", note=_NO_ENTRY)


def ttl_in_key(lab: Lab) -> Steps:
    """Whether 1h is honoured, and whether an entry of 5m is read by a checkpoint of 1h."""
    if "1h" not in lab.rules.ttls:
        return
    wrote = yield Ask(in_system(lab.text(), HOUR))
    if wrote.refused or wrote.write_1h is None:
        said = "no cacheDetails were told" if not wrote.refused else wrote.refused
        yield Finding("honours_1h", None, "refused" if wrote.refused else "unknown", note=said)
    else:
        yield Finding("honours_1h", wrote.write_1h > 0)

    def make() -> Pair:
        text = lab.text()
        return Pair(in_system(text), in_system(text, HOUR))

    yield from _shared("ttl_in_key", make, turned=True)


def _shared(name: str, make: Callable[[], Pair], *, turned: bool = False) -> Steps:
    got = yield from share(make)
    if isinstance(got, float):
        yield Finding(name, (got > _WHOLE) != turned)
    elif got is None:
        yield Finding(name, None, "unknown", note=_NO_ENTRY)
    else:
        yield Finding(name, None, "refused", note=got)


def settings(lab: Lab) -> Steps:
    """What each setting throws away of a prompt with a checkpoint in its system and in its messages."""
    for name, changes in SETTINGS.items():
        yield from _setting(lab, f"loses_{name}", changes)
    if lab.guardrail is not None:
        ident, version = lab.guardrail
        config = {"guardrailIdentifier": ident, "guardrailVersion": version}
        yield from _setting(lab, "loses_guard", (lambda base: _guarded(base, config),))


def _setting(lab: Lab, name: str, changes: "tuple[Change, ...]") -> Steps:
    for change in changes:
        got = yield from share(partial(_changed, lab, change))
        if not isinstance(got, str):
            break
    if got is None:
        yield Finding(name, None, "unknown", note=_NO_ENTRY)
    elif isinstance(got, str):
        yield Finding(name, None, "refused", note=got)
    else:
        yield Finding(name, "nothing" if got > _WHOLE else "messages" if got > _PART else "everything")


# The system prompt is as long as the turn behind it.
_PART = 0.25


def _changed(lab: Lab, change: "Change") -> Pair:
    base = asked([{"text": lab.text()}, POINT], [user({"text": lab.text()}, POINT, {"text": "Say yes."})]) | {
        "toolConfig": {"tools": [_TOOL]}
    }
    return Pair(base, change(base))


Change = Callable[[Request], Request]
_TOOL: Request = {
    "toolSpec": {
        "name": "answer",
        "description": "Takes the answer.",
        "inputSchema": {"json": {"type": "object", "properties": {"text": {"type": "string"}}}},
    }
}
_THOUGHT = 1_024
_SCHEMA = (
    '{"type":"object","properties":{"text":{"type":"string"}},"required":["text"],'
    '"additionalProperties":false}'
)


def _with(**more: Any) -> Change:
    return lambda base: {**base, **more}


def _extra(fields: Request, tokens: int = 1) -> Change:
    return _with(additionalModelRequestFields=fields, inferenceConfig={"maxTokens": tokens})


def _choice(base: Request) -> Request:
    return {**base, "toolConfig": {**base["toolConfig"], "toolChoice": {"any": {}}}}


def _guarded(base: Request, config: Request) -> Request:
    text, point, question = base["messages"][0]["content"]
    guarded = {"guardContent": {"text": question}}
    return {**base, "messages": [user(text, point, guarded)], "guardrailConfig": config}


# The second is asked where the first is refused: newer models think as they see fit, not up to a budget.
SETTINGS: Mapping[str, tuple[Change, ...]] = {
    "thinking": (
        _extra({"thinking": {"type": "enabled", "budget_tokens": _THOUGHT}}, _THOUGHT + 1),
        _extra({"thinking": {"type": "adaptive"}}, _THOUGHT + 1),
    ),
    "effort": (_extra({"output_config": {"effort": "low"}}),),
    "schema": (
        _with(
            outputConfig={
                "textFormat": {
                    "type": "json_schema",
                    "structure": {"jsonSchema": {"schema": _SCHEMA, "name": "answer"}},
                }
            }
        ),
    ),
    "tool_choice": (_choice,),
}
