"""What is kept of a text answers as the text does."""

from hypothesis import given, settings
from hypothesis import strategies as st

from cachepoint.core.accounting.diagnosis.said import AtHand, Hint, Words
from cachepoint.core.prompt.anatomy import anatomy
from cachepoint.core.prompt.prefix import RawBlock

pieces = st.sampled_from(
    ["It is 09:14:07. ", "Today is 2026-11-27. ", "{}", "Be kind. " * 9, "x" * 130, "\n", "Monday ", "é", ""]
)
texts = st.lists(pieces, max_size=8).map("".join)


def block(text):
    return RawBlock("system", (0,), "text", text, "", True, True, None, 0)


def text_of(text):
    (made,) = anatomy([block(text)], b"k").system
    return made


@settings(deadline=None, max_examples=300)
@given(st.tuples(texts, texts, texts), st.tuples(texts, texts))
def test_a_hint_of_a_text_says_where_and_what_the_text_would_say(parts, middles):
    """Two texts with the same beginning: the place to the piece, and the kind of what stands there."""
    start, end, more = parts
    before, now = start + middles[0] + end, start + middles[1] + end + more
    words, hint = Words(now), Hint.of(now)
    assert hint.moved(text_of(before), text_of(now)) == words.moved(text_of(before), text_of(now))
    assert hint.is_json == words.is_json


def test_a_clock_at_the_end_of_what_stayed_is_named():
    now = "Be kind.\nIt is 09:14:07.\n"
    moved = Hint.of(now).moved(text_of(now + "Be short."), text_of(now))
    assert moved == (len(now), "a time of day")
    assert AtHand([block(now)]).system[0][1].moved(text_of(now + "Be short."), text_of(now)) == moved
