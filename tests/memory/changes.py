"""Changes of every kind, drawn by hypothesis, and questions for what they left."""

from hypothesis import strategies as st

from cachepoint.core.memory.counts import Count, Counts, Returned, Tried
from cachepoint.core.memory.deeds import (
    Await,
    Cached,
    CameBack,
    Claim,
    Forget,
    Learned,
    Refreshed,
    Release,
    Seen,
    Unread,
)
from cachepoint.core.memory.records import Change, Changes, Row, Table, Texts, Trace
from cachepoint.core.prompt.anatomy import Anatomy, Text, Tool
from cachepoint.core.prompt.cuts import Cut
from cachepoint.core.prompt.sketches import Sketch

NOW = 1_795_000_000.0

keys = st.sampled_from([b"a" * 16, b"b" * 16, b"{c}" + b"c" * 13])
names = st.sampled_from(["again", "end:1", "ünï"])
tokens = st.sampled_from([b"x" * 12, b"y" * 12])
times = st.integers(0, 40).map(lambda n: NOW + n / 4)
kinds = st.lists(st.tuples(keys, names), min_size=1, max_size=2).map(tuple)
places = st.one_of(
    st.builds(Seen, times),
    st.builds(Claim, tokens, times, st.sampled_from([b"", b"x" * 12])),
    st.builds(Release, tokens),
    st.builds(
        Learned, st.sampled_from(["5m", "1h"]), times, st.none() | st.integers(0, 10**6), st.booleans()
    ),
    st.builds(Forget, times),
    st.builds(Refreshed, times, st.booleans()),
    st.builds(Await, kinds, times),
    st.just(CameBack()),
    st.just(Unread()),
)
counts = st.one_of(
    st.builds(Tried, names, times),
    st.builds(
        Returned, names, times, st.sampled_from([1.5, 400.0, float("inf")]), st.sampled_from([1.0, 1 / 3])
    ),
    st.builds(Unread, names),
    st.builds(
        lambda name, hits, fade: Counts({name: Count(hits, hits + 1)}, fade),
        names,
        st.floats(0, 9),
        st.sampled_from([14.0, 50.0]),
    ),
)
cuts = st.builds(
    Cut,
    st.none() | st.integers(0, 9_000),
    st.sampled_from(["", "documents", "again"]),
    names,
    st.integers(0, 9),
)
sketches = st.builds(
    Sketch,
    st.lists(st.sampled_from([b"1111", b"2222", b"3333"]), max_size=5).map(b"".join),
    st.lists(st.integers(0, 99), max_size=2).map(tuple),
    st.integers(-1, 3),
)
texts = sketches.map(lambda sketch: Texts((sketch,)))
anatomies = st.builds(
    Anatomy,
    st.lists(
        st.builds(Tool, keys, st.lists(st.tuples(names, st.builds(Text, keys, keys, keys))).map(tuple))
    ).map(tuple),
    st.just(()),
    st.integers(0, 9),
)
traces = st.builds(
    lambda settings, blocks, anatomy, at: Trace(
        settings, b"s", (b"1", b"2", b"3"), blocks, 1, b"c", anatomy, at, 300.0
    ),
    st.lists(st.tuples(names, keys), max_size=2).map(tuple),
    st.binary(max_size=64),
    anatomies,
    times,
)
requests = st.one_of(traces, st.builds(Cached, st.integers(0, 10**6)))
rows = st.frozensets(names, max_size=2).map(Row)
DEEDS = {
    Table.PLACES: places,
    Table.COUNTS: counts,
    Table.CUTS: cuts,
    Table.TEXTS: texts,
    Table.LAST: requests,
    Table.TURNS: requests,
    Table.ROWS: rows,
}


def change(table, key, deed, then=()):
    """Hypothesis makes no `Change` by itself: its deed is a protocol."""
    return Change(table, key, deed, then)


FOLLOWS = b"then" * 4
KEYS = (FOLLOWS, b"a" * 16, b"b" * 16, b"{c}" + b"c" * 13)
plain = st.one_of(*(st.builds(change, st.just(table), keys, deed) for table, deed in DEEDS.items()))
# Of one step, what follows is done behind all else: it goes to counts that nothing else changes, as core's does.
then = st.lists(st.builds(change, st.just(Table.COUNTS), st.just(FOLLOWS), counts), max_size=2).map(tuple)
changes = plain | st.builds(change, st.just(Table.PLACES), keys, places, then)
all_changes = st.lists(changes, min_size=1, max_size=6).map(tuple)


class Everything:
    """A question for all of it."""

    def __init__(self, now=NOW):
        self.now, self.keys = now, dict.fromkeys(Table, KEYS)

    def more(self, _):
        return {Table.PLACES: (b"never" + b"n" * 11,), Table.COUNTS: KEYS[:1]}


def step(all_of, now=NOW):
    return Changes(now, tuple(all_of))


class Asked:
    """A question for a few keys of one table."""

    def __init__(self, table, *keys, now=NOW):
        self.keys, self.now = {table: keys}, now

    def more(self, _):
        return {}
