"""Tokens from bytes: estimated per model, calibrated by the usage that comes back.

No Claude tokenizer is public; the best calibrator is the previous response's own usage
(bedrock-facts §5).
"""

from collections import OrderedDict

from cachepoint.core.accounting.usage import Usage
from cachepoint.core.memory.mirror import View
from cachepoint.core.models.rules import ModelRules
from cachepoint.core.placement.planner import Sizes
from cachepoint.core.prompt.prefix import Prefix

# Texts differ in density, so one usage moves the ratio by a third; a tokenizer outside these
# bounds was never seen.
_STEP = 0.3
_BOUNDS = (1.5, 8.0)
# Below this many bytes fixed overheads drown the ratio.
_MIN_BYTES = 2_000


class Scale:
    """Bytes per token, by model. Bounded: the `capacity` models used last."""

    def __init__(self, capacity: int = 256) -> None:
        self._ratios: OrderedDict[str, float] = OrderedDict()
        self._capacity = capacity

    def sizes(self, prefix: Prefix, view: View, model: str, rules: ModelRules) -> Sizes:
        """Cumulative tokens by block: exact up to the deepest prefix that usage has told."""
        ratio = self._ratios.get(model, rules.bytes_per_token)
        known = view.sized
        if known is None:
            return Sizes(tuple([int(size / ratio) for size in prefix.sizes]))
        index, tokens = known
        base = prefix.sizes[index]
        share = tokens / base if base else 0.0
        return Sizes(
            (
                *[int(size * share) for size in prefix.sizes[: index + 1]],
                *[tokens + int((size - base) / ratio) for size in prefix.sizes[index + 1 :]],
            )
        )

    def learn(self, prefix: Prefix, usage: Usage, model: str, rules: ModelRules) -> None:
        """Move the model's ratio towards what this call measured."""
        if not prefix.sizes or prefix.sizes[-1] < _MIN_BYTES or not usage.input_tokens:
            return
        low, high = _BOUNDS
        seen = min(max(prefix.sizes[-1] / usage.input_tokens, low), high)
        old = self._ratios.get(model, rules.bytes_per_token)
        self._ratios[model] = old + _STEP * (seen - old) if model in self._ratios else seen
        self._ratios.move_to_end(model)
        while len(self._ratios) > self._capacity:
            self._ratios.popitem(last=False)
