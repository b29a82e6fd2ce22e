"""What is wrong with a request as far as the cache goes: a table of rules, each a function of it."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, NamedTuple

from cachepoint.cli.check.saved import Saved
from cachepoint.core.cache import PromptCache
from cachepoint.core.models.rules import MAX_CHECKPOINTS
from cachepoint.core.placement.planner import Plan
from cachepoint.core.placement.sizes import ESTIMATE_MARGIN
from cachepoint.core.prompt.anatomy import tool_fields, tool_name, written
from cachepoint.core.prompt.cuts import CLOCKS
from cachepoint.core.prompt.moved import kind_inside
from cachepoint.core.prompt.prefix import Mark, RawBlock, place

Level = Literal["error", "warning", "note"]

# Measured on Bedrock: 21 added blocks still hit, 22 miss (CacheCanary 0.4.0, 2026-10).
LOOKBACK = 21
_MOVE = "Move it behind the last checkpoint, into the newest message."
_SORT = "Sort them by name where they are collected."


class Rule(NamedTuple):
    """A rule, for people and for SARIF."""

    name: str
    level: Level
    says: str


class Finding(NamedTuple):
    """One thing that is wrong: its rule, its place in the request, what it is and what to do.

    `refusal` is what Bedrock answers, where it refuses the request for it.
    """

    rule: Rule
    where: str
    what: str
    remedy: str
    refusal: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**self._asdict(), "rule": self.rule.name, "level": self.rule.level}


@dataclass(frozen=True)
class Checked:
    """A request with what the library makes of it.

    Attributes:
        saved: The request.
        tokens: Estimated tokens up to the end of each block.
        plan: The checkpoints that the library would send it with, as a first call.
    """

    saved: Saved
    tokens: tuple[int, ...]
    plan: Plan

    @classmethod
    def of(cls, saved: Saved) -> "Checked":
        """That of a request."""
        call = PromptCache().prepare(
            saved.request, saved.model, dialect=saved.dialect, policy={"split": "off"}
        )
        return cls(saved, tuple(_estimated(saved)), call.plan)

    @property
    def raw(self) -> list[RawBlock]:
        """Its blocks, in cache order."""
        return self.saved.reading.raw

    @property
    def marked(self) -> list[tuple[int, Mark]]:
        """The caller's checkpoints, by block."""
        return [(i, b.mark) for i, b in enumerate(self.raw) if b.mark is not None]

    @property
    def last(self) -> int:
        """The block of the caller's last checkpoint, or of the library's where there is none; -1: none."""
        return max([i for i, _ in self.marked] or [c.index for c in self.plan.checkpoints], default=-1)

    def where(self, index: int) -> str:
        """A block's place in the request."""
        return place(self.raw[index].layer, self.raw[index].path)


def _estimated(saved: Saved) -> Iterator[int]:
    size = 0
    for block in saved.reading.raw:
        size += len(written(block.payload).encode("utf-8", "surrogatepass"))
        yield int(size / saved.rules.bytes_per_token)


Found = Iterator[Finding]

UNSUPPORTED = Rule("model-takes-none", "error", "The model takes no checkpoints.")
TOO_MANY = Rule("too-many-checkpoints", "error", "A request has at most four checkpoints.")
NOTHING = Rule("nothing-to-cache", "error", "A checkpoint has something before it in its own list.")
MISPLACED = Rule("misplaced-checkpoint", "error", "A checkpoint stands where the model takes one.")
TTL_ORDER = Rule("ttl-order", "error", "A checkpoint of an hour stands before all of five minutes.")
TTL_UNKNOWN = Rule("ttl-unknown", "error", "The model knows the TTL that is asked for.")
VOLATILE = Rule("volatile-prefix", "warning", "What changes by the call stands behind the last checkpoint.")
DATED = Rule("date-in-prefix", "note", "A date ahead of a checkpoint ends its entries once a day.")
NEVER_READ = Rule("never-read", "warning", "A checkpoint ends a prefix that can come back.")
SHORT = Rule("below-minimum", "warning", "A checkpoint ends a prefix that is long enough for the model.")
SMALL = Rule("too-short", "note", "The prompt is long enough to be cached.")
UNSORTED = Rule("unsorted-tools", "note", "Tools are in one order in every process, as that of their names.")
FAR = Rule("beyond-lookback", "warning", "The next checkpoint is within the lookback of the last entry.")


def findings(checked: Checked) -> list[Finding]:
    """All that is wrong with a request, errors first."""
    found = [finding for rule in _CHECKS for finding in rule(checked)]
    return sorted(found, key=lambda finding: LEVELS.index(finding.rule.level))


LEVELS: tuple[Level, ...] = ("error", "warning", "note")


def _unsupported(checked: Checked) -> Found:
    rules = checked.saved.rules
    if rules.caches or not checked.marked:
        return
    # Llama 3.3, Mistral Large and DeepSeek R1 on Converse (litellm#39210, 2026-09).
    refusal = (
        "You invoked an unsupported model or your request did not allow prompt caching. See the "
        "documentation for more information."
    )
    yield Finding(
        UNSUPPORTED, checked.where(checked.marked[0][0]), f"{rules.name} takes none", "Leave it out.", refusal
    )


def _too_many(checked: Checked) -> Found:
    marks, automatic = checked.marked, checked.saved.reading.automatic is not None
    count = len(marks) + automatic
    if count > MAX_CHECKPOINTS:
        refusal = f"A maximum of 4 blocks with cache_control may be provided. Found {count}."
        where = checked.where(marks[MAX_CHECKPOINTS - automatic][0])
        yield Finding(TOO_MANY, where, f"{count} checkpoints", "Leave out those in the middle.", refusal)


def _orphans(checked: Checked) -> Found:
    if checked.saved.reading.orphans:
        # strands harness-sdk#3677, vercel/ai#19851, 2026.
        refusal = "There is nothing available to cache. Please remove the invalid cache point and try again."
        what = f"{checked.saved.reading.orphans} with nothing before it in its list"
        yield Finding(NOTHING, "request", what, "Put it behind what it is to cache.", refusal)


# By kind of block: rig#1673, 2026-03; strands#1966, 2026-02.
_BEHIND = {
    "reasoningContent": (
        "Cache point cannot be inserted after reasoning block. Please remove the invalid cache point and "
        "try again."
    ),
    "document": "messages.0.content.1.type: Field required",
}


def _misplaced(checked: Checked) -> Found:
    rules = checked.saved.rules
    for index, mark in checked.marked if rules.caches else ():
        block, where = checked.raw[index], checked.where(index)
        if block.layer not in rules.fields:
            # LibreChat#13838, 2025: Nova's tools.
            refusal = "Malformed input request: extraneous key [cachePoint] is not permitted"
            yield Finding(
                MISPLACED, where, f"{rules.name} takes none in {block.layer}", "Leave it out.", refusal
            )
        elif not mark.stays:
            what = f"it stands behind {block.kind}"
            yield Finding(MISPLACED, where, what, "Put it behind the text before.", _BEHIND.get(block.kind))


def _ttl(mark: Mark) -> str:
    return mark.ttl or "5m"


def _ttl_order(checked: Checked) -> Found:
    for (_, one), (index, other) in pairwise(checked.marked):
        if (_ttl(one), _ttl(other)) == ("5m", "1h"):
            where = checked.where(index)
            refusal = (
                f"{where}: a ttl='1h' cache_control block must not come after a ttl='5m' cache_control "
                "block. Note that blocks are processed in the following order: `tools`, `system`, `messages`."
            )
            yield Finding(TTL_ORDER, where, "1h behind 5m", "Give those before it 1h as well.", refusal)
            return


def _ttl_unknown(checked: Checked) -> Found:
    rules = checked.saved.rules
    for index, mark in checked.marked if rules.caches else ():
        if mark.ttl and mark.ttl not in rules.ttls:
            what = f"{mark.ttl!r}; {rules.name} knows {', '.join(rules.ttls)}"
            yield Finding(TTL_UNKNOWN, checked.where(index), what, "Ask for one that it knows.")


def _volatile(checked: Checked) -> Found:
    for index, line, kind in _changing(checked):
        if index > checked.last:
            return
        rule = DATED if kind == "a date" else VOLATILE
        yield Finding(rule, checked.where(index), f"{kind} in line {line}", _MOVE)


def _changing(checked: Checked) -> Iterator[tuple[int, int, str]]:
    """Lines of tools and system prompt that look as if they change by the call: block, line, what."""
    for index, block in enumerate(checked.raw):
        if block.layer == "messages":
            return
        for line, text in enumerate(_said(block).splitlines(), 1):
            if kind := _clock(text) or kind_inside(text):
                yield index, line, kind


def _clock(line: str) -> str | None:
    return next((kind for kind, pattern in CLOCKS if pattern.search(line)), None)


def _said(block: RawBlock) -> str:
    if block.layer == "tools":
        return "\n".join(v for v in tool_fields(block.payload).values() if isinstance(v, str))
    return block.payload if isinstance(block.payload, str) else ""


def _never_read(checked: Checked) -> Found:
    changing = [index for index, _, kind in _changing(checked) if kind != "a date"]
    first = min(changing, default=None)
    for index, _ in checked.marked:
        if first is not None and index >= first:
            what = f"what it ends changes by the call at {checked.where(first)}"
            yield Finding(NEVER_READ, checked.where(index), what, "Put one in front of what changes.")


def _short(checked: Checked) -> Found:
    rules = checked.saved.rules
    if not rules.caches or not checked.tokens:
        return
    if checked.tokens[-1] * ESTIMATE_MARGIN < rules.min_tokens:
        what = f"about {checked.tokens[-1]:,} tokens; {rules.name} caches from {rules.min_tokens:,} on"
        yield Finding(SMALL, "request", what, "Nothing, or put what is stable in front, such as examples.")
    for index, _ in checked.marked:
        if checked.tokens[index] * ESTIMATE_MARGIN < rules.min_tokens:
            what = f"about {checked.tokens[index]:,} tokens up to it; {rules.name} needs {rules.min_tokens:,}"
            yield Finding(SHORT, checked.where(index), what, "Leave it out, or put it further back.")


def _unsorted(checked: Checked) -> Found:
    names = [tool_name(b.payload) for b in checked.raw if b.layer == "tools"]
    for index, (one, other) in enumerate(pairwise(names), 1):
        if other < one:
            yield Finding(UNSORTED, f"tools[{index}]", f"{other!r} behind {one!r}", _SORT)
            return


def _far(checked: Checked) -> Found:
    """The first checkpoint behind where the turn before ended is too far behind it to read that entry."""
    ended = len(checked.raw) - 1
    for is_answer in (False, True):
        while ended >= 0 and (checked.raw[ended].role == "assistant") is is_answer:
            ended -= 1
    behind = [i for i, _ in checked.marked if i >= ended >= 0 and checked.raw[ended].layer == "messages"]
    if behind and behind[0] - ended > LOOKBACK:
        what = f"{behind[0] - ended} blocks behind where the turn before ended; {LOOKBACK} are looked back"
        yield Finding(FAR, checked.where(behind[0]), what, "Put another where the turn before ended.")


_CHECKS: tuple[Callable[[Checked], Found], ...] = (
    _unsupported,
    _too_many,
    _orphans,
    _misplaced,
    _ttl_order,
    _ttl_unknown,
    _volatile,
    _never_read,
    _short,
    _unsorted,
    _far,
)
RULES: Mapping[str, Rule] = {
    rule.name: rule
    for rule in (
        *(UNSUPPORTED, TOO_MANY, NOTHING, MISPLACED, TTL_ORDER, TTL_UNKNOWN, VOLATILE, DATED),
        *(NEVER_READ, SHORT, SMALL, UNSORTED, FAR),
    )
}
