"""What a call cost, saved or missed, and why."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from math import isfinite
from typing import Any, Literal

from cachepoint.core.accounting import pricing
from cachepoint.core.accounting.diagnosis import Miss
from cachepoint.core.accounting.money import for_json, minus, tidy
from cachepoint.core.accounting.plain import Plain
from cachepoint.core.accounting.sent import Sent
from cachepoint.core.accounting.told import pictured, told
from cachepoint.core.accounting.usage import Usage
from cachepoint.core.models.rules import ModelRules
from cachepoint.core.placement.planner import Plan

Kind = Literal["call", "refresh"]


@dataclass(frozen=True)
class CallReport(Plain):
    """One call. `usage` is what Bedrock reported, money what we computed from it, `plan` what we expected.

    It is a dict as well, that of `as_dict()`, so that what it lies in goes through `json.dumps`.

    Attributes:
        model_id: The id that was called.
        priced_as: The model whose prices hold; behind an ARN, the one that was named or resolved.
        rules: The row of the model.
        started: Seconds since 1970, by the cache's clock; None where that gave none.
        usage: The tokens; None where the response reported none.
        plan: The checkpoints that were sent, each with its reason.
        miss: Why it read less than it could have; None where it read all there was.
        conversation: Tells calls of one conversation from others: a keyed digest of its first message;
            None where no checkpoint was considered.
        seconds: From `prepare` to `settle`.
        first_token_seconds: To the first event of a stream; None where the call was none.
        tier: The service tier that prices follow, as `pricing.tier_of` finds it; None is the default one.
        kind: `"call"`, or `"refresh"` where it was made for nothing but to keep an entry alive: without a
            cache it would not have been made.
        kept_tokens: How many of the tokens that it read had expired without refreshes.
        sent: Digests and sizes of the blocks; None where no checkpoint was considered, and in copies.
    """

    model_id: str
    priced_as: str
    rules: ModelRules = field(repr=False)
    started: float | None
    usage: Usage | None
    plan: Plan
    miss: Miss | None
    conversation: str | None = None
    seconds: float | None = None
    first_token_seconds: float | None = None
    tier: str | None = None
    kind: Kind = "call"
    kept_tokens: int = 0
    sent: Sent | None = field(default=None, repr=False, compare=False)

    def __reduce__(self) -> tuple[Any, ...]:
        """Without what was sent: messages keep their reports, and are copied and stored again and again."""
        kind, (*values, _) = super().__reduce__()
        return kind, (*values, None)

    @property
    def cost(self) -> Decimal | None:
        """US dollars for input and output; None where price, service tier or usage is unknown."""
        return None if self.usage is None else self._priced(_split_as_planned(self.usage, self.plan))

    @property
    def uncached_cost(self) -> Decimal | None:
        """US dollars for the same tokens without a cache; of a refresh nothing."""
        without = None if self.usage is None else self._priced(pricing.uncached(self.usage))
        return without if self.kind == "call" or without is None else Decimal()

    @property
    def saved(self) -> Decimal | None:
        """US dollars saved against no caching; negative where a write premium did not pay (yet)."""
        cost, uncached = self.cost, self.uncached_cost
        return None if cost is None or uncached is None else tidy(minus(uncached, cost))

    @property
    def kept_saved(self) -> Decimal | None:
        """US dollars that refreshes saved this call: what they kept alive had been written again.

        What the refreshes cost is in reports of their own. None where that is nothing, or no price is known.
        """
        if not self.kept_tokens or self.usage is None:
            return None
        cost, could = self.cost, self._priced(_written_instead(self.usage, self.kept_tokens))
        return None if cost is None or could is None else tidy(minus(could, cost))

    @property
    def wasted(self) -> Decimal | None:
        """US dollars that the miss cost: what could have been read and was written or sent uncached.

        None where nothing was missed, or it is not known how much.
        """
        lost = None if self.miss is None else self.miss.tokens
        if not lost or self.usage is None:
            return None
        usage = _split_as_planned(self.usage, self.plan)
        cost, could = self._priced(usage), self._priced(_read_instead(usage, lost))
        return None if cost is None or could is None else tidy(minus(cost, could))

    def __str__(self) -> str:
        """A few lines for people: tokens, money, checkpoints, and the miss with its remedy."""
        return "\n".join(told(self))

    def _repr_html_(self) -> str:
        """For a notebook: tokens as a bar, money, checkpoints, the miss with its remedy. No prompt text."""
        return pictured(self)

    def _priced(self, usage: Usage) -> Decimal | None:
        return pricing.cost(usage, self.priced_as, self.started, self.tier)

    @property
    def input_units(self) -> float | None:
        """The input's cost in uncached input tokens: reads at 0.1, writes at 1.25, as the model's row says.

        None where usage or the model's multipliers are unknown.
        """
        return None if self.usage is None else input_units(self.usage, self.rules.multipliers)

    def as_dict(self) -> dict[str, Any]:
        """The report for JSON: figures and places, no prompt text. Money in US dollars, as numbers."""
        started = pricing.date_of(self.started)
        return {
            "model_id": self.model_id,
            "priced_as": self.priced_as,
            "conversation": self.conversation,
            "tier": self.tier,
            "kind": self.kind,
            "started": None if started is None else started.isoformat(timespec="milliseconds"),
            "duration_ms": _milliseconds(self.seconds),
            "first_token_ms": _milliseconds(self.first_token_seconds),
            "usage": None if self.usage is None else self.usage.as_dict(),
            "checkpoints": [
                {"where": c.where, "ttl": c.ttl, "reason": c.reason, "tokens": c.tokens}
                for c in self.plan.checkpoints
            ],
            "expected_read_tokens": self.plan.expected_read_tokens,
            "note": self.plan.note,
            "cost_usd": for_json(self.cost),
            "saved_usd": for_json(self.saved),
            "wasted_usd": for_json(self.wasted),
            "kept_tokens": self.kept_tokens,
            "kept_saved_usd": for_json(self.kept_saved),
            "miss": None if self.miss is None else self.miss.as_dict(),
        }


def input_units(usage: Usage, multipliers: Mapping[str, float]) -> float | None:
    """What input tokens cost, in units of one uncached input token.

    Args:
        usage: The tokens.
        multipliers: `read`, `write_5m`, `write_1h` of the input price, from the model's row.

    Returns:
        None where tokens were read or written and the row names no multiplier for them.
    """
    one_hour = usage.write_1h_tokens or 0
    counts = {
        "read": usage.read_tokens or 0,
        "write_5m": (usage.write_tokens or 0) - one_hour,
        "write_1h": one_hour,
    }
    if any(n and name not in multipliers for name, n in counts.items()):
        return None
    return usage.uncached_tokens + sum(n * multipliers.get(k, 0.0) for k, n in counts.items())


def _split_as_planned(usage: Usage, plan: Plan) -> Usage:
    """Writes that no response split by TTL (an old botocore drops it), split as they were asked for."""
    if not usage.write_tokens or usage.write_1h_tokens is not None:
        return usage
    deepest = max((c.tokens for c in plan.checkpoints if c.ttl == "1h"), default=0)
    if not deepest:
        return usage
    all_1h = plan.checkpoints[-1].ttl == "1h"
    hour = (
        usage.write_tokens if all_1h else min(usage.write_tokens, max(0, deepest - (usage.read_tokens or 0)))
    )
    return replace(usage, write_5m_tokens=usage.write_tokens - hour, write_1h_tokens=hour)


def _read_instead(usage: Usage, lost: int) -> Usage:
    """The usage if so many tokens had been read: those written for an hour first, which cost most."""
    left, counts = lost, {}
    for name in ("write_1h_tokens", "write_5m_tokens", "write_tokens", "uncached_tokens"):
        had = getattr(usage, name) or 0
        if name == "write_tokens" and usage.write_5m_tokens is not None:
            counts[name] = had - (lost - left)
            continue
        counts[name] = had - min(had, left)
        left -= min(had, left)
    known = {name: n for name, n in counts.items() if getattr(usage, name) is not None}
    return replace(usage, **known, read_tokens=(usage.read_tokens or 0) + lost - left)


def _written_instead(usage: Usage, kept: int) -> Usage:
    """The usage if so many of the tokens read had been written for five minutes."""
    more = min(kept, usage.read_tokens or 0)
    return replace(
        usage,
        read_tokens=(usage.read_tokens or 0) - more,
        write_tokens=(usage.write_tokens or 0) + more,
        write_5m_tokens=None if usage.write_5m_tokens is None else usage.write_5m_tokens + more,
    )


def _milliseconds(seconds: float | None) -> int | None:
    return None if seconds is None or not isfinite(seconds) else round(seconds * 1000)
