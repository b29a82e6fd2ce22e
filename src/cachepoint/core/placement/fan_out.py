"""Of calls under way at once: which write to wait for, and how things stand once it has ended."""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass

from cachepoint.core.memory.protocol import Keys, Recollection
from cachepoint.core.memory.records import NEVER, Place, Table
from cachepoint.core.models.rules import ModelRules
from cachepoint.core.placement.sizes import Sizes
from cachepoint.core.placement.view import View
from cachepoint.core.policy import CachePolicy

# Nobody waits longer, and nobody for a write that began longer ago: by then the answer has begun (time to
# first token on Bedrock: 0.5 to 3 s), or the writer is gone.
WAIT_SECONDS = 10.0
# A claim that is given up looks as old as this.
_OLD = 2 * WAIT_SECONDS
_UNKNOWN = Place()


@dataclass(frozen=True, slots=True)
class Write:
    """What another call is writing: the digest of the prefix, and the token of that call."""

    place: bytes
    holder: bytes

    def over(self, found: Recollection, now: float) -> bool:
        """Whether that claim has ended, or what it was for is there."""
        place = found.get(Table.PLACES, {}).get(self.place)
        return place is None or place.holder != self.holder or place.live(now) or not young(place, now)


@dataclass(frozen=True, slots=True)
class Standing:
    """Asks what is there, and what sizes were found to be."""

    now: float
    places: Collection[bytes]
    ratios: Collection[bytes] = ()

    @property
    def keys(self) -> Keys:
        """The places, and the counts of bytes per token."""
        return {Table.PLACES: self.places, Table.COUNTS: self.ratios}

    def more(self, found: Recollection) -> Keys:  # noqa: ARG002
        """Nothing."""
        return {}


def to_wait_for(
    digests: tuple[bytes, ...], view: View, sizes: Sizes, rules: ModelRules, policy: CachePolicy
) -> Write | None:
    """The deepest write of another call that is worth a wait; None: nothing is to be waited for.

    What it adds to what can be read already must be as much as could be cached alone.
    """
    if policy.fan_out != "warm_first":
        return None
    anchor = view.anchor
    index = max((i for i, place in view.entries.items() if i > anchor and young(place, view.now)), default=-1)
    if index < 0 or (anchor >= 0 and sizes.at(index) - sizes.at(anchor) < rules.min_tokens):
        return None
    return Write(digests[index], view.entries[index].holder)


def given_up(view: View, index: int, policy: CachePolicy) -> bytes:
    """The call whose claim on a block is so old that who waits takes it over; empty: there is none."""
    place = view.entries.get(index)
    if policy.fan_out != "warm_first" or place is None or young(place, view.now):
        return b""
    return place.holder


def standing(
    known: Mapping[bytes, Place],
    found: Mapping[bytes, Place],
    token: bytes,
    then: float,
    waited: float,
    gone: bytes = b"",
) -> Iterator[tuple[bytes, Place]]:
    """The places as they stand now, for a call that was counted when it came.

    What is there and who writes it is as of now, told as if it were `then`; how often and how soon
    things came back is as it was.

    Args:
        known: What was remembered then.
        found: What is remembered now.
        token: The call's own: what it holds itself is free.
        then: When it came, in seconds.
        waited: Seconds since.
        gone: The token of a call that is given up; empty: none is.
    """
    for digest, place in found.items():
        theirs = place.holder != token and place.held(then + waited)
        before = known.get(digest, _UNKNOWN)
        if before is _UNKNOWN and not theirs and not place.live(then + waited):
            continue
        yield (
            digest,
            before._replace(
                seen=before.seen if before.seen > NEVER else then,
                tokens=place.tokens,
                ttl=place.ttl,
                expires=place.expires and place.expires - waited,
                holder=place.holder if theirs else b"",
                since=place.since - waited - (_OLD if theirs and place.holder == gone else 0.0),
                failed=place.failed,
            ),
        )


def young(place: Place, now: float) -> bool:
    """Whether a call began to write it so lately that others wait for that."""
    return place.held(now) and now - place.since <= WAIT_SECONDS


IS_WRITTEN: Mapping[str, Callable[[Place, float], bool]] = {
    "off": lambda _, __: False,
    "single_flight": Place.writing,
    # Who is out of time does not write beside the one who took it over.
    "warm_first": young,
}
"""By `fan_out`: whether what a call is writing now is not to be written by another."""
