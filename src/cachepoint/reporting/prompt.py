"""One request as the cache sees it, drawn before it is sent: its blocks, their sizes, its checkpoints."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

from cachepoint.core import options
from cachepoint.core.cache import PromptCache
from cachepoint.core.call import Call
from cachepoint.core.drawing import html
from cachepoint.core.drawing.words import counted
from cachepoint.core.guard import InvalidOptionError
from cachepoint.core.models.rules import ModelRules, known_as, rules_for, shown
from cachepoint.core.placement.planner import Plan
from cachepoint.core.policy import PolicyLike
from cachepoint.core.prompt.dialects import DIALECTS, dialect_of
from cachepoint.core.prompt.digests import Digester
from cachepoint.core.prompt.prefix import Prefix

# What has more blocks than this is drawn in stretches.
_MOST = 24
_WIDTH = 20
# The key of digests that nobody sees.
_KEY = b"cachepoint.show"


class Stretch(NamedTuple):
    """Blocks that follow one another, with no checkpoint but behind the last.

    Attributes:
        where: The place of the first one, and of the last.
        what: Their kind, as `user text`.
        colour: That of their layer.
        blocks: How many they are.
        tokens: Their tokens, estimated.
        upto: Tokens up to their end, estimated.
        checkpoint: What stands behind the last one: its TTL and its reason.
    """

    where: str
    what: str
    colour: str
    blocks: int
    tokens: int
    upto: int
    checkpoint: str | None


@dataclass(frozen=True, repr=False)
class Picture:
    """What `cachepoint.show` draws: `print` it, or let a notebook show it. It holds no prompt text.

    Attributes:
        model_id: The id that would be called.
        rules: The model's row.
        stretches: The blocks, in cache order.
        plan: The checkpoints, each with its reason.
        tokens: Estimated input tokens.
        expected: What the memory says of it, in a sentence; empty where it knows nothing.
    """

    model_id: str
    rules: ModelRules
    stretches: tuple[Stretch, ...]
    plan: Plan
    tokens: int
    expected: str = ""

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        """A line for each block, as wide as its share of the tokens, in ASCII."""
        return "\n".join((*self._said, *self._lines()))

    def _repr_html_(self) -> str:
        """For a notebook: the prompt as a bar with its checkpoints, and a row for each block."""
        first, *more = self._said
        parts = (html.Part(s.colour, s.tokens, f"{s.where}, about {s.tokens:,}") for s in self.stretches)
        rows = [(s.where, s.what, f"{s.tokens:,}", s.checkpoint or "") for s in self.stretches]
        return html.fragment(
            first,
            *map(html.line, more),
            html.rail(
                [(100 * s.upto / max(self.tokens, 1), s.checkpoint) for s in self.stretches if s.checkpoint]
            ),
            html.bar(parts),
            html.legend(dict.fromkeys((s.colour, s.colour) for s in self.stretches)),
            html.table(rows, ("block", "kind", "tokens", "checkpoint behind it")),
        )

    @property
    def _said(self) -> tuple[str, ...]:
        blocks = sum(s.blocks for s in self.stretches)
        size = f"about {counted(self.tokens, 'token')} in {counted(blocks, 'block')}"
        allows = f"{self.rules.name} caches from {self.rules.min_tokens:,} tokens on"
        why = f"no checkpoint: {self.plan.note}" if self.plan.note and not any(self._marks) else ""
        return (
            f"{shown(self.model_id)}: {size}",
            *filter(None, (allows if self.rules.caches else "", why, self.expected)),
        )

    @property
    def _marks(self) -> Iterator[tuple[float, str]]:
        """Where checkpoints stand, in per cent of the tokens, and what they are."""
        for s in self.stretches:
            if s.checkpoint:
                yield 100 * s.upto / max(self.tokens, 1), s.checkpoint

    def _lines(self) -> Iterator[str]:
        wide = max((len(s.where) for s in self.stretches), default=0)
        kinds = max((len(s.what) for s in self.stretches), default=0)
        for s in self.stretches:
            bar = "#" * round(_WIDTH * s.tokens / max(self.tokens, 1))
            yield f"  {s.where:<{wide}}  {s.what:<{kinds}} {s.tokens:>9,}  {bar}".rstrip()
            if s.checkpoint:
                yield f"  ---- checkpoint {s.checkpoint}, {s.upto:,} tokens up to here"


def show(
    request: Mapping[str, Any],
    model_id: str | None = None,
    *,
    dialect: str | None = None,
    policy: PolicyLike = None,
    cache: PromptCache | None = None,
) -> Picture:
    """Draw a request as the cache sees it, with the checkpoints that it would be sent with.

    Nothing is sent, and nothing is remembered. Tokens are estimated from bytes.

    Example:
        .. code-block:: python

            cachepoint.show(request, model_id="us.anthropic.claude-sonnet-4-6")   # in a notebook
            print(cachepoint.show(request, model_id="us.anthropic.claude-sonnet-4-6"))

    Args:
        request: The keyword arguments of `client.converse`, or the body of an InvokeModel request; it stays
            as it is.
        model_id: The model where `request` has no `modelId`, or the base model behind an ARN.
        dialect: `"converse"`; of InvokeModel, `"messages"` (Anthropic's bodies) or `"nova"`. None: as the
            request looks.
        policy: The policy of this call.
        cache: The `PromptCache` whose memory says what Bedrock holds. None: it is drawn as a first call.

    Returns:
        What prints as lines, and as a picture in a notebook.

    Raises:
        ValueError: Where no model is named, a dialect or an option is unknown, or it is no request.
    """
    options.refuse_no_request(request)
    if not isinstance(cache, PromptCache | None):
        raise InvalidOptionError(f"cache is of {type(cache)!r}; give a PromptCache, or leave it out")
    form = dialect or (dialect_of(request) if request.get("messages") else "converse")
    planned: list[Call] = []

    def kept(call: Call) -> Call:
        planned.append(call)
        return call

    asked = PromptCache() if cache is None else cache
    seen = asked.outlook(request, model_id, dialect=form, policy=policy, finish=kept)
    rules = rules_for(known_as(seen.model_id, model_id))
    # The first one is of now, the next one of when all has expired. None: the request is left alone.
    call = next(iter(planned), None)
    if call is None or call.case is None:
        prefix = _as_it_is(request, form, rules)
        plan = Plan(note=seen.note)
    else:
        prefix, plan = call.case.prefix, call.plan
    tokens = seen.input_tokens or 0
    left = "" if seen.seconds_left is None else f" for {seen.seconds_left:.0f} s more"
    expected = f"warm{left}: about {seen.read_tokens:,} tokens would be read" if seen.state == "warm" else ""
    return Picture(seen.model_id, rules, tuple(_stretches(prefix, plan, tokens)), plan, tokens, expected)


def _as_it_is(request: Mapping[str, Any], dialect: str, rules: ModelRules) -> Prefix:
    reading = DIALECTS[dialect].read(request, rules)
    return Digester(_KEY).prefix(reading.raw, seed=b"", orphans=reading.orphans)


def _stretches(prefix: Prefix, plan: Plan, tokens: int) -> Iterator[Stretch]:
    marks = _marks(prefix, plan)
    ends = _ends(prefix, set(marks))
    upto = [0, *(_upto(prefix, end, tokens) for end in ends)]
    for (first, end), (before, after) in zip(pairwise([0, *ends]), pairwise(upto), strict=True):
        one = _stretch(prefix, first, end - 1)
        yield one._replace(tokens=after - before, upto=after, checkpoint=marks.get(end - 1))


def _marks(prefix: Prefix, plan: Plan) -> Mapping[int, str]:
    """By block, the checkpoint behind it. A request that is left alone goes out with the caller's."""
    ours = {c.index: f"{c.ttl} ({c.reason})" for c in plan.checkpoints}
    hand = {i: f"{mark.ttl or '5m'} (hand)" for i, mark in prefix.hand.items()}
    return ours or hand


def _ends(prefix: Prefix, marks: set[int]) -> Sequence[int]:
    """Where a stretch ends: at each block; of many, at a checkpoint, and where a layer does."""
    blocks = prefix.blocks
    if len(blocks) <= _MOST:
        return range(1, len(blocks) + 1)
    layers = {i for i, (one, other) in enumerate(pairwise(blocks)) if one.layer != other.layer}
    return [i + 1 for i in range(len(blocks)) if i in marks or i in layers or i == len(blocks) - 1]


def _upto(prefix: Prefix, end: int, tokens: int) -> int:
    """Tokens up to the end of so many blocks: their share of the bytes."""
    return round(tokens * prefix.sizes[end - 1] / max(prefix.sizes[-1], 1))


def _stretch(prefix: Prefix, first: int, last: int) -> Stretch:
    one, other = prefix.blocks[first], prefix.blocks[last]
    blocks = last - first + 1
    where = one.where if blocks == 1 else f"{one.where} to {other.where}"
    what = " ".join(filter(None, (one.role, one.kind))) if blocks == 1 else f"{blocks} blocks"
    messages = one.role or "user"
    return Stretch(where, what, one.layer if one.layer != "messages" else messages, blocks, 0, 0, None)
