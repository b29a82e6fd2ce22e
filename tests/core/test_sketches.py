"""Where texts of one place part."""

import pytest
from builders import user
from test_cuts import Run, manual

from cachepoint.core.memory.records import Texts
from cachepoint.core.prompt.digests import Digester
from cachepoint.core.prompt.sketches import MIN_PIECE, Outline, Sketch, part

DIGESTER = Digester(b"key")


def outline(text):
    return Outline.of(text, DIGESTER)


def parted(*texts):
    """How the last text is cut after the others."""
    known = None
    for text in texts:
        found = part(outline(text), () if known is None else known.sketches)
        known = Texts((found.sketch,)).over(known)
    return found


def asked(tag, question):
    return f"<file>\n{manual(tag)}\n</file>\nRead the file above.\n\nAsked: {question}"


def test_a_text_alone_is_not_cut():
    assert parted(asked("a", "one")).cuts == ()


def test_texts_are_cut_where_they_part():
    text = asked("a", "two")

    assert parted(asked("a", "one"), text).cuts == (text.index("Asked:"),)


def test_a_new_document_is_cut_as_others_ended():
    text = asked("b", "three")
    found = parted(asked("a", "one"), asked("a", "two"), text)

    assert (found.cuts, found.known) == ((text.index("Asked:"),), 0)


def test_where_others_parted_far_from_their_end_tells_nothing():
    """Lines are looked for in so many characters: a text of 400 kB of short lines took 30 ms."""
    lines = "a\n" * 40_000
    found = parted(manual("a") + lines, manual("b") + lines, manual("c") + "b\n" + lines)

    assert found.sketch.tail == -1
    assert outline(lines).before_last(30_000) == 0


def test_a_text_without_lines_is_cut_behind_a_sentence():
    shared = "Turn the rotor slowly, and keep the valve shut unless told otherwise. " * 40
    text = f"{shared}And where is the pump"

    assert parted(f"{shared}Now what of the valve", text).cuts == (len(shared) - len(shared) % 280,)


def test_an_instruction_and_a_document_are_two_cuts():
    rules = "Follow the rules below to the letter.\n" * 60
    text = rules + asked("a", "two")
    found = parted(rules + asked("b", "one"), rules + asked("c", "one"), rules + asked("a", "one"), text)

    assert len(found.cuts) == 2
    assert found.cuts[0] <= len(rules) + len("<file>\n")
    assert found.cuts[1] == text.index("Asked:")


def test_a_place_where_others_were_cut_is_kept():
    first = part(outline(asked("a", "two")), (part(outline(asked("a", "one")), ()).sketch,))
    third = part(outline(asked("a", "three")), (first.sketch,))

    assert third.cuts == first.cuts


def test_short_beginnings_are_not_cut():
    assert parted("Hello\nAnna" + "x" * MIN_PIECE, "Hello\nBob" + "y" * MIN_PIECE).cuts == ()


def test_what_is_kept_of_a_place_is_bounded():
    texts = None
    for n in range(400):
        texts = Texts((Sketch(bytes([n % 251, n // 251]) * 1_000),)).over(texts)

    assert len(texts.sketches) <= 96
    assert texts.weight < 60_000


@pytest.mark.parametrize(
    "render",
    [
        lambda d, q: f"<file>\n{d}\n</file>\n\nRead the file above.\n\nAsked: {q}",
        lambda d, q: f"Use what follows. If it is silent, say so.\n\nMATERIAL\n{d}\n\n{q}",
    ],
    ids=["document first", "document last"],
)
def test_documents_that_nobody_announced_are_written_and_read(render):
    run = Run()
    for n in range(48):
        run.call({"messages": [user({"text": render(manual(n // 6), f"What of part {n}?")})]}, gap=20.0)

    assert run.ratio < 0.45


def test_a_stamp_in_the_midst_of_a_user_text_costs_only_what_follows_it():
    run = Run()
    for n in range(20):
        text = f"{manual('guide')}\n\nTicket {n} of 12:{n:02d}\n\nSay what to do with {n}."
        run.call({"messages": [user({"text": text})]}, gap=20.0)

    assert run.ratio < 0.25
