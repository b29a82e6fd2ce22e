"""What a request would read, write and cost if it were sent now: what is known of it, and what is assumed."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal, NamedTuple

from cachepoint.core.accounting import pricing
from cachepoint.core.accounting.money import dollars, for_json
from cachepoint.core.accounting.usage import Usage
from cachepoint.core.drawing.words import counted
from cachepoint.core.guard import InvalidOptionError
from cachepoint.core.models.rules import ModelRules
from cachepoint.core.placement.decision import Decision
from cachepoint.core.placement.planner import Plan
from cachepoint.core.placement.sizes import Sizes

State = Literal["warm", "cold", "unknown"]

_SIZES = "tokens beyond the reported ones are estimated from bytes"
_STATES = {
    "warm": "Bedrock still holds what it was last seen to hold: it may evict it, or route the call elsewhere",
    "cold": "no call wrote it that this memory was not told of",
    "unknown": "nothing is known to be cached: a call that this memory was not told of may have written it",
}
_ALSO = "the other model is sent the same request"


@dataclass(frozen=True, slots=True)
class Outlook:
    """What is expected of a request before it is sent. Nothing was sent or remembered for it.

    Nothing here is what Bedrock reported, but for `reported_tokens`; None is what is not known.

    Attributes:
        model_id: The id that would be called.
        state: `"warm"`: an entry lives, as far as is known, and the call would read it. `"cold"`: the stream
            is known, as a call went through the same prefix or part of it, and nothing can be read: its
            entries have expired, were never written, are being written only now, or stand where no lookback
            reaches. `"unknown"`: nothing is remembered of such a prefix, or the request is left alone;
            then `note` says why.
        now: Seconds, by the cache's clock.
        until: Until when the entry lives that would be read, in seconds by that clock; each read renews it.
            None unless warm.
        input_tokens: All input tokens.
        read_tokens: Those that are read; None where the state is unknown.
        write_tokens: Those that are written; None where the state is unknown.
        reported_tokens: How many of `input_tokens` Bedrock counted itself, in an earlier call with the same
            prefix. The rest is estimated from bytes, and from how many of them earlier calls had per token.
        price_now: US dollars for the input, sent now; None where the state or a price is unknown.
        price_cold: US dollars for the input, sent when nothing of it is cached any more, with the checkpoints
            that it would get then.
        note: Why nothing is read, why it would get no checkpoint, or why it is left alone; None where there
            is no more to say.
        assumed: What is taken for granted, in sentences.
        also: The same for the other model that was named.
    """

    model_id: str
    state: State = "unknown"
    now: float | None = None
    until: float | None = None
    input_tokens: int | None = None
    read_tokens: int | None = None
    write_tokens: int | None = None
    reported_tokens: int | None = None
    price_now: Decimal | None = None
    price_cold: Decimal | None = None
    note: str | None = None
    assumed: tuple[str, ...] = ()
    also: "Outlook | None" = None

    @property
    def uncached_tokens(self) -> int | None:
        """Input tokens that are neither read nor written; None where the state is unknown."""
        if self.input_tokens is None or self.read_tokens is None or self.write_tokens is None:
            return None
        return self.input_tokens - self.read_tokens - self.write_tokens

    @property
    def expires(self) -> datetime | None:
        """`until` as a time in UTC; None unless warm, or where the clock does not count from 1970."""
        return pricing.date_of(self.until)

    @property
    def seconds_left(self) -> float | None:
        """Seconds from `now` until the entry expires; None unless warm."""
        return None if self.until is None or self.now is None else self.until - self.now

    @property
    def price_also(self) -> Decimal | None:
        """US dollars for the input on the other model, sent now.

        Where nothing is remembered of the request there, the price with nothing of it cached.
        """
        if self.also is None:
            return None
        return self.also.price_cold if self.also.state == "unknown" else self.also.price_now

    def as_dict(self) -> dict[str, Any]:
        """For JSON; money in US dollars, as numbers."""
        prices = {name: for_json(getattr(self, name)) for name in ("price_now", "price_cold", "price_also")}
        expires, also = self.expires, self.also
        return {
            **asdict(self),
            **prices,
            "uncached_tokens": self.uncached_tokens,
            "expires": None if expires is None else expires.isoformat(timespec="milliseconds"),
            "assumed": list(self.assumed),
            "also": None if also is None else also.as_dict(),
        }

    def __str__(self) -> str:
        return "\n".join(_lines(self))


class Named(NamedTuple):
    """What is called, what it is priced as, and when: seconds, None where the clock gives no time."""

    model_id: str
    priced_as: str
    now: float | None
    tier: str | None

    def price(self, usage: Usage) -> Decimal | None:
        """US dollars; None where no price is known."""
        return pricing.cost(usage, self.priced_as, self.now, self.tier)


def refuse_also(also: object) -> None:
    """Refuse what names no model.

    Raises:
        InvalidOptionError: Where it is no text, or an empty one.
    """
    if also is not None and not (isinstance(also, str) and also):
        raise InvalidOptionError(f"also is {also!r}; give the id of a model")


def gone_at(decision: Decision) -> float:
    """When the last entry of a request has expired, in seconds; now where none lives."""
    view = decision.view
    # To the second what comes back then counts as back in time.
    return max((view.entries[i].expires + 1 for i in view.live), default=view.now)


def outlook(named: Named, decision: Decision, plan: Plan, cold: Plan) -> Outlook:
    """What is expected of a request.

    Args:
        named: What is called.
        decision: What would be decided now.
        plan: The checkpoints that it would be sent with.
        cold: Those that it would be sent with when nothing of it is cached.
    """
    state, sizes, rules = _state(decision, plan), decision.sizes, decision.rules
    now, then = _usage(plan, sizes, rules), _usage(cold, sizes, rules)
    known = state != "unknown"
    reach = plan.expected_from
    return Outlook(
        model_id=named.model_id,
        state=state,
        now=named.now,
        until=None if reach is None else decision.view.entries[reach].expires,
        input_tokens=now.input_tokens,
        read_tokens=now.read_tokens if known else None,
        write_tokens=now.write_tokens if known else None,
        reported_tokens=min(sizes.tokens, now.input_tokens),
        price_now=named.price(now) if known else None,
        price_cold=named.price(then),
        note=None if state == "warm" else _why(decision, plan),
        assumed=_assumed(state, sizes, now),
    )


def aside(named: Named, tokens: int, why: str, *, uncached: bool) -> Outlook:
    """Of a request that is left alone.

    Args:
        named: What is called.
        tokens: Its size.
        why: Why it is left alone.
        uncached: Whether nothing of it is cached in any case.
    """
    price = named.price(Usage(uncached_tokens=tokens)) if uncached else None
    return Outlook(
        model_id=named.model_id,
        now=named.now,
        input_tokens=tokens,
        reported_tokens=0,
        price_cold=price,
        note=why,
        assumed=(_SIZES,),
    )


def with_also(here: Outlook, there: Outlook) -> Outlook:
    """An outlook, with that of the other model."""
    return replace(here, also=there, assumed=(*here.assumed, _ALSO))


def _state(decision: Decision, plan: Plan) -> State:
    if plan.expected_from is not None:
        return "warm"
    return "cold" if decision.view.entries else "unknown"


def _usage(plan: Plan, sizes: Sizes, rules: ModelRules) -> Usage:
    """The input as Bedrock would count it. A checkpoint below the minimum writes nothing."""
    read = plan.expected_read_tokens or 0
    total = max(read, sizes.at(-1) if sizes.bytes else 0)
    reach = -1 if plan.expected_from is None else plan.expected_from
    new = [c for c in plan.checkpoints if c.index > reach and c.tokens >= rules.min_tokens]
    written, hour = (
        max(0, min(max((c.tokens for c in marks), default=0), total) - read)
        for marks in (new, [c for c in new if c.ttl == "1h"])
    )
    return Usage(total - read - written, 0, read, written, written - hour, hour)


def _why(decision: Decision, plan: Plan) -> str | None:
    view = decision.view
    if any(place.held(view.now) for place in view.entries.values()):
        return "another call is writing it"
    if view.anchor >= 0:
        return "an entry lives where no checkpoint's lookback reaches"
    return plan.note


def _assumed(state: State, sizes: Sizes, usage: Usage) -> tuple[str, ...]:
    return (*((_SIZES,) if sizes.tokens < usage.input_tokens else ()), _STATES[state])


def _lines(seen: Outlook) -> Iterator[str]:
    left = "" if seen.seconds_left is None else f" for {seen.seconds_left:.0f} s"
    yield f"{seen.model_id}: {seen.state}{left}{f' ({seen.note})' if seen.note else ''}"
    if seen.read_tokens is not None:
        yield (
            f"  {counted(seen.read_tokens, 'token')} to be read, {seen.write_tokens:,} written, "
            f"{seen.uncached_tokens:,} neither; {seen.reported_tokens:,} as reported, the rest estimated"
        )
    elif seen.input_tokens is not None:
        yield f"  {counted(seen.input_tokens, 'input token')}, estimated"
    yield f"  input now {dollars(seen.price_now)}, once cold {dollars(seen.price_cold)}"
    if seen.also is not None:
        yield f"  on {seen.also.model_id} ({seen.also.state}) {dollars(seen.price_also)}"
