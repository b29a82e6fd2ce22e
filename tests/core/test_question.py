"""What is asked twice is cut as if it were asked once, whatever was known at first."""

from dataclasses import replace
from itertools import product

import pytest
from builders import SONNET, assistant, text, user

from cachepoint import PromptCache
from cachepoint.core.memory.records import Table, Texts
from cachepoint.core.placement.question import CutPrompt, Question
from cachepoint.core.prompt.cuts import Cut
from cachepoint.memory import LocalMemory

REQUEST = {
    "system": [{"text": "".join(f"Rule {n} says a thing.\n" for n in range(200))}],
    "messages": [user(text(900)), assistant(text(30)), user({"text": "Look at this line.\n" * 200})],
}


CACHE = PromptCache(memory=LocalMemory(), key=b"k")
FIRST = CACHE.prepare(REQUEST, SONNET).question


def asked():
    return replace(FIRST)


def answers():
    """What a memory may say of where the texts are cut."""
    keys = asked().keys
    cuts = [None, Cut(), Cut(1_200, "documents"), Cut(1_500, "stable", "x", 0)]
    for some in product(cuts, repeat=len(keys[Table.CUTS])):
        known = {k: c for k, c in zip(keys[Table.CUTS], some, strict=True) if c is not None}
        for n in (0, 1):
            sketch = earlier()
            texts = {place: Texts((sketch._replace(cuts=(1_100 + n,)),)) for place in keys[Table.TEXTS][:n]}
            yield {Table.CUTS: known, Table.TEXTS: texts}


def earlier():
    """The sketch of a text that begins as the system prompt does."""
    question = asked()
    return next(iter(question.cut({}).split.sketches.values()))


ANSWERS = list(answers())


def test_there_is_something_to_be_cut():
    assert len(ANSWERS) >= 32
    assert len({len(asked().cut(found).split.raw) for found in ANSWERS}) > 1


@pytest.mark.parametrize("first", range(0, len(ANSWERS), 5))
def test_a_second_answer_counts_as_if_it_were_the_only_one(first):
    for second in ANSWERS:
        question = asked()
        question.cut(ANSWERS[first])
        cut, right = question.cut(second), asked().cut(second)
        assert (cut.split, cut.prefix) == (right.split, right.prefix)


def test_what_was_decided_and_then_found_is_not_cut_again(monkeypatch):
    question, made = asked(), []
    real = Question._cut
    monkeypatch.setattr(Question, "_cut", lambda self, *known: made.append(1) or real(self, *known))
    cut = question.cut({})
    again = question.cut({Table.CUTS: dict(cut.split.decided)})

    assert made == [1]
    assert isinstance(again, CutPrompt)
    assert again.split.sketches == {}
