"""`cache_calls`: all calls of a test, and what can be asked of them."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import reduce
from operator import add
from typing import Self, overload

from cachepoint.core.accounting.usage import Usage
from cachepoint.core.drawing.words import counted
from cachepoint.core.guard import InvalidOptionError
from cachepoint.testing import layout, saying
from cachepoint.testing.calls import CacheCall, moved, paired


class CacheCalls(Sequence[CacheCall]):
    """The calls of a test, oldest first. It grows while the test goes on; a slice of it does not.

    Args:
        calls: Gives them.
    """

    def __init__(self, calls: Callable[[], Iterable[CacheCall]]) -> None:
        self._calls = calls

    def __len__(self) -> int:
        return len(tuple(self._calls()))

    def __iter__(self) -> Iterator[CacheCall]:
        return iter(tuple(self._calls()))

    @overload
    def __getitem__(self, index: int) -> CacheCall: ...
    @overload
    def __getitem__(self, index: slice) -> Self: ...
    def __getitem__(self, index: int | slice) -> CacheCall | Self:
        found = tuple(self._calls())[index]
        return found if isinstance(found, CacheCall) else type(self)(lambda: found)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {counted(len(self), 'call')}>"

    def only(self, wanted: Callable[[CacheCall], bool]) -> Self:
        """Those calls for which `wanted` is true: of one model, or of one of several prompts."""
        return type(self)(lambda: filter(wanted, self))

    @property
    def usage(self) -> Usage:
        """The tokens of all of them; `usage.hit_share` is the share that was read."""
        return reduce(add, (call.usage for call in self), Usage())

    def assert_cached(self, min_hit: float = 0.9, after: int = 1) -> None:
        """Fail where a call read less of its input than it should.

        A call without input tokens, such as one that a guardrail kept out, is passed over.

        Args:
            min_hit: The least share of its input tokens that each call reads from the cache, 0 to 1. What
                is new in a call counts as not read: where much is, as with retrieved documents, give less.
            after: How many calls go before, which write what the others read.

        Raises:
            AssertionError: It names each such call, what it read, its miss, and what to do. Also where there
                is no call to look at.
            InvalidOptionError: Where an argument is out of bounds, a ValueError.
        """
        __tracebackhide__ = True
        _check(min_hit, after)
        calls = tuple(self)
        judged = [call for call in calls[after:] if call.usage.input_tokens]
        if not judged:
            raise AssertionError(saying.nothing_to_judge(len(calls), after))
        short = [call for call in judged if (call.usage.hit_share or 0) < min_hit]
        if short:
            raise AssertionError(saying.too_little(short, moved(calls), min_hit, after, len(calls)))

    def assert_prefix_stable(self, *, text: bool = False) -> None:
        """Fail where a call changed tools, system prompt or history of its conversation's last call.

        A conversation is known by where requests overlap. A new conversation, a sub-agent with a prompt of
        its own, and another question behind the same history change nothing.

        Args:
            text: Whether the message shows the text around the change. Without it no text of a prompt comes
                into the logs of your tests.

        Raises:
            AssertionError: It names each such call, the place, what changed, and what to do. Also where
                there is no call.
        """
        __tracebackhide__ = True
        calls = tuple(self)
        if not calls:
            raise AssertionError(saying.nothing_to_judge(0, 0))
        if changes := moved(calls):
            raise AssertionError(saying.unstable(changes, text=text))

    def layout(self) -> str:
        """What was sent, for a snapshot: a line for each block with place, kind, bytes and digest; no text.

        Tools are named. A digest is the same in every run. Of what a call has in common with the one
        it goes on from only blocks with a checkpoint are listed.

        Example:
            `assert cache_calls.layout() == snapshot`, with syrupy.
        """
        return "\n".join(layout.drawn(call, before) for call, before in paired(tuple(self)))


def _check(min_hit: float, after: int) -> None:
    if not isinstance(min_hit, int | float) or not 0 <= min_hit <= 1:
        raise InvalidOptionError(f"min_hit is {min_hit!r}; give a share from 0 to 1, such as 0.9")
    if not isinstance(after, int) or after < 0:
        raise InvalidOptionError(f"after is {after!r}; give a number of calls, such as 1")
