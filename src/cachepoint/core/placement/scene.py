"""One request as it is decided on: what it holds, what is known of it, and what holds for it."""

from dataclasses import dataclass

from cachepoint.core.models.rules import ModelRules
from cachepoint.core.once import once
from cachepoint.core.placement.landmarks import Landmarks, opening
from cachepoint.core.placement.sizes import Sizes
from cachepoint.core.placement.view import View
from cachepoint.core.policy import CachePolicy
from cachepoint.core.prompt.prefix import Ends, Prefix


@dataclass(frozen=True)
class Scene:
    """One request as it is decided on.

    `scope` stands for endpoint, API and model, `conversation` for what begins with the same message;
    `parts` is the block at which it parts from the request before it, None: nothing is known of one; `lost`
    is how many blocks of that one stood behind.
    `elsewhere` says that the request before it went to another model, `forced` that the model has to call a
    tool.
    """

    prefix: Prefix
    view: View
    sizes: Sizes
    rules: ModelRules
    policy: CachePolicy
    scope: bytes
    conversation: bytes = b""
    parts: int | None = None
    lost: int = 0
    elsewhere: bool = False
    forced: bool = False

    @once
    def landmarks(self) -> Landmarks:
        """Where its parts end."""
        return Landmarks.of(self.prefix)

    @once
    def gone(self) -> int:
        """How many blocks at its end the request before had for itself alone: they stand in no history.

        A clock behind the newest message, a text that a guardrail looks at, passages that are not kept.
        """
        previous = self.landmarks.previous
        if self.parts is None or previous is None or self.prefix.fleeting:
            return 0
        return self.lost if opening(self.prefix, previous) <= self.parts + 1 <= previous + 1 else 0

    @once
    def stays(self) -> int | None:
        """The last block of the newest message that will stand in the history, where not all will."""
        previous, blocks = self.landmarks.previous, self.prefix.blocks
        if not self.gone or self.parts != previous:
            return None
        i = len(blocks) - 1 - self.gone
        return i if i >= opening(self.prefix, len(blocks) - 1) and blocks[i].markable else None

    def ending(self, what: Ends) -> list[int]:
        """The blocks at which it ends."""
        return [i for i, ends in self.prefix.ends.items() if ends == what]

    def takes(self, index: int) -> bool:
        """Whether Bedrock would hold what a checkpoint behind a block ends."""
        if not self.prefix.blocks[index].markable:
            return False
        if self.view.lives(index):
            return True
        largest = self.rules.max_cached_tokens
        large = self.sizes.reaches(index, self.rules.min_tokens)
        return large and (largest is None or self.sizes.at(index) <= largest)
