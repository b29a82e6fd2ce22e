"""Front ends that put what changes ahead of what stays.

`ContextChatEngine`, `CondensePlusContextChatEngine` and `Memory` with memory blocks put the retrieved or
remembered text in front of the system prompt (`chat_engine/utils.py::get_prefix_messages_with_context`,
`memory.py::_insert_memory_content`, llama-index-core 0.14.25). From its first byte on nothing of such a
request comes back. Where the part that stays begins is known where retrieved texts were announced, and
else learned: it is the longest ending that texts with different fronts share.
"""

import json
import logging
import re
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from hashlib import blake2b
from itertools import compress
from typing import Any

from llama_index.core.chat_engine.condense_plus_context import (
    DEFAULT_CONTEXT_PROMPT_TEMPLATE,
    DEFAULT_CONTEXT_REFINE_PROMPT_TEMPLATE,
)
from llama_index.core.chat_engine.context import DEFAULT_REFINE_TEMPLATE

from cachepoint.core.accounting import pricing
from cachepoint.core.accounting.usage import Usage
from cachepoint.core.cache import Call
from cachepoint.core.forks import ForkSafeLock
from cachepoint.core.models.rules import ModelRules
from cachepoint.core.policy import CachePolicy
from cachepoint.core.prompt.documents import retrieved
from cachepoint.llama_index.points import point, without_points
from cachepoint.shaping.relocating import relocated

logger = logging.getLogger("cachepoint")

# A write at 1.25 of the input price that is read at 0.1 (Bedrock's price list, Claude, 5m) costs 0.25 more
# than no cache and saves 0.9 + 0.25 where it is read: it pays where it comes back this often.
WORTH = 0.25 / 1.15
_DIGEST = 16
# Two prompts that end alike may be two agents that take turns; a third makes it a front that changes.
_TWO = 2
# So many lines of a text are told apart one by one, those at its end; before them, endings are that much
# longer than the next shorter one.
_LINES = 2_048
_GRAIN = 256
_SAYS = re.compile(r"\w")
# What the engines' own templates say behind the retrieved text.
_TAILS = tuple(
    tail
    for template in (
        DEFAULT_CONTEXT_PROMPT_TEMPLATE,
        DEFAULT_CONTEXT_REFINE_PROMPT_TEMPLATE,
        DEFAULT_REFINE_TEMPLATE,
    )
    if (tail := template.rpartition("}")[2].strip(" \n-"))
)


@dataclass(slots=True)
class _Seen:
    """Of one ending: how many different texts had it, how often one of them came again.

    `whole` says that it was a text of its own, `told` that the user knows of it, `at` when it was seen last.
    """

    at: float
    texts: int = 0
    again: int = 0
    whole: bool = False
    told: bool = False


@dataclass(frozen=True, slots=True)
class Ending:
    """The part of a system text that stays, while what is in front of it changes.

    `start` is its index in the text; `changing` says that fronts come back too rarely to be worth a
    write; `first` that this was not said before.
    """

    start: int
    changing: bool
    first: bool


class SystemTexts:
    """Learns which endings system texts share. Keeps keyed digests and counts, no text.

    Safe under threads and forks.

    Args:
        capacity: How many endings to keep, those used last. One takes about 250 bytes.
        max_age: Seconds after which an ending that was not seen again is forgotten.
        clock: Seconds.
    """

    def __init__(
        self,
        capacity: int = 20_000,
        max_age: float = 86_400.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._capacity = capacity
        self._max_age = max_age
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._seen: OrderedDict[bytes, _Seen] = OrderedDict()
        self._lock = ForkSafeLock()

    def see(
        self, text: str, smallest: int, *, scope: str = "", retrieved_to: int = 0, learn: bool = True
    ) -> Ending | None:
        """Learn from a text, and say where the part of it begins that stays.

        Args:
            text: The system text of one call.
            smallest: Bytes; a shorter ending is not worth a checkpoint.
            scope: Texts are held against others of the same scope.
            retrieved_to: Where the retrieved texts in it end; 0: it holds none that are known.
            learn: Whether it is remembered; else it is said what would be said, and nothing changes.

        Returns:
            None where nothing is known to change in front of a part that stays.
        """
        path = [(digest, start) for digest, start, size in self._endings(text, scope) if size >= smallest]
        if not path:
            return None
        with self._lock:
            self._forget()
            counts = [self._seen.get(digest) for digest, _ in path]
            again = counts[-1] is not None and counts[-1].whole
            at = _behind(path, retrieved_to) if retrieved_to else _fork(counts)
            count = self._count if learn else self._counted
            seen = [count(digest, again=again) for digest, _ in path]
            seen[-1].whole = True
            if at is None or not (retrieved_to or seen[at].texts > _TWO):
                return None
            changing = seen[at].again < WORTH * seen[at].texts
            first = changing and not seen[0].told
            seen[0].told = seen[0].told or changing
        return Ending(_first_word(text, path[at][1]), changing, first)

    def __len__(self) -> int:
        return len(self._seen)

    def _endings(self, text: str, scope: str) -> Iterator[tuple[bytes, int, int]]:
        """Digest, start and bytes of the endings that begin a line, the shortest first.

        Where one begins depends on what is behind it alone, so texts that end alike have the same ones.
        """
        chain = blake2b(scope.encode("utf-8", "surrogatepass"), key=self._key, digest_size=_DIGEST)
        end, size, count = len(text), 0, 0
        while end:
            least = 1 if count < _LINES else (len(text) - end) // _GRAIN + 1
            start = text.rfind("\n", 0, max(end - least, 0)) + 1
            piece = text[start:end].encode("utf-8", "surrogatepass")
            chain.update(len(piece).to_bytes(8, "big") + piece)
            size, count, end = size + len(piece), count + 1, start
            yield chain.digest(), start, size

    def _forget(self) -> None:
        """Drop what is too old; those seen last stand last."""
        oldest = self._clock() - self._max_age
        while self._seen and next(iter(self._seen.values())).at < oldest:
            self._seen.popitem(last=False)

    def _counted(self, digest: bytes, *, again: bool) -> _Seen:
        """What is known of an ending, one more counted, aside from what is kept."""
        known = self._seen.get(digest) or _Seen(self._clock())
        return replace(known, texts=known.texts + (not again), again=known.again + again)

    def _count(self, digest: bytes, *, again: bool) -> _Seen:
        seen = self._seen[digest] = self._counted(digest, again=again)
        seen.at = self._clock()
        self._seen.move_to_end(digest)
        while len(self._seen) > self._capacity:
            self._seen.popitem(last=False)
        return seen


def _fork(counts: list[_Seen | None]) -> int | None:
    """The shortest ending that more texts share than share the next longer one.

    A longer ending may be shared by chance, as where the same passage was retrieved last.
    """
    texts = [0 if seen is None else seen.texts for seen in counts]
    return next((i for i in range(len(texts) - 1) if texts[i] > texts[i + 1]), None)


def _behind(path: list[tuple[bytes, int]], end: int) -> int | None:
    """The longest ending that begins behind a place."""
    return max((i for i, (_, start) in enumerate(path) if start >= end), default=None)


def _first_word(text: str, start: int) -> int:
    """Where the ending's own words begin: separators and the end of a template stay with the front."""
    at = _word(text, start)
    for tail in _TAILS:
        if text.startswith(tail, at):
            return _word(text, at + len(tail))
    return at


def _word(text: str, start: int) -> int:
    """Where the first line begins that says something, behind its indentation."""
    whole = start if not start or text[start - 1] == "\n" else text.find("\n", start) + 1
    found = _SAYS.search(text, whole) if whole >= start else None
    if found is None:
        return start
    line = max(text.rfind("\n", whole, found.start()) + 1, whole)
    return line + len(indented := text[line : found.start()]) - len(indented.lstrip(" \t"))


@dataclass(frozen=True, slots=True)
class Arranged:
    """A request, and how many of its first system blocks stay (None: all, as far as is known)."""

    request: dict[str, Any]
    stays: int | None = None


def arrange(
    request: Mapping[str, Any],
    texts: SystemTexts,
    rules: ModelRules,
    policy: CachePolicy,
    model: str,
    endpoint: str,
    *,
    learn: bool = True,
) -> Arranged:
    """Find what stays of a request whose system prompt changes in front.

    Args:
        request: What upstream made; it stays as it is.
        texts: What was learned.
        rules: The row of the model.
        policy: With `reorder="stable_first"` the part that stays goes first, as a block of its own
            with a checkpoint behind it; with `relocate="learned"` what changes goes behind the newest
            message.
        model: The id to price what is said.
        endpoint: What is called: its cache is another than that of other endpoints and Regions.
        learn: Whether it teaches anything, and anything is said.
    """
    system = request.get("system") or []
    # More than one block, or a checkpoint of the caller's, is an order that somebody chose.
    if len(system) != 1 or "text" not in system[0]:
        return Arranged(dict(request))
    text = system[0]["text"]
    spans = [] if policy.documents == "shared" else retrieved.spans(text)
    ending = texts.see(
        text,
        int(rules.min_tokens * rules.bytes_per_token),
        scope=f"{endpoint}|{_tools(request)}",
        retrieved_to=spans[-1][1] if spans else 0,
        learn=learn,
    )
    if ending is None:
        return Arranged(dict(request))
    if policy.relocate == "learned" and ending.changing:
        moved = relocated(request, lambda _: ((0, ending.start),))
        if moved is not request:
            return Arranged(dict(moved))
    if policy.reorder == "off":
        if ending.first and learn:
            _tell(text[ending.start :], rules, model)
        return Arranged(dict(request), 0 if ending.changing else None)
    stable, front = text[ending.start :], text[: ending.start]
    ordered = [{"text": stable}, point(policy.first_ttl), {"text": front}]
    return Arranged({**request, "system": ordered}, 1 if ending.changing else None)


def _tools(request: Mapping[str, Any]) -> str:
    """What tells agents apart whose system prompts end alike."""
    tools = (request.get("toolConfig") or {}).get("tools")
    return "" if not tools else json.dumps(tools, sort_keys=True, default=repr)


def _tell(stable: str, rules: ModelRules, model: str) -> None:
    tokens = int(len(stable.encode("utf-8", "surrogatepass")) / rules.bytes_per_token)
    share = 1 - rules.multipliers.get("read", 0.1)
    full = pricing.cost(Usage(uncached_tokens=tokens), model, time.time())
    read = pricing.cost(Usage(read_tokens=tokens), model, time.time())
    money = "" if full is None or read is None else f", about {full - read:.4f} US dollars"
    logger.warning(
        "the system prompt changes in front and stays behind (a context chat engine or memory blocks put "
        "text ahead of it), so nothing of it can be read from the cache and no checkpoint is paid for; "
        'CachePolicy(reorder="stable_first") would read the %d tokens that stay (estimated) and save '
        "%.0f %% of their price on every call%s. It changes the order that the model sees",
        tokens,
        100 * share,
        money,
    )


def spared(call: Call, stays: int | None) -> Call:
    """The call without the checkpoints that nothing will read; those placed by hand stay.

    Args:
        call: What `PromptCache.prepare` planned.
        stays: How many of the first system blocks come back; None: all, as far as is known.
    """
    case = call.case
    if case is None or stays is None:
        return call
    blocks = case.prefix.blocks
    keeps = [
        c.reason == "hand"
        or blocks[c.index].layer == "tools"
        or (blocks[c.index].layer == "system" and blocks[c.index].path < (stays,))
        for c in call.plan.checkpoints
    ]
    if all(keeps):
        return call
    kept = tuple(compress(call.plan.checkpoints, keeps))
    plan = replace(call.plan, checkpoints=kept, note=None if kept else "the system prompt changes in front")
    request = without_points(call.request, iter(keeps))
    return replace(call, plan=plan, case=replace(case, plan=plan), request=request)


__all__ = ["Arranged", "Ending", "SystemTexts", "arrange", "spared"]
