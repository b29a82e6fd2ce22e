"""Tokens from bytes: estimated per model, calibrated by the usage that comes back.

No Claude tokenizer is public; the best calibrator is the previous response's own usage.
"""

from collections.abc import Sequence
from typing import NamedTuple

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


class Sizes(NamedTuple):
    """Cumulative tokens by block, estimated; exact at the deepest block of which usage has told.

    Attributes:
        bytes: Cumulative bytes by block.
        ratio: Bytes per token, behind what was told.
        told: The bytes of what was told; 0: nothing was.
        tokens: Its tokens.
    """

    bytes: Sequence[int]
    ratio: float
    told: int = 0
    tokens: int = 0

    def at(self, index: int) -> int:
        """Tokens of the prefix that ends at a block."""
        size = self.bytes[index]
        if self.told and size <= self.told:
            return int(size * self.tokens / self.told)
        return self.tokens + int((size - self.told) / self.ratio)

    def reaches(self, index: int, minimum: int) -> bool:
        """Whether the prefix that ends here may be as large as the minimum."""
        return self.at(index) * ESTIMATE_MARGIN >= minimum


def sizes(prefix: Prefix, view: View, rules: ModelRules, learned: Counts | None) -> Sizes:
    """Cumulative tokens by block.

    Args:
        prefix: The request.
        view: What is known of it.
        rules: The model's row; its ratio holds where nothing was learned.
        learned: What `measured` gave for the model, added up.
    """
    count = None if learned is None else learned.by_name.get(RATIO)
    ratio = rules.bytes_per_token if count is None or not count.tries else count.hits / count.tries
    known = view.sized
    if known is None or not prefix.sizes[known[0]]:
        return Sizes(prefix.sizes, ratio)
    return Sizes(prefix.sizes, ratio, prefix.sizes[known[0]], known[1])


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
