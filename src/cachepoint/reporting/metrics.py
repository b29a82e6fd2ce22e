"""What the tokens of many calls say besides money."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from statistics import median

from cachepoint.core.accounting.usage import Usage
from cachepoint.core.drawing.words import counted


def rewrite_factor(usages: Iterable[Usage]) -> float | None:
    """Written tokens over the largest context: how many times a conversation was written.

    1 is a conversation whose every token was written once. Ask it per conversation.

    Source: github.com/rajbos/ai-engineering-fluency#2024.

    Returns:
        None where no call had input or none says what it wrote.
    """
    seen = list(usages)
    largest = max((usage.input_tokens for usage in seen), default=0)
    written = [usage.write_tokens for usage in seen if usage.write_tokens is not None]
    return sum(written) / largest if largest and written else None


def quota_tokens(usage: Usage, output_burndown: int | None) -> int | None:
    """The tokens that a tokens-per-minute quota settles: input, writes, and output times its burndown.

    Reads do not count. Writes that no report mentioned count as none.

    Args:
        usage: The tokens of calls to one model.
        output_burndown: `ModelRules.output_burndown` of the model.

    Returns:
        None where the burndown is not known.

    Source: AWS user guide, quotas-token-burndown.html (2026-10).
    """
    if output_burndown is None:
        return None
    return usage.uncached_tokens + (usage.write_tokens or 0) + usage.output_tokens * output_burndown


@dataclass(frozen=True, slots=True)
class FirstTokens:
    """Median seconds to the first token of a stream; None where there was no such call.

    Attributes:
        hits: Of streams that read from the cache.
        misses: Of those that did not.
        hit_streams: How many read.
        miss_streams: How many did not.
        hit_tokens: The median of the input tokens of those that read; 0 where there were none.
        miss_tokens: The same of those that did not: where they are far apart, so are the seconds.
    """

    hits: float | None
    misses: float | None
    hit_streams: int = field(default=0, compare=False)
    miss_streams: int = field(default=0, compare=False)
    hit_tokens: int = field(default=0, compare=False)
    miss_tokens: int = field(default=0, compare=False)

    @property
    def sooner(self) -> float | None:
        """The share of the seconds that reading spared; negative where it began later; None: not known."""
        if self.hits is None or not self.misses:
            return None
        return 1 - self.hits / self.misses

    def words(self) -> Iterator[str]:
        """What was measured, in words: hits against fresh."""
        if self.hits is not None:
            yield f"{_began(self.hit_streams, 'read', self.hits, self.hit_tokens)} (medians)"
        if self.misses is not None:
            share = self.sooner
            word = "sooner" if share is None or share >= 0 else "later"
            against = "" if share is None else f"; those that read {abs(share):.0%} {word}"
            yield f"{_began(self.miss_streams, 'did not read', self.misses, self.miss_tokens)}{against}"


def _began(streams: int, did: str, seconds: float, tokens: int) -> str:
    size = counted(tokens, "input token")
    return f"{counted(streams, 'stream')} that {did} began after {seconds:.2f} s, of {size}"


def first_tokens(calls: Iterable[tuple[Usage, float | None]]) -> FirstTokens:
    """How soon streams began that read from the cache, and those that did not.

    Args:
        calls: The usage of each call and its seconds to the first token; None where that was not timed.
    """
    timed = [(usage, seconds) for usage, seconds in calls if seconds is not None]
    hits = [one for one in timed if one[0].read_tokens]
    misses = [one for one in timed if not one[0].read_tokens]
    return FirstTokens(
        _seconds(hits), _seconds(misses), len(hits), len(misses), _tokens(hits), _tokens(misses)
    )


def _seconds(timed: Sequence[tuple[Usage, float]]) -> float | None:
    return median(seconds for _, seconds in timed) if timed else None


def _tokens(timed: Sequence[tuple[Usage, float]]) -> int:
    return round(median(usage.input_tokens for usage, _ in timed)) if timed else 0
