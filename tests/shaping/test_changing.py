"""What changes by the call, taken out of a text and put elsewhere, word for word."""

import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachepoint.shaping import changing, variants
from cachepoint.shaping.changing import check_label, labelled, parted, sentences, set_label
from cachepoint.shaping.variants import Variants

RULES = "\n".join(f"Rule {n}: the answer to {n} is never more than {n + 1} lines long." for n in range(40))

texts = st.lists(
    st.sampled_from(
        ["Be kind. ", "It is 10:05.", "Ask Dr. Who! ", "\n", "\n\n", "- a list", "e.g. this. ", '"Yes." ']
    ),
    max_size=20,
).map("".join)


def words(*pieces):
    return Counter(word for piece in pieces for word in piece.split())


@given(texts)
def test_sentences_cover_a_text(text):
    assert "".join(text[start:end] for start, end in sentences(text)) == text


@given(texts, st.lists(st.tuples(st.integers(0, 200), st.integers(0, 40)), max_size=4))
def test_nothing_is_lost_or_said_twice(text, places):
    spans = [(a, a + n) for a, n in places if n and a < len(text)]
    stays, moved = parted(text, spans)
    assert words(stays, *moved) == words(text)
    again = parted(stays, [])
    assert again == (stays, ())


@pytest.mark.parametrize(
    ("text", "mark", "stays", "moved"),
    [
        ("It is 10:05.\n\nBe kind.", "10:05", "Be kind.", "It is 10:05."),
        ("Be kind.\n\nIt is 10:05.", "10:05", "Be kind.", "It is 10:05."),
        ("Be kind. It is 10:05. Be brief.", "10:05", "Be kind. Be brief.", "It is 10:05."),
        ("Be kind. It is 10:05.\n\nBe brief.", "10:05", "Be kind.\n\nBe brief.", "It is 10:05."),
        ("- be kind\n- time: 10:05\n- be brief", "10:05", "- be kind\n- be brief", "- time: 10:05"),
        ("You help Dr. Bea Ott. Be kind.", "Bea", "Be kind.", "You help Dr. Bea Ott."),
        ('Say "Hello." It is 10:05.', "10:05", 'Say "Hello."', "It is 10:05."),
    ],
)
def test_whole_sentences_and_lines_go(text, mark, stays, moved):
    at = text.index(mark)
    assert parted(text, [(at, at + len(mark))]) == (stays, (moved,))


def test_sentences_side_by_side_go_as_one():
    text = "Be kind. It is 10:05. You help Bea. Be brief."
    spans = [(text.index("10:05"), text.index("10:05") + 5), (text.index("Bea"), text.index("Bea") + 3)]
    assert parted(text, spans) == ("Be kind. Be brief.", ("It is 10:05. You help Bea.",))


def test_the_label_is_the_users():
    assert labelled(["a", "b"]) == "[What holds now]\na\nb"
    assert labelled(["a", "b"], "<now>{text}</now>") == "<now>a\nb</now>"
    set_label("Now: {text}")
    try:
        assert labelled(["a"]) == "Now: a"
    finally:
        set_label()
    assert changing._Process.label == changing.LABEL
    for wrong in ("Now:", "", 7):
        with pytest.raises(ValueError, match=re.escape(repr(wrong))):
            check_label(wrong)


def told(seen, text, conversation):
    return [text[start:end].strip() for start, end in seen.changing(text, conversation)]


def test_what_differs_between_three_texts_that_are_alike_changes():
    seen = Variants(lambda: 0.0)
    prompts = [f"You help {who}.\n\n{RULES}" for who in ("Ana", "Bob", "Cyd", "Dot")]
    found = [told(seen, prompt, f"q{n}") for n, prompt in enumerate(prompts)]
    assert found == [[], [], ["You help Cyd."], ["You help Dot."]]


def test_what_was_decided_in_a_conversation_holds_for_it():
    seen = Variants(lambda: 0.0)
    prompts = [f"You help {who}.\n\n{RULES}" for who in ("Ana", "Bob", "Cyd")]
    for n, prompt in enumerate(prompts):
        seen.changing(prompt, f"q{n}")
    assert told(seen, prompts[0], "q0") == []
    assert told(seen, prompts[0], "q9") == ["You help Ana."]


def test_agents_that_take_turns_keep_their_prompts():
    """Two that begin alike are two; several large ones that come back are in the cache as they stand."""
    seen = Variants(lambda: 0.0)
    own = {
        who: f"{RULES}\n" + "\n".join(f"{who} minds rule {n} of the {who}s." for n in range(30))
        for who in "abcdefg"
    }
    for turn in range(3):
        for who, prompt in own.items():
            assert told(seen, prompt, f"{who}{turn}") == []


def test_recalled_text_that_never_comes_back_goes_however_long():
    seen = Variants(lambda: 0.0)
    found = []
    for n in range(10):
        facts = "\n".join(f"Fact {n}.{i}: the guest likes number {n * 100 + i} best." for i in range(20))
        found.append(told(seen, f"{facts}\n{RULES}", f"q{n}"))
    assert found[0] == found[6] == []
    assert len(found[9]) == 20


def test_large_texts_of_many_that_come_back_stay():
    """Eight handbooks by turns: each is read where it stands."""
    seen = Variants(lambda: 0.0)
    books = [
        "\n".join(f"Book {b}.{i}: valve {b * 100 + i} is on the left." for i in range(20)) for b in range(8)
    ]
    found = [
        told(seen, f"{book}\n{RULES}", f"{turn} {b}") for turn in range(4) for b, book in enumerate(books)
    ]
    assert not any(found[-8:])


def test_a_new_prompt_is_no_change_for_long():
    """A rule that was edited moves only until most of what is remembered has it."""
    seen = Variants(lambda: 0.0)
    after = RULES.replace("Rule 7:", "Rule seven:")
    for n, who in enumerate(("Ana", "Bob", "Cyd", "Dot")):
        seen.changing(f"You help {who}.\n\n{RULES}", f"q{n}")
    found = [told(seen, f"You help {who}.\n\n{after}", f"p{n}") for n, who in enumerate("EFGHIJ")]
    assert len(found[0]) == 2
    assert found[-1] == ["You help J."]


def test_what_is_remembered_is_bounded(monkeypatch):
    monkeypatch.setattr(variants, "_KINDS", 4)
    monkeypatch.setattr(variants, "_DECIDED", 6)
    seen = Variants(lambda: 0.0)
    for n in range(50):
        seen.changing(f"Agent {n} does {n}.\n" + RULES.replace("Rule", f"Law{n} "), f"q{n}")
    assert len(seen) == 6
    assert len(seen._kinds) <= 4
    assert len(seen._signs) <= 4 * variants._SIGNS


def test_looking_teaches_nothing():
    seen = Variants(lambda: 0.0)
    for n in range(5):
        assert seen.changing(f"You help {n}.\n\n{RULES}", f"q{n}", learn=False) == ()
    assert len(seen) == 0


def test_what_is_a_day_old_is_forgotten():
    now = [0.0]
    seen = Variants(lambda: now[0])
    for n, who in enumerate(("Ana", "Bob")):
        seen.changing(f"You help {who}.\n\n{RULES}", f"q{n}")
    now[0] += 86_401
    assert told(seen, f"You help Cyd.\n\n{RULES}", "q2") == []
    assert told(seen, f"You help Dot.\n\n{RULES}", "q3") == []
    assert told(seen, f"You help Eve.\n\n{RULES}", "q4") == ["You help Eve."]
