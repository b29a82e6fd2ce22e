"""What the tokens of many calls say besides money."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from statistics import median

from cachepoint.core.accounting.usage import Usage


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
    """Median seconds to the first token of a stream; None where there was no such call."""

    hits: float | None
    misses: float | None

    def words(self) -> Iterator[str]:
        """What is known, in words."""
        for kind, seconds in (("hits", self.hits), ("misses", self.misses)):
            if seconds is not None:
                yield f"streams began after {seconds:.2f} s (median of {kind})"


def first_tokens(calls: Iterable[tuple[Usage, float | None]]) -> FirstTokens:
    """How soon streams began that read from the cache, and those that did not.

    Args:
        calls: The usage of each call and its seconds to the first token; None where that was not timed.
    """
    timed = [(bool(usage.read_tokens), seconds) for usage, seconds in calls if seconds is not None]
    by = {hit: [seconds for was, seconds in timed if was is hit] for hit in (True, False)}
    return FirstTokens(*(median(by[hit]) if by[hit] else None for hit in (True, False)))
