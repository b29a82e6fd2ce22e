"""A call without its text: what is kept of a record, in columns.

Digests have a key that is made anew for each run and is written nowhere: what stands in a file of the engine
tells nothing about a prompt.
"""

import json
from array import array
from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate, pairwise
from math import inf
from typing import Any, NamedTuple

from cachepoint.cli.audit.formats.logged import Logged, UnusableError
from cachepoint.cli.audit.heads import packed
from cachepoint.cli.lines import MOST
from cachepoint.core.accounting import pricing
from cachepoint.core.accounting.diagnosis.said import AtHand
from cachepoint.core.accounting.money import plus, tidy
from cachepoint.core.accounting.pricing import PriceList, tier_of
from cachepoint.core.accounting.sent import Sent
from cachepoint.core.accounting.usage import Usage
from cachepoint.core.models.rules import ModelRules, known_as, rules_for
from cachepoint.core.placement.planner import by_hand
from cachepoint.core.placement.question import Question
from cachepoint.core.policy import CachePolicy
from cachepoint.core.prompt.dialects import DIALECTS
from cachepoint.core.prompt.dialects.reading import Reading, UnreadableError
from cachepoint.core.prompt.digests import Digester, Memo
from cachepoint.core.prompt.prefix import Prefix, RawBlock
from cachepoint.reporting.rows import Row

_AS_SENT = CachePolicy(split="off", documents="off")
_DAY = 86_400.0
# What a file has shown; beyond that it is shown once more.
_HEADS = 100_000
# Many conversations take turns in a file.
_MEMO_BYTES = 64 << 20
# Stands for the dialect of what a report of ours tells.
REPORT = "report"
# What stands for a block among `roles`: its layer, of a message whose it is; any other role is one of text.
_LAYERS = {"tools": "T", "system": "S"}
_WHOSE = {"user": "u", "assistant": "a", "system": "s"}
_READ = (ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError)


class Print(NamedTuple):
    """A call without its text. Tokens, seconds since 1970, US dollars as text; None where it is not known.

    `own` and `short` are the first eight bytes of the digest of each block by itself and of each prefix,
    `sizes` cumulative bytes; `paths`, `kinds` and `roles` say where blocks stand; `marks` are blocks with a
    checkpoint, and whether for an hour, `barred` those that take none; `turns` and `kin` by what the request
    is known. `head` is what tools and system prompt are made of, where the file had not shown them yet. What
    a report of ours found stands in `cause`, `where`, `lost` and `conversation`. `place` is file and line.
    """

    at: float
    model: str
    priced_as: str
    identity: str
    region: str
    account: str
    tier: str | None
    fresh: int | None
    read: int | None
    write: int | None
    write_5m: int | None
    write_1h: int | None
    output: int
    cost: str | None
    full: str | None
    lag: float
    first_token: float | None
    dialect: str | None = None
    own: bytes = b""
    short: bytes = b""
    sizes: bytes = b""
    paths: bytes = b""
    kinds: str = ""
    roles: str = ""
    marks: bytes = b""
    barred: bytes = b""
    turns: bytes = b""
    kin: bytes = b""
    setting_names: str = ""
    settings: bytes = b""
    seed: bytes = b""
    parts: bytes = b""
    heads: int = 0
    rewritten: str = ""
    summary: bool = False
    head: str | None = None
    cause: str | None = None
    where: str | None = None
    lost: int | None = None
    conversation: str | None = None
    place: str = ""

    @property
    def usage(self) -> Usage | None:
        """Its tokens; None where the log does not say."""
        if self.fresh is None:
            return None
        return Usage(self.fresh, self.output, self.read, self.write, self.write_5m, self.write_1h)


class Printer:
    """Makes prints of the calls of one file.

    Args:
        key: The key of the digests, the same for all files of a run.
    """

    def __init__(self, key: bytes) -> None:
        self._digester = Digester(key, Memo(_MEMO_BYTES, age=inf))
        self._heads: set[bytes] = set()

    def of(self, call: Logged, place: str = "") -> Print:
        """The print of a call.

        Args:
            call: The call.
            place: Its file and line.

        Raises:
            UnusableError: Where its request can't be read.
        """
        priced_as = known_as(call.model, call.base)
        plain = {**_plain(call, priced_as), "place": _shown(place)}
        if call.row is not None:
            return Print(**plain | _told(call.row, call.sent))
        if call.request is None:
            return Print(**plain)
        rules = rules_for(priced_as)
        try:
            reading: Reading = DIALECTS[call.dialect].read(call.request, rules)
            return Print(**plain, **self._said(call, reading, rules))
        except (UnreadableError, *_READ):
            raise UnusableError("its request is of another type") from None

    def _said(self, call: Logged, reading: Reading, rules: ModelRules) -> dict[str, Any]:
        question = Question(
            reading=reading,
            digester=self._digester,
            namespace=call.account,
            api=call.dialect,
            region=call.region,
            model=call.model,
            rules=rules,
            policy=_AS_SENT,
            now=call.at,
        )
        cut = question.cut({})
        prefix, raw = cut.prefix.marked_by_itself(reading.automatic), cut.split.raw
        hand = by_hand(prefix, reading.slots)
        longs = [i for i in hand if prefix.hand[i].ttl == "1h" and "1h" in rules.ttls]
        said = AtHand(raw)
        rewritten = [(i - prefix.head, said.rewriting(i)) for i in range(prefix.head, len(raw))]
        blocks = prefix.blocks
        return {
            "dialect": call.dialect,
            "own": prefix.own,
            "short": prefix.short,
            "sizes": array("Q", prefix.sizes).tobytes(),
            "paths": array("H", [min(n, 65_535) for b in blocks for n in (b.path[0], b.path[-1])]).tobytes(),
            "kinds": json.dumps([b.kind for b in blocks]),
            "roles": "".join([_LAYERS.get(b.layer) or _WHOSE.get(b.role, "o") for b in blocks]),
            "marks": array("I", [2 * i + (i in longs) for i in hand]).tobytes(),
            "barred": array("I", prefix.barred).tobytes(),
            "turns": joined(question.turns(cut)),
            "kin": joined(question.kin(prefix)),
            "setting_names": json.dumps([name for name, _ in question.settings]),
            "settings": b"".join([digest for _, digest in question.settings]),
            "seed": prefix.settings,
            "parts": b"".join(prefix.parts),
            "heads": prefix.head,
            "rewritten": ",".join([f"{i}:{what}" for i, what in rewritten if what is not None]),
            "summary": said.asks_for_summary,
            "head": self._head(prefix, raw),
        }

    def _head(self, prefix: Prefix, raw: Sequence[RawBlock]) -> str | None:
        key = prefix.parts[0] + prefix.parts[1]
        if not prefix.head or key in self._heads:
            return None
        if len(self._heads) >= _HEADS:
            self._heads.clear()
        self._heads.add(key)
        return packed(self._digester.head(prefix, raw), raw[: prefix.head])


def _plain(call: Logged, priced_as: str) -> dict[str, Any]:
    usage, tier = call.usage, tier_of(call.request)
    if usage is not None and usage.input_tokens + usage.output_tokens >= MOST:
        raise UnusableError("its counts cannot be")
    cost = full = None
    if usage is not None and (prices := _prices(priced_as, call.at // _DAY, tier)) is not None:
        rates = prices.at(usage.input_tokens)
        spent = (rates.amounts(one) for one in (usage, pricing.uncached(usage)))
        cost, full = (None if one is None else tidy(one.total) for one in spent)
    return {
        "at": call.at,
        "model": _shown(call.model),
        "priced_as": _shown(priced_as),
        "identity": _shown(call.identity),
        "region": _shown(call.region),
        "account": _shown(call.account),
        "tier": None if tier is None else _shown(tier),
        "fresh": None if usage is None else usage.uncached_tokens,
        "read": None if usage is None else usage.read_tokens,
        "write": None if usage is None else usage.write_tokens,
        "write_5m": None if usage is None else usage.write_5m_tokens,
        "write_1h": None if usage is None else usage.write_1h_tokens,
        "output": 0 if usage is None else usage.output_tokens,
        "cost": None if cost is None else str(cost),
        "full": None if full is None else str(full),
        "lag": call.lag,
        "first_token": call.first_token,
    }


@lru_cache(maxsize=4_096)
def _prices(priced_as: str, day: float, tier: str | None) -> PriceList | None:
    """What a model cost on a day, by the days since 1970."""
    return pricing.prices(priced_as, day * _DAY, tier)


def _shown(text: str) -> str:
    """A name as it can be written down; half a surrogate pair cannot."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _told(row: Row, sent: Sent | None) -> dict[str, Any]:
    """What a report says beside its usage."""
    full = None if row.cost is None or row.saved is None else plus(row.cost, row.saved)
    told = {
        "dialect": REPORT,
        "priced_as": _shown(row.priced_as),
        "tier": row.tier and _shown(row.tier),
        "cost": None if row.cost is None else str(row.cost),
        "full": None if full is None else str(full),
        "cause": row.cause and _shown(row.cause),
        "where": row.where and _shown(row.where),
        "lost": row.lost,
        "conversation": row.conversation and _shown(row.conversation),
    }
    if sent is None:
        return told
    return told | {
        "short": sent.digests,
        "sizes": array("Q", sent.sizes).tobytes(),
        "marks": array("I", [2 * i for i in sent.points]).tobytes(),
        "barred": array("I", sent.barred).tobytes(),
    }


def joined(parts: Sequence[bytes]) -> bytes:
    """Byte strings in one: the number and lengths of them first, four bytes each."""
    return array("I", [len(parts), *map(len, parts)]).tobytes() + b"".join(parts)


def apart(whole: bytes) -> list[bytes]:
    """What `joined` joined."""
    (count,) = array("I", whole[:4])
    start = 4 + 4 * count
    ends = accumulate(array("I", whole[4:start]), initial=start)
    return [whole[start:end] for start, end in pairwise(ends)]
