"""Tokens from bytes: estimated per model, calibrated by the usage that comes back.

No Claude tokenizer is public; the best calibrator is the previous response's own usage.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from cachepoint.core.memory.counts import Count, Counts
from cachepoint.core.models.rules import ModelRules
from cachepoint.core.placement.view import View
from cachepoint.core.prompt.prefix import Prefix

# A checkpoint below the minimum is ignored and free; one that is missing costs nine tenths of the
# prefix. So the gate errs by as much as a size estimate may be off (10-20 %).
ESTIMATE_MARGIN = 1.15
RATIO = "bytes per token"
# Texts differ in density, so the mean is over the last few calls; a tokenizer outside these bounds
# was never seen.
_FADE = 4.0
_BOUNDS = (1.5, 8.0)
# Below this many bytes fixed overheads drown the ratio.
_MIN_BYTES = 2_000


@dataclass(frozen=True, slots=True)
class Sizes:
    """Cumulative tokens by block index, estimated, exact where usage has told."""

    tokens: tuple[int, ...] = field(default_factory=tuple)

    def reaches(self, index: int, minimum: int) -> bool:
        """Whether the prefix that ends here may be as large as the minimum."""
        return self.tokens[index] * ESTIMATE_MARGIN >= minimum


def sizes(prefix: Prefix, view: View, rules: ModelRules, learned: Counts | None) -> Sizes:
    """Cumulative tokens by block: exact up to the deepest prefix that usage has told.

    Args:
        prefix: The request.
        view: What is known of it.
        rules: The model's row; its ratio holds where nothing was learned.
        learned: What `measured` gave for the model, added up.
    """
    count = None if learned is None else learned.by_name.get(RATIO)
    ratio = rules.bytes_per_token if count is None or not count.tries else count.hits / count.tries
    known = view.sized
    if known is None:
        return Sizes(tuple([int(size / ratio) for size in prefix.sizes]))
    index, tokens = known
    base = prefix.sizes[index]
    share = tokens / base if base else 0.0
    inner = [int(size * share) for size in prefix.sizes[: index + 1]]
    return Sizes((*inner, *[tokens + int((size - base) / ratio) for size in prefix.sizes[index + 1 :]]))


def measured(sizes: Sequence[int], input_tokens: int) -> Counts | None:
    """What one answer says of the model's bytes per token; None where it says nothing.

    Args:
        sizes: Cumulative bytes by block.
        input_tokens: All input tokens of the call.
    """
    if not sizes or sizes[-1] < _MIN_BYTES or not input_tokens:
        return None
    low, high = _BOUNDS
    return Counts({RATIO: Count(min(max(sizes[-1] / input_tokens, low), high), 1.0)}, _FADE)
